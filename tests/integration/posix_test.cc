// The rest of POSIX on a mount of the real program: what is done there is done in a plain directory
// too, and both must answer the same and end with the same bytes, as seen through the mount, on the
// server, and after the eviction. With passthrough and without, on new files and on the server's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <thread>

#include "common/disk.h"
#include "support/program.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::WriteFile;

constexpr size_t kBlock = 4096;
constexpr size_t kSize = 300'000;

enum class Origin { kNew, kServers };
using Case = std::tuple<bool, Origin>;

std::string NameOfCase(const ::testing::TestParamInfo<Case>& tested) {
  const auto [passthrough, origin] = tested.param;
  return std::string(passthrough ? "Passthrough" : "Daemon") +
         (origin == Origin::kNew ? "New" : "Servers");
}

std::string Answer(int64_t result) {
  return result >= 0 ? std::to_string(result) + " " : std::string(strerrorname_np(errno)) + " ";
}

// Runs `job` in a process of its own; its answer.
int InChild(const std::function<int()>& job) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(job());
  int status = 0;
  EXPECT_EQ(pid, ::waitpid(pid, &status, 0));
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

class Posix : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    test::MountSpec spec;
    if (!std::get<0>(GetParam())) spec.flags = {"--no-passthrough"};
    mount_ = std::make_unique<ProgramMount>(spec);
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    fs::create_directory(reference_);
    if (std::get<1>(GetParam()) == Origin::kNew) return;
    const std::string content = Pattern(kSize);
    for (const std::string& name : {std::string("f"), std::string("g")}) {
      WriteFile(reference_ + "/" + name, content);
      WriteFile(Here(name), content);
    }
    UploadAll();
  }
  std::string Here(const std::string& name) const { return *mount_ / name; }
  void UploadAll() {
    const auto waited = mount_->WaitUploaded();
    ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
    ASSERT_TRUE(Eventually([&] { return mount_->StagedFiles() == 0; }));
  }
  // Does it in the mount and in the plain directory: the same answers, and the same files.
  void Both(const std::function<std::string(const std::string& dir)>& job) {
    const std::string here = job(mount_->path());
    EXPECT_EQ(here, job(reference_));
    ExpectSame("at once");
    UploadAll();
    ExpectSame("after the eviction");
  }
  void ExpectSame(const std::string& when) {
    for (const std::string& root : {mount_->path(), mount_->cloud()}) {
      if (when == "at once" && root == mount_->cloud()) continue;
      const auto diff = RunProgram({"diff", "-r", "-x", ".outboxfs-server", root, reference_});
      EXPECT_EQ(diff.exit_code, 0) << when << ": " << diff.out << diff.err;
    }
  }
  void ExpectNothingHidden() const {
    EXPECT_TRUE(Eventually([&] {
      const auto found = RunProgram({"find", mount_->cloud(), "-name", ".obx-*"});
      return found.exit_code == 0 && found.out.empty();
    }));
  }
  static FileDescriptor Open(const std::string& dir, int flags, const std::string& name = "f") {
    FileDescriptor file(::open((dir + "/" + name).c_str(), flags | O_CLOEXEC, 0644));
    EXPECT_GE(file.get(), 0) << name << ": " << std::strerror(errno);
    return file;
  }

  test::TempDir dir_;
  const std::string reference_ = dir_ / "reference";
  std::unique_ptr<ProgramMount> mount_;
};

TEST_P(Posix, TwoAppendersLoseNothing) {
  constexpr int kRecords = 300;
  const auto append = [](const std::string& dir, char mark) {
    const FileDescriptor file = Open(dir, O_WRONLY | O_CREAT | O_APPEND);
    const std::string record = std::string(63, mark) + "\n";
    for (int i = 0; i < kRecords; ++i) {
      if (::write(file.get(), record.data(), record.size()) != 64) return 1;
    }
    return 0;
  };
  for (const std::string& dir : {mount_->path(), reference_}) {
    const size_t before = fs::exists(dir + "/f") ? fs::file_size(dir + "/f") : 0;
    // Two processes, neither of which has threads: ThreadSanitizer would miss them in the child.
    EXPECT_EQ(0, InChild([&] {
                const pid_t other = ::fork();
                if (other == 0) ::_exit(append(dir, 'b'));
                const int failed = append(dir, 'a');
                int status = -1;
                ::waitpid(other, &status, 0);
                return failed + status;
              }));
    std::string added = ReadWholeFile(dir + "/f").substr(before);
    ASSERT_EQ(added.size(), 2UL * kRecords * 64);
    for (size_t at = 0; at < added.size(); at += 64) {
      const std::string record = added.substr(at, 64);
      ASSERT_EQ(record, std::string(63, record[0]) + "\n") << at;
    }
    EXPECT_EQ(std::count(added.begin(), added.end(), 'a'), 63 * kRecords);
  }
  fs::copy_file(Here("f"), reference_ + "/f", fs::copy_options::overwrite_existing);
  UploadAll();
  ExpectSame("after the eviction");
}

