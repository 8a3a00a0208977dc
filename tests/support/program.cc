#include "support/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <thread>
#include <utility>

namespace outboxfs::test {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr auto kLongestRun = std::chrono::minutes(10);

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> EnvironmentWith(const Variables& variables) {
  std::vector<std::string> result;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (!variables.contains(text.substr(0, text.find('=')))) result.push_back(text);
  }
  for (const auto& [name, value] : variables) result.push_back(name + "=" + value);
  return result;
}

// Reads both pipes to their ends; kills `pid` at the deadline.
void Collect(std::array<int, 2> pipes, std::array<std::string*, 2> texts, pid_t pid) {
  const auto deadline = steady_clock::now() + kLongestRun;
  std::array<pollfd, 2> waited = {pollfd{pipes[0], POLLIN, 0}, pollfd{pipes[1], POLLIN, 0}};
  while (waited[0].fd >= 0 || waited[1].fd >= 0) {
    if (steady_clock::now() > deadline) ::kill(pid, SIGKILL);
    ::poll(waited.data(), waited.size(), 1000);
    for (size_t i = 0; i < waited.size(); ++i) {
      if (waited[i].fd < 0 || waited[i].revents == 0) continue;
      std::array<char, 1 << 16> buffer;
      const ssize_t n = ::read(waited[i].fd, buffer.data(), buffer.size());
      if (n > 0) texts[i]->append(buffer.data(), static_cast<size_t>(n));
      if (n <= 0) {
        ::close(waited[i].fd);
        waited[i].fd = -1;
      }
    }
  }
}

}  // namespace

namespace {

// -1 when it cannot be started. Standard input is /dev/null.
pid_t Spawn(const std::vector<std::string>& words, const Variables& variables,
            posix_spawn_file_actions_t& files) {
  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
  std::vector<std::string> arguments = words;
  std::vector<std::string> environment = EnvironmentWith(variables);
  pid_t pid = -1;
  const int failed = ::posix_spawnp(&pid, words.front().c_str(), &files, nullptr,
                                    Pointers(arguments).data(), Pointers(environment).data());
  posix_spawn_file_actions_destroy(&files);
  return failed == 0 ? pid : -1;
}

int ExitCode(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace

bool Freeze(int pid) {
  if (::kill(pid, SIGSTOP) != 0) return false;
  return Eventually([pid] {
    for (const auto& task : fs::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
      const std::string stat = ReadWholeFile(task.path().string() + "/stat");
      if (stat.find(") T ") == std::string::npos) return false;
    }
    return true;
  });
}

BackgroundProgram::BackgroundProgram(const std::vector<std::string>& words, std::string output_file,
                                     const Variables& variables)
    : output_file_(std::move(output_file)) {
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, output_file_.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                   0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_ = Spawn(words, variables, files);
}

BackgroundProgram::~BackgroundProgram() { Stop(SIGKILL); }

bool BackgroundProgram::running() const {
  siginfo_t info{};
  return pid_ > 0 &&
         ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == 0;
}

int BackgroundProgram::Stop(int signal) {
  if (pid_ > 0) ::kill(pid_, signal);
  return Join();
}

int BackgroundProgram::Join() { return pid_ > 0 ? ExitCode(std::exchange(pid_, -1)) : -1; }

Finished RunProgram(const std::vector<std::string>& words, const Variables& variables) {
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) return {};
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, out[1], 1);
  posix_spawn_file_actions_adddup2(&files, err[1], 2);
  Finished result;
  const pid_t pid = Spawn(words, variables, files);
  ::close(out[1]);
  ::close(err[1]);
  if (pid < 0) {
    result.err = "cannot start " + words.front();
    return result;
  }
  Collect({out[0], err[0]}, {&result.out, &result.err}, pid);
  result.exit_code = ExitCode(pid);
  return result;
}

bool Eventually(const std::function<bool()>& condition, milliseconds longest) {
  const auto deadline = steady_clock::now() + longest;
  while (!condition()) {
    if (steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(20));
  }
  return true;
}

ProgramMount::ProgramMount(MountSpec spec) : spec_(std::move(spec)) {
  fs::create_directory(path());
  fs::create_directory(cloud());
  if (spec_.remote.empty()) spec_.remote = "embedded:" + cloud();
  Mount();
}

ProgramMount::~ProgramMount() {
  if (::testing::Test::HasFailure() && fs::exists(cache() + "/outboxfs.log")) {
    std::fprintf(stderr, "---- log of the mount\n%s----\n", Log().c_str());
  }
  Unmount({"--no-drain"});
  while (::umount2(path().c_str(), MNT_DETACH) == 0) {  // whatever is left
  }
}

Finished ProgramMount::Outboxfs(const std::vector<std::string>& words) const {
  std::vector<std::string> all = {OUTBOXFS_PROGRAM};
  all.insert(all.end(), words.begin(), words.end());
  return RunProgram(all, Home());
}

Variables ProgramMount::Home() const {
  return {{"HOME", dir_.path()},
          {"XDG_CACHE_HOME", dir_ / "xdg-cache"},
          {"XDG_CONFIG_HOME", dir_ / "xdg-config"},
          {"XDG_RUNTIME_DIR", dir_.path()},
          {"OUTBOXFS_TOKEN", spec_.token}};
}

bool ProgramMount::Mount() {
  std::vector<std::string> words = {"mount",       spec_.remote,  path(),
                                    "--cache-dir", cache(),       "--write-back",
                                    "100ms",       "--log-level", "info"};
  words.insert(words.end(), spec_.flags.begin(), spec_.flags.end());
  words.insert(words.begin(), OUTBOXFS_PROGRAM);
  Variables variables = spec_.variables;
  variables.merge(Home());
  mounted_ = RunProgram(words, variables);
  return ok();
}

Finished ProgramMount::Unmount(const std::vector<std::string>& flags) {
  std::vector<std::string> words = {"unmount", path()};
  words.insert(words.end(), flags.begin(), flags.end());
  return Outboxfs(words);
}

Finished ProgramMount::WaitUploaded(const std::string& timeout) const {
  return Outboxfs({"wait", "--timeout", timeout, path()});
}

std::string ProgramMount::Status(const std::string& query) const {
  const Finished status = Outboxfs({"status", "--json", "--limit", "0", path()});
  if (status.exit_code != 0) return "";
  const std::string file = dir_ / "status.json";
  WriteFile(file, status.out);
  std::string text = RunProgram({"jq", "-r", query, file}).out;
  while (text.ends_with('\n')) text.pop_back();
  return text;
}

void ProgramMount::Kill(std::string pid) {
  if (pid.empty()) pid = Status(".pid");
  ASSERT_FALSE(pid.empty());
  ::kill(std::stoi(pid), SIGKILL);
  // Its parent is init or whoever reaps here: gone when it is gone or a zombie.
  EXPECT_TRUE(Eventually([&] {
    const std::string stat = ReadWholeFile("/proc/" + pid + "/stat");
    return stat.empty() || stat.find(") Z") != std::string::npos;
  }));
}

size_t ProgramMount::StagedFiles() const {
  size_t files = 0;
  std::error_code error;
  for (const auto& entry : fs::recursive_directory_iterator(cache() + "/staged", error)) {
    if (entry.is_regular_file(error) && entry.file_size(error) > 0) ++files;
  }
  return files;
}

std::string ProgramMount::Log() const { return ReadWholeFile(cache() + "/outboxfs.log"); }

}  // namespace outboxfs::test
