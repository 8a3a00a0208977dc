// An ext4 of its own in a file, that can lose its power: what was not written to stable storage is
// gone. Needs root.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "support/program.h"
#include "support/temp_dir.h"

namespace outboxfs::test {

class LoopDisk {
 public:
  // Mounted at `place`, which exists.
  LoopDisk(std::string place, uint64_t mebibytes) : place_(std::move(place)) {
    const std::string size = std::to_string(mebibytes) + "M";
    Run({"truncate", "-s", size, image_});
    Run({"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image_});
    Attach();
  }
  ~LoopDisk() { ::umount2(place_.c_str(), MNT_DETACH); }
  LoopDisk(const LoopDisk&) = delete;
  LoopDisk& operator=(const LoopDisk&) = delete;

  void Attach() {
    Run({"mount", "-o", "loop", image_, place_});
    std::filesystem::permissions(place_, std::filesystem::perms(0700));
  }
  // What is in it is written.
  void Detach() { Run({"umount", place_}); }
  // From now on nothing is written any more, not even the journal of the file system.
  void CutPower() {
    constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);
    uint32_t without_log = 2;
    const int fd = ::open(place_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT_EQ(::ioctl(fd, kShutdown, &without_log), 0) << std::strerror(errno);
    ::close(fd);
  }
  // As the next start of the machine. REQUIRES: nobody has files open on it.
  void PowerOn() {
    ASSERT_TRUE(Eventually([this] { return ::umount(place_.c_str()) == 0; })) << "in use";
    Attach();
  }
  // Turns over a bit in the first place where `bytes` stand. REQUIRES: detached.
  void Damage(const std::string& bytes) {
    std::string all = ReadWholeFile(image_);
    const size_t at = all.find(bytes);
    ASSERT_NE(at, std::string::npos);
    const char damaged = static_cast<char>(all[at] ^ 1);
    const int fd = ::open(image_.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(::pwrite(fd, &damaged, 1, static_cast<off_t>(at)), 1);
    ::close(fd);
  }

 private:
  static void Run(const std::vector<std::string>& words) {
    const Finished done = RunProgram(words);
    ASSERT_EQ(done.exit_code, 0) << words[0] << ": " << done.err;
  }

  TempDir dir_;
  const std::string image_ = dir_ / "image";
  const std::string place_;
};

}  // namespace outboxfs::test
