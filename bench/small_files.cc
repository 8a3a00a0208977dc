// Creates many small files in a directory, then stats them: what copying a source tree costs, step
// by step. Prints one JSON object: microseconds per file of each step, and the seconds of all.
//
//   small_files DIR [COUNT] [BYTES]
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <system_error>

namespace {

using Seconds = std::chrono::duration<double>;

struct Steps {
  Seconds create{}, write{}, close{}, stat{};
};

[[noreturn]] void Die(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// Runs one step, adds its time to `sum`, and returns what it returned.
template <typename Step>
auto Timed(Seconds& sum, const std::string& what, Step step) {
  const auto start = std::chrono::steady_clock::now();
  const auto result = step();
  sum += std::chrono::steady_clock::now() - start;
  if (result < 0) Die(what);
  return result;
}

std::string FilePath(std::string directory, int number) {
  return directory.append("/small-").append(std::to_string(number));
}

void MakeFile(const std::string& path, const std::string& bytes, Steps& steps) {
  const int fd = Timed(steps.create, path, [&] {
    return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  });
  Timed(steps.write, path, [&] { return ::write(fd, bytes.data(), bytes.size()); });
  Timed(steps.close, path, [&] { return ::close(fd); });
}

Steps Run(const std::string& directory, int count, size_t size) {
  Steps steps;
  std::string bytes(size, 'x');
  for (int i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    bytes.replace(0, number.size(), number);  // no two files alike
    MakeFile(FilePath(directory, i), bytes, steps);
  }
  for (int i = 0; i < count; ++i) {
    const std::string path = FilePath(directory, i);
    Timed(steps.stat, path, [&] {
      struct stat attributes {};
      return ::stat(path.c_str(), &attributes);
    });
  }
  return steps;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) {
    std::fprintf(stderr, "usage: small_files DIR [COUNT] [BYTES]\n");
    return 2;
  }
  const int count = argc > 2 ? std::stoi(argv[2]) : 5000;
  const size_t size = argc > 3 ? std::stoul(argv[3]) : 4096;
  if (count < 1 || size < 16) throw std::invalid_argument("COUNT >= 1 and BYTES >= 16, please");
  const Steps steps = Run(argv[1], count, size);
  const auto micros = [count](Seconds sum) { return sum.count() * 1e6 / count; };
  std::printf(
      "{\"create_us\": %.2f, \"write_us\": %.2f, \"close_us\": %.2f, \"stat_us\": %.2f, "
      "\"seconds\": %.4f}\n",
      micros(steps.create), micros(steps.write), micros(steps.close), micros(steps.stat),
      (steps.create + steps.write + steps.close).count());
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "small_files: %s\n", error.what());
  return 1;
}
