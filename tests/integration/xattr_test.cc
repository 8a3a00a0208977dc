// Extended attributes, through the kernel and with the programs that use them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/xattr.h>

#include <cerrno>
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
using ::testing::HasSubstr;

// Its value, or the name of the errno.
std::string Get(const std::string& path, const std::string& name) {
  char value[1 << 16];
  const ssize_t size = ::getxattr(path.c_str(), name.c_str(), value, sizeof value);
  if (size < 0) return ::strerrorname_np(errno);
  return {value, static_cast<size_t>(size)};
}

std::string Set(const std::string& path, const std::string& name, const std::string& value,
                int flags = 0) {
  if (::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), flags) == 0) return "";
  return ::strerrorname_np(errno);
}

std::string List(const std::string& path) {
  char names[1 << 16];
  const ssize_t size = ::listxattr(path.c_str(), names, sizeof names);
  if (size < 0) return ::strerrorname_np(errno);
  std::string list(names, static_cast<size_t>(size));
  for (char& c : list) c = c == '\0' ? ' ' : c;
  return list;
}

class XattrTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(mount_.ok()) << mount_.error(); }
  void WaitEvicted() {
    ASSERT_EQ(mount_.WaitUploaded().exit_code, 0) << mount_.Status(".items");
    ASSERT_TRUE(Eventually([&] { return mount_.StagedFiles() == 0; }));
  }
  ProgramMount mount_;
};

TEST_F(XattrTest, StayOverUploadEvictionRenameAndRestart) {
  const std::string file = mount_ / "file";
  WriteFile(file, "content");
  fs::create_directory(mount_ / "dir");
  EXPECT_EQ(Set(file, "user.a", "staged"), "");
  EXPECT_EQ(Set(mount_ / "dir", "user.d", "of a directory"), "");
  EXPECT_EQ(Set(mount_.path(), "user.r", "of the root"), "");
  EXPECT_EQ(Set(file, "user.a", "x", XATTR_CREATE), "EEXIST");
  EXPECT_EQ(Set(file, "user.b", "x", XATTR_REPLACE), "ENODATA");
  WaitEvicted();
  EXPECT_EQ(Get(file, "user.a"), "staged");
  EXPECT_EQ(Set(file, "user.b", "evicted"), "");
  fs::rename(file, mount_ / "dir/moved");
  EXPECT_EQ(mount_.Unmount().exit_code, 0);
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  EXPECT_EQ(Get(mount_ / "dir/moved", "user.a"), "staged");
  EXPECT_EQ(Get(mount_ / "dir/moved", "user.b"), "evicted");
  EXPECT_EQ(List(mount_ / "dir/moved"), "user.a user.b ");
  EXPECT_EQ(Get(mount_ / "dir", "user.d"), "of a directory");
  EXPECT_EQ(Get(mount_.path(), "user.r"), "of the root");
  EXPECT_EQ(::removexattr((mount_ / "dir/moved").c_str(), "user.a"), 0);
  EXPECT_EQ(List(mount_ / "dir/moved"), "user.b ");
  // A new file of the name has none; written in place it keeps them.
  WriteFile(mount_ / "new", "new");
  fs::rename(mount_ / "new", mount_ / "dir/moved");
  EXPECT_EQ(List(mount_ / "dir/moved"), "");
}

TEST_F(XattrTest, ChangingThemUploadsNothing) {
  WriteFile(mount_ / "file", "content");
  WaitEvicted();
  const std::string done = mount_.Status(".uploads.done");
  EXPECT_EQ(Set(mount_ / "file", "user.a", "1"), "");
  WaitEvicted();
  EXPECT_EQ(mount_.Status(".uploads.done"), done);
}

TEST_F(XattrTest, AFileThatWasMadeElsewhereCanHaveThemUntilItIsReplacedThere) {
  WriteFile(mount_.cloud() + "/foreign", "one");
  ASSERT_TRUE(Eventually([&] { return fs::exists(mount_ / "foreign"); }));
  EXPECT_EQ(Set(mount_ / "foreign", "user.a", "mine"), "");
  EXPECT_EQ(Get(mount_ / "foreign", "user.a"), "mine");
  EXPECT_EQ(mount_.Unmount().exit_code, 0);
  WriteFile(mount_.cloud() + "/foreign", "another one");
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  EXPECT_EQ(Get(mount_ / "foreign", "user.a"), "ENODATA");
  EXPECT_EQ(List(mount_ / "foreign"), "");
  EXPECT_EQ(Set(mount_ / "foreign", "user.b", "of the new one"), "");
  EXPECT_EQ(List(mount_ / "foreign"), "user.b ");
}

TEST_F(XattrTest, OursTellAboutTheFileAndCannotBeChangedOrCopied) {
  WriteFile(mount_ / "file", "content");
  EXPECT_EQ(Set(mount_ / "file", "user.outboxfs.state", "x"), "EPERM");
  WaitEvicted();
  EXPECT_EQ(Get(mount_ / "file", "user.outboxfs.state"), "remote");
  EXPECT_EQ(Get(mount_ / "file", "user.outboxfs.error"), "ENODATA");
  EXPECT_EQ(Get(mount_ / "file", "user.outboxfs.identity"), "hash");
  EXPECT_EQ(Get(mount_ / "file", "user.outboxfs.hash.sha1"),
            "040f06fd774092478d450774f5ba30c5da78acc8");
  EXPECT_EQ(List(mount_ / "file"), "");
}

TEST_F(XattrTest, OtherKindsAreNotSupported) {
  WriteFile(mount_ / "file", "content");
  EXPECT_EQ(Set(mount_ / "file", "trusted.a", "x"), "EOPNOTSUPP");
  EXPECT_EQ(Set(mount_ / "file", "security.a", "x"), "EOPNOTSUPP");
  EXPECT_EQ(Get(mount_ / "file", "security.capability"), "ENODATA");
}

TEST_F(XattrTest, RsyncCarriesThemAndTheSecondTimeDoesNothing) {
  const std::string source = mount_.dir() / "source";
  fs::create_directories(source + "/sub");
  WriteFile(source + "/sub/file", "content");
  ASSERT_EQ(Set(source + "/sub/file", "user.note", "carried"), "") << "the disk's own";
  const Finished first = RunProgram({"rsync", "-aX", source + "/", mount_ / "copy/"});
  EXPECT_EQ(first.exit_code, 0) << first.err;
  WaitEvicted();
  EXPECT_EQ(Get(mount_ / "copy/sub/file", "user.note"), "carried");
  const Finished second = RunProgram({"rsync", "-aXi", source + "/", mount_ / "copy/"});
  EXPECT_EQ(second.exit_code, 0) << second.err;
  EXPECT_EQ(second.out, "");
}

}  // namespace
}  // namespace outboxfs
