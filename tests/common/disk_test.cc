#include "common/disk.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <cerrno>
#include <filesystem>

namespace outboxfs {
namespace {

class DiskTest : public ::testing::Test {
 protected:
  DiskTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "outboxfs-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  ~DiskTest() override { std::filesystem::remove_all(directory_); }

  static std::span<const std::byte> Bytes(const std::string& text) {
    return std::as_bytes(std::span(text));
  }

  std::string directory_;
};

TEST_F(DiskTest, WhatIsWrittenIsReadAndAReadEndsAtTheEnd) {
  const auto file = disk::Open(directory_ + "/f", O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  ASSERT_TRUE(disk::WriteAt(file->get(), Bytes("hello"), 3));
  ASSERT_TRUE(disk::DataSync(file->get()));
  std::string text(10, 'x');
  EXPECT_EQ(5u, *disk::ReadAt(file->get(), std::as_writable_bytes(std::span(text)), 3));
  EXPECT_EQ("hello", text.substr(0, 5));
  ASSERT_TRUE(disk::Truncate(file->get(), 4));
  EXPECT_EQ(4, disk::Stat(file->get())->st_size);
}

TEST_F(DiskTest, ErrorsCarryTheErrnoAndThePath) {
  const auto missing = disk::Open(directory_ + "/missing", O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(ENOENT, missing.error().code);
  EXPECT_NE(std::string::npos, missing.error().text.find("/missing"));
  EXPECT_EQ(EBADF, disk::WriteAt(-1, Bytes("x"), 0).error().code);
}

TEST_F(DiskTest, DescriptorsAreNotInheritedAndAreClosed) {
  int number = -1;
  {
    const auto file = disk::Open(directory_ + "/f", O_RDWR | O_CREAT);
    number = file->get();
    EXPECT_EQ(FD_CLOEXEC, ::fcntl(number, F_GETFD));
  }
  EXPECT_EQ(-1, ::fcntl(number, F_GETFD));
}

TEST_F(DiskTest, AMovedDescriptorHasOneOwner) {
  FileDescriptor a = std::move(*disk::Open(directory_ + "/f", O_RDWR | O_CREAT));
  const int number = a.get();
  FileDescriptor b = std::move(a);
  EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): that is what is tested
  EXPECT_EQ(number, b.get());
}

TEST_F(DiskTest, MakeDirsMakesTheParentsAndAcceptsWhatIsThere) {
  EXPECT_TRUE(disk::MakeDirs(directory_ + "/a/b/c"));
  EXPECT_TRUE(disk::MakeDirs(directory_ + "/a/b/c"));
  EXPECT_TRUE(disk::SyncDir(directory_ + "/a/b"));
  ASSERT_TRUE(disk::Open(directory_ + "/file", O_RDWR | O_CREAT));
  EXPECT_FALSE(disk::MakeDirs(directory_ + "/file"));
}

TEST_F(DiskTest, RemovingWhatIsNotThereIsSuccess) {
  ASSERT_TRUE(disk::Open(directory_ + "/f", O_RDWR | O_CREAT));
  EXPECT_TRUE(disk::Rename(directory_ + "/f", directory_ + "/g"));
  EXPECT_FALSE(disk::Rename(directory_ + "/f", directory_ + "/g"));
  EXPECT_TRUE(disk::Remove(directory_ + "/g"));
  EXPECT_TRUE(disk::Remove(directory_ + "/g"));
  EXPECT_GT(*disk::FreeBytes(directory_), 0u);
}

}  // namespace
}  // namespace outboxfs