TEST_P(Posix, OneOfManyCreates) {
  Both([](const std::string& dir) {
    std::atomic<int> made = 0;
    std::atomic<int> there = 0;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
          const int fd = ::open((dir + "/lock").c_str(), O_CREAT | O_EXCL | O_WRONLY, 0600);
          if (fd >= 0) ::close(fd);
          (fd >= 0 ? made : there) += fd >= 0 || errno == EEXIST ? 1 : 100;
        });
      }
    }
    return std::to_string(made) + " " + std::to_string(there);
  });
}

TEST_P(Posix, DirectIo) {
  Both([](const std::string& dir) {
    const FileDescriptor file = Open(dir, O_RDWR | O_CREAT | O_DIRECT);
    void* memory = nullptr;
    EXPECT_EQ(0, ::posix_memalign(&memory, kBlock, 4 * kBlock));
    const std::unique_ptr<void, decltype(&std::free)> block(memory, &std::free);
    std::memset(memory, 'd', 4 * kBlock);
    std::string answer = Answer(::pwrite(file.get(), memory, 4 * kBlock, 2 * kBlock));
    std::memset(memory, 0, 4 * kBlock);
    answer += Answer(::pread(file.get(), memory, kBlock, 3 * kBlock));
    return answer + static_cast<const char*>(memory)[kBlock - 1];
  });
}

TEST_P(Posix, SharedMappings) {
  Both([](const std::string& dir) {
    FileDescriptor file = Open(dir, O_RDWR | O_CREAT);
    std::string answer = Answer(::ftruncate(file.get(), 3 * kBlock + 7));
    void* const memory =
        ::mmap(nullptr, 3 * kBlock + 7, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED) return answer + Answer(-1);
    auto* const bytes = static_cast<char*>(memory);
    std::memcpy(bytes + kBlock - 2, "mapped", 6);
    answer += Answer(::msync(memory, 3 * kBlock + 7, MS_SYNC));
    char back[6];
    answer += Answer(::pread(file.get(), back, 6, kBlock - 2));
    answer.append(back, 6);
    answer += Answer(::pwrite(file.get(), "written", 7, 2 * kBlock));
    answer += std::string(bytes + 2 * kBlock, 7);
    // A store after the close belongs to the file too.
    file = FileDescriptor();
    std::memcpy(bytes + 3 * kBlock, "later", 5);
    return answer + Answer(::munmap(memory, 3 * kBlock + 7));
  });
}

