// Files that were being written when the daemon was killed: kept up to what was written, shown, and
// uploaded only when somebody says so.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "support/program.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::SameBytes;
using test::WriteFile;

// With passthrough and without.
class InterruptedTest : public ::testing::TestWithParam<bool> {
 protected:
  // An old version of "file" is on the server; a new one, and "fresh", are being written at the
  // kill.
  void SetUp() override {
    if (!GetParam()) mount_.spec().flags.emplace_back("--no-passthrough");
    mount_.Unmount();
    ASSERT_TRUE(mount_.Mount()) << mount_.error();
    WriteFile(mount_ / "file", "the old version");
    ASSERT_EQ(mount_.WaitUploaded().exit_code, 0);
    pid_ = mount_.Pid();
    file_ = Write("file", O_TRUNC);
    fresh_ = Write("fresh", O_CREAT);
    WriteFile(mount_ / "closed", "all of it");
  }
  int Write(const std::string& name, int flags) {
    const int fd = ::open((mount_ / name).c_str(), O_WRONLY | O_CLOEXEC | flags, 0644);
    EXPECT_EQ(::pwrite(fd, half_.data(), half_.size(), 0), static_cast<ssize_t>(half_.size()));
    return fd;
  }
  // The writers die with it.
  void KillAndMount() {
    mount_.Kill(pid_);
    ::close(file_);
    ::close(fresh_);
    ASSERT_TRUE(mount_.Mount()) << mount_.error();
  }
  std::string StateOf(const std::string& name) const {
    return mount_.Status(".items[] | select(.path == \"/" + name + "\") | .state");
  }
  std::string Cloud(const std::string& name) const {
    return ReadWholeFile(mount_.cloud() + "/" + name);
  }

  const std::string half_ = Pattern(300'000);
  ProgramMount mount_;
  std::string pid_;
  int file_ = -1;
  int fresh_ = -1;
};

TEST_P(InterruptedTest, TheyAreKeptUntilSomebodyLetsThemGo) {
  KillAndMount();
  for (const char* name : {"file", "fresh"}) {
    EXPECT_EQ(StateOf(name), "interrupted");
    EXPECT_TRUE(SameBytes(ReadWholeFile(mount_ / name), half_));
  }
  EXPECT_EQ(mount_.WaitUploaded().exit_code, 1) << "they need somebody";
  EXPECT_EQ(Cloud("closed"), "all of it");
  EXPECT_EQ(Cloud("file"), "the old version");
  EXPECT_FALSE(fs::exists(mount_.cloud() + "/fresh"));
  ASSERT_EQ(mount_.Outboxfs({"retry", mount_ / "file"}).exit_code, 0);
  EXPECT_TRUE(Eventually([this] { return Cloud("file") == half_; }));
  EXPECT_FALSE(fs::exists(mount_.cloud() + "/fresh"));
}

TEST_P(InterruptedTest, TheyAreLetGoByBeingWrittenAgain) {
  KillAndMount();
  WriteFile(mount_ / "file", "written again");
  ASSERT_EQ(::unlink((mount_ / "fresh").c_str()), 0);
  EXPECT_EQ(mount_.WaitUploaded().exit_code, 0);
  EXPECT_EQ(Cloud("file"), "written again");
  EXPECT_FALSE(fs::exists(mount_.cloud() + "/fresh"));
}

TEST_P(InterruptedTest, TheyAreUploadedAsTheyAreWhenToldSo) {
  mount_.spec().flags.insert(mount_.spec().flags.end(), {"--on-interrupted", "upload"});
  KillAndMount();
  EXPECT_EQ(mount_.WaitUploaded().exit_code, 0);
  EXPECT_TRUE(SameBytes(Cloud("file"), half_));
  EXPECT_TRUE(SameBytes(Cloud("fresh"), half_));
}

// The kernel goes on without the daemon.
class StillWrittenTest : public InterruptedTest {};

TEST_P(StillWrittenTest, TheUploadWaitsForTheWriter) {
  ASSERT_EQ(mount_.Status(".mount.passthrough"), "true");
  mount_.spec().flags.insert(mount_.spec().flags.end(), {"--on-interrupted", "upload"});
  mount_.Kill(pid_);
  ::close(fresh_);
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  EXPECT_TRUE(Eventually([this] { return Cloud("fresh") == half_; }));
  EXPECT_EQ(Cloud("file"), "the old version");
  EXPECT_EQ(::pwrite(file_, "more", 4, static_cast<off_t>(half_.size())), 4);
  EXPECT_NE(StateOf("file"), "");
  EXPECT_EQ(Cloud("file"), "the old version");
  ::close(file_);
  EXPECT_TRUE(Eventually([this] { return Cloud("file") == half_ + "more"; }));
}

INSTANTIATE_TEST_SUITE_P(All, InterruptedTest, ::testing::Bool(),
                         [](const auto& test) { return test.param ? "Passthrough" : "Daemon"; });

INSTANTIATE_TEST_SUITE_P(Passthrough, StillWrittenTest, ::testing::Values(true));

}  // namespace
}  // namespace outboxfs
