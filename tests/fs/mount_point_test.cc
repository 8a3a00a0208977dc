#include "fs/mount_point.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>

#include "support/temp_dir.h"

namespace outboxfs::fs {
namespace {

int Code(const std::string& path, bool allow_nonempty = false) {
  const auto prepared = PrepareMountpoint(path, allow_nonempty);
  return prepared ? 0 : prepared.error().code;
}

TEST(MountPoint, TheMountTableIsParsed) {
  const auto entries = ParseMountInfo(
      "36 35 98:0 /root /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
      "garbage\n"
      "77 50 0:40 / /tmp/with\\040space/x rw shared:5 master:2 - fuse.outboxfs nas:19798/a "
      "rw,user_id=0\n");
  ASSERT_EQ(2U, entries.size());
  EXPECT_EQ("/mnt", entries[0].mountpoint);
  EXPECT_EQ("ext3", entries[0].type);
  EXPECT_EQ("/tmp/with space/x", entries[1].mountpoint);
  EXPECT_EQ("fuse.outboxfs", entries[1].type);
  EXPECT_EQ("nas:19798/a", entries[1].source);
  EXPECT_EQ(40U, entries[1].device_minor);
}

TEST(MountPoint, WhatCannotBeMountedOnIsRefused) {
  const test::TempDir dir;
  EXPECT_EQ(0, Code(dir.path()));
  EXPECT_EQ(ENOENT, Code(dir / "missing"));
  test::WriteFile(dir / "file", "x");
  EXPECT_EQ(ENOTDIR, Code(dir / "file"));
  EXPECT_EQ(ENOTEMPTY, Code(dir.path()));
  EXPECT_EQ(0, Code(dir.path(), true));
}

TEST(MountPoint, SymbolicLinksAreResolved) {
  const test::TempDir dir;
  std::filesystem::create_directory(dir / "real");
  std::filesystem::create_directory_symlink(dir / "real", dir / "link");
  const auto prepared = PrepareMountpoint(dir / "link", false);
  ASSERT_TRUE(prepared) << prepared.error().text;
  EXPECT_EQ(std::filesystem::canonical(dir / "real"), *prepared);
}

}  // namespace
}  // namespace outboxfs::fs