TEST_P(Posix, PreallocatedPunchedAndZeroed) {
  Both([](const std::string& dir) {
    const FileDescriptor file = Open(dir, O_RDWR | O_CREAT);
    std::string answer = Answer(::pwrite(file.get(), std::string(50'000, 'x').data(), 50'000, 0));
    answer += Answer(::fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, 1 << 20));
    answer += Answer(static_cast<int64_t>(::lseek(file.get(), 0, SEEK_END)));
    answer += Answer(::fallocate(file.get(), 0, 0, 400'000));
    answer += Answer(static_cast<int64_t>(::lseek(file.get(), 0, SEEK_END)));
    answer +=
        Answer(::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 20'000));
    answer += Answer(::fallocate(file.get(), FALLOC_FL_ZERO_RANGE, 30'000, 5000));
    return answer;
  });
}

TEST_P(Posix, DataAndHoles) {
  Both([](const std::string& dir) {
    const FileDescriptor file = Open(dir, O_RDWR | O_CREAT, "sparse");
    std::string answer = Answer(::pwrite(file.get(), "data", 4, 1 << 20));
    answer += Answer(::ftruncate(file.get(), 3 << 20));
    for (const off_t from : {0L, 1L << 20, 2L << 20, 3L << 20}) {
      answer += Answer(::lseek(file.get(), from, SEEK_DATA));
      answer += Answer(::lseek(file.get(), from, SEEK_HOLE));
    }
    return answer;
  });
  // What is not here is data, wherever its zeros are: nothing of it may be skipped.
  const FileDescriptor file = Open(mount_->path(), O_RDONLY, "sparse");
  EXPECT_EQ(0, ::lseek(file.get(), 0, SEEK_DATA));
  EXPECT_EQ(3 << 20, ::lseek(file.get(), 0, SEEK_HOLE));
}

TEST_P(Posix, CopiedByTheKernel) {
  Both([](const std::string& dir) {
    WriteFile(dir + "/source", Pattern(200'000, 3));
    const FileDescriptor from = Open(dir, O_RDONLY, "source");
    const FileDescriptor to = Open(dir, O_RDWR | O_CREAT);
    off_t at = 1000;
    off_t into = 5000;
    size_t left = 150'000;
    std::string answer;
    while (left > 0) {
      const ssize_t n = ::copy_file_range(from.get(), &at, to.get(), &into, left, 0);
      if (n <= 0) return answer + Answer(n);
      left -= static_cast<size_t>(n);
    }
    return answer + std::to_string(into);
  });
}

TEST_P(Posix, ResizedWhileOpen) {
  Both([](const std::string& dir) {
    const FileDescriptor writer = Open(dir, O_RDWR | O_CREAT);
    const FileDescriptor reader = Open(dir, O_RDONLY);
    std::string answer;
    for (const off_t size : {100'000, 10, 70'000, 0, 5}) {
      answer += Answer(::ftruncate(writer.get(), size));
      struct stat st {};
      answer += Answer(::fstat(reader.get(), &st));
      answer += Answer(st.st_size);
      answer += Answer(::pwrite(writer.get(), "end", 3, size / 2));
      std::string part(80'000, '?');
      answer += Answer(::pread(reader.get(), part.data(), part.size(), 0));
    }
    return answer;
  });
}

TEST_P(Posix, DeletedWhileOpen) {
  Both([](const std::string& dir) {
    const FileDescriptor file = Open(dir, O_RDWR | O_CREAT | O_TRUNC);
    std::string answer = Answer(::write(file.get(), "before", 6));
    answer += Answer(::unlink((dir + "/f").c_str()));
    answer += Answer(::write(file.get(), " and after", 10));
    char back[32];
    answer += Answer(::pread(file.get(), back, sizeof(back), 0));
    answer.append(back, 16);
    struct stat st {};
    answer += Answer(::fstat(file.get(), &st));
    answer += Answer(st.st_size);
    answer += Answer(static_cast<int64_t>(st.st_nlink));
    return answer + Answer(::access((dir + "/f").c_str(), F_OK));
  });
  EXPECT_FALSE(fs::exists(mount_->cloud() + "/f"));
}

TEST_P(Posix, ReplacedWhileOpen) {
  Both([](const std::string& dir) {
    WriteFile(dir + "/old", "the old one");
    const FileDescriptor old = Open(dir, O_RDWR, "old");
    WriteFile(dir + "/f", "the new one");
    std::string answer = Answer(::rename((dir + "/f").c_str(), (dir + "/old").c_str()));
    char back[32];
    answer += Answer(::pread(old.get(), back, sizeof(back), 0));
    answer.append(back, 11);
    answer += Answer(::pwrite(old.get(), "lost", 4, 0));
    return answer + ReadWholeFile(dir + "/old");
  });
}

// Not all of it is here.
TEST_P(Posix, DeletedWhileOnlyTheServerHasIt) {
  WriteFile(Here("remote"), Pattern(2 << 20, 5));
  UploadAll();
  FileDescriptor file = Open(mount_->path(), O_RDONLY, "remote");
  std::string content(2 << 20, '?');
  ASSERT_EQ(10, ::pread(file.get(), content.data(), 10, 0));
  ASSERT_EQ(0, ::unlink(Here("remote").c_str()));
  EXPECT_FALSE(fs::exists(Here("remote")));
  EXPECT_FALSE(fs::exists(mount_->cloud() + "/remote"));
  ASSERT_EQ(2 << 20, ::pread(file.get(), content.data(), content.size(), 0));
  EXPECT_TRUE(content == Pattern(2 << 20, 5));
  file = FileDescriptor();
  ExpectNothingHidden();
}

TEST_P(Posix, ReplacedWhileOnlyTheServerHasIt) {
  WriteFile(Here("remote"), Pattern(2 << 20, 5));
  UploadAll();
  FileDescriptor file = Open(mount_->path(), O_RDONLY, "remote");
  std::string content(2 << 20, '?');
  ASSERT_EQ(10, ::pread(file.get(), content.data(), 10, 0));
  WriteFile(Here("newer"), "newer");
  ASSERT_EQ(0, ::rename(Here("newer").c_str(), Here("remote").c_str()));
  UploadAll();  // the old version makes room
  EXPECT_EQ(ReadWholeFile(mount_->cloud() + "/remote"), "newer");
  ASSERT_EQ(2 << 20, ::pread(file.get(), content.data(), content.size(), 0));
  EXPECT_TRUE(content == Pattern(2 << 20, 5));
  EXPECT_EQ(ReadWholeFile(Here("remote")), "newer");
  file = FileDescriptor();
  ExpectNothingHidden();
}

TEST_P(Posix, LocksBetweenProcesses) {
  Both([](const std::string& dir) {
    const FileDescriptor mine = Open(dir, O_RDWR | O_CREAT);
    const auto lock = [](int fd, int command, short type, off_t start) {
      struct flock range {};
      range.l_type = type;
      range.l_start = start;
      range.l_len = 10;
      return ::fcntl(fd, command, &range) == 0 ? 0 : errno;
    };
    std::string answer = std::to_string(lock(mine.get(), F_SETLK, F_WRLCK, 0)) + " ";
    answer += std::to_string(lock(mine.get(), F_OFD_SETLK, F_WRLCK, 100)) + " ";
    answer += Answer(::flock(mine.get(), LOCK_EX));
    answer += std::to_string(InChild([&] {
      const FileDescriptor its = Open(dir, O_RDWR);
      const bool apart = lock(its.get(), F_SETLK, F_WRLCK, 50) == 0;
      const bool posix = lock(its.get(), F_SETLK, F_WRLCK, 5) == EAGAIN;
      const bool ofd = lock(its.get(), F_OFD_SETLK, F_RDLCK, 105) == EAGAIN;
      const bool whole = ::flock(its.get(), LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK;
      return (apart ? 1 : 0) + (posix ? 2 : 0) + (ofd ? 4 : 0) + (whole ? 8 : 0);
    }));
    return answer + " " + Answer(::flock(mine.get(), LOCK_UN));
  });
}

TEST_P(Posix, TimesToTheNanosecond) {
  const auto times = [](const std::string& dir) {
    struct stat st {};
    EXPECT_EQ(0, ::stat((dir + "/f").c_str(), &st));
    return std::to_string(st.st_mtim.tv_sec) + "." + std::to_string(st.st_mtim.tv_nsec);
  };
  Both([&](const std::string& dir) {
    const FileDescriptor file = Open(dir, O_RDWR | O_CREAT);
    const timespec set[2] = {{1'234'567'890, 123'456'789}, {987'654'321, 987'654'321}};
    const std::string answer = Answer(::futimens(file.get(), set));
    return answer + times(dir);
  });
  EXPECT_EQ(times(mount_->path()), times(reference_));
  ASSERT_EQ(mount_->Unmount().exit_code, 0);
  ASSERT_TRUE(mount_->Mount()) << mount_->error();
  EXPECT_EQ(times(mount_->path()), times(reference_));
}

TEST_P(Posix, NamesOfEveryLength) {
  Both([](const std::string& dir) {
    std::string answer;
    const std::string wide = "名";  // three bytes
    std::string longest;
    for (int i = 0; i < 85; ++i) longest += wide;
    for (const std::string& name :
         {std::string(255, 'n'), longest, std::string("a b\tc"), std::string("😀 ü"),
          std::string("'\"\\$(x)*?"), std::string("-rf"), std::string("...")}) {
      WriteFile(dir + "/" + name, "in " + name);
      answer += Answer(::access((dir + "/" + name).c_str(), F_OK));
    }
    const std::string too_long = dir + "/" + std::string(256, 'n');
    return answer + Answer(::open(too_long.c_str(), O_CREAT | O_WRONLY, 0644));
  });
}

TEST_P(Posix, SpaceIsShown) {
  struct statvfs st {};
  ASSERT_EQ(0, ::statvfs(mount_->path().c_str(), &st));
  EXPECT_GT(st.f_bavail, 0U);
  EXPECT_GT(st.f_favail, 0U);
  EXPECT_EQ(st.f_namemax, 255U);
  EXPECT_EQ(RunProgram({"df", mount_->path()}).exit_code, 0);
}

INSTANTIATE_TEST_SUITE_P(All, Posix,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values(Origin::kNew, Origin::kServers)),
                         NameOfCase);

}  // namespace
}  // namespace outboxfs
