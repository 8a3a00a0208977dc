// Symbolic links: refused, and with --links kept.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "support/program.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Finished;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::WriteFile;
using ::testing::UnorderedElementsAre;

std::vector<std::string> Names(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(dir)) names.push_back(entry.path().filename());
  return names;
}

TEST(Links, WithoutTheFlagTheyAreRefused) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  EXPECT_EQ(::symlink("target", (mount / "link").c_str()), -1);
  EXPECT_EQ(errno, EPERM);
  WriteFile(mount / "a.rclonelink", "a file like any other");
  EXPECT_TRUE(fs::is_regular_file(mount / "a.rclonelink"));
}

class LinksTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(mount_.ok()) << mount_.error(); }
  void WaitEvicted() {
    ASSERT_EQ(mount_.WaitUploaded().exit_code, 0) << mount_.Status(".items");
    ASSERT_TRUE(Eventually([&] { return mount_.StagedFiles() == 0; }));
  }
  std::string Cloud(const std::string& name) { return mount_.cloud() + "/" + name; }
  ProgramMount mount_{{.flags = {"--links"}}};
};

TEST_F(LinksTest, AreMadeReadListedKeptAndRemoved) {
  WriteFile(mount_ / "file", "content");
  fs::create_symlink("file", mount_ / "link");
  fs::create_symlink("no/such/place", mount_ / "dangling");
  const auto check = [&] {
    EXPECT_EQ(fs::read_symlink(mount_ / "link"), "file");
    EXPECT_EQ(ReadWholeFile(mount_ / "link"), "content");
    EXPECT_EQ(fs::read_symlink(mount_ / "dangling"), "no/such/place");
    EXPECT_THAT(Names(mount_.path()), UnorderedElementsAre("file", "link", "dangling"));
    struct stat st = {};
    EXPECT_EQ(::lstat((mount_ / "link").c_str(), &st), 0);
    EXPECT_TRUE(S_ISLNK(st.st_mode));
    EXPECT_EQ(st.st_size, 4);
  };
  check();
  WaitEvicted();
  check();
  EXPECT_EQ(ReadWholeFile(Cloud("link.rclonelink")), "file");
  EXPECT_EQ(mount_.Unmount().exit_code, 0);
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  check();
  EXPECT_TRUE(fs::remove(mount_ / "link"));
  EXPECT_THAT(Names(mount_.path()), UnorderedElementsAre("file", "dangling"));
  EXPECT_TRUE(fs::exists(mount_ / "file"));
  EXPECT_FALSE(fs::exists(Cloud("link.rclonelink")));
}

TEST_F(LinksTest, ReplaceFilesAndAreReplacedByThem) {
  WriteFile(mount_ / "file", "content");
  fs::create_symlink("one", mount_ / "link");
  fs::rename(mount_ / "link", mount_ / "renamed");
  EXPECT_EQ(fs::read_symlink(mount_ / "renamed"), "one");
  WaitEvicted();
  fs::rename(mount_ / "renamed", mount_ / "file");
  EXPECT_EQ(fs::read_symlink(mount_ / "file"), "one");
  EXPECT_THAT(Names(mount_.path()), UnorderedElementsAre("file"));
  WriteFile(mount_ / "new", "new");
  EXPECT_EQ(::renameat2(AT_FDCWD, (mount_ / "new").c_str(), AT_FDCWD, (mount_ / "file").c_str(),
                        RENAME_NOREPLACE),
            -1);
  EXPECT_EQ(errno, EEXIST);
  fs::rename(mount_ / "new", mount_ / "file");
  EXPECT_TRUE(fs::is_regular_file(fs::symlink_status(mount_ / "file")));
  WaitEvicted();
  EXPECT_EQ(ReadWholeFile(Cloud("file")), "new");
  EXPECT_THAT(Names(mount_.path()), UnorderedElementsAre("file"));
}

TEST_F(LinksTest, TheirFilesCannotBeMadeByHand) {
  EXPECT_EQ(::open((mount_ / "x.rclonelink").c_str(), O_CREAT | O_WRONLY, 0644), -1);
  EXPECT_EQ(errno, EPERM);
  WriteFile(mount_ / "file", "x");
  EXPECT_EQ(::rename((mount_ / "file").c_str(), (mount_ / "y.rclonelink").c_str()), -1);
  EXPECT_EQ(errno, EPERM);
  fs::create_directory(mount_ / "dir.rclonelink");
  EXPECT_TRUE(fs::is_directory(mount_ / "dir.rclonelink"));
  const std::string longest(245, 'n');  // with the ending too long for a name
  EXPECT_EQ(::symlink("target", (mount_ / longest).c_str()), -1);
  EXPECT_EQ(errno, ENAMETOOLONG);
}

TEST_F(LinksTest, ProgramsCopyThemAndTheSecondTimeDoNothing) {
  const std::string source = mount_.dir() / "source";
  fs::create_directories(source + "/sub");
  WriteFile(source + "/sub/file", "content");
  fs::create_symlink("sub/file", source + "/to-file");
  fs::create_symlink("sub", source + "/to-dir");
  const Finished copied = RunProgram({"cp", "-a", source, mount_ / "cp"});
  EXPECT_EQ(copied.exit_code, 0) << copied.err;
  const Finished first = RunProgram({"rsync", "-a", source + "/", mount_ / "rsync/"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  WaitEvicted();
  for (const char* copy : {"cp", "rsync"}) {
    EXPECT_EQ(RunProgram({"diff", "-r", "--no-dereference", source, mount_ / copy}).out, "");
  }
  const Finished second = RunProgram({"rsync", "-ai", source + "/", mount_ / "rsync/"});
  EXPECT_EQ(second.out, "") << second.err;
}

}  // namespace
}  // namespace outboxfs
