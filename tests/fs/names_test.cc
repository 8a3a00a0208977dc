#include "fs/names.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

namespace outboxfs::fs {
namespace {

int Code(std::string_view name) {
  const auto status = CheckName(name);
  return status ? 0 : status.error().code;
}

TEST(Names, OrdinaryOnesAreAccepted) {
  for (const char* name : {"a", "with space", "名前", ".hidden", "...", "-", "tab\tand\nnewline"}) {
    EXPECT_EQ(0, Code(name)) << name;
  }
  EXPECT_EQ(0, Code(std::string(255, 'x')));
}

TEST(Names, BadOnesAreRefusedWithTheRightErrno) {
  EXPECT_EQ(EINVAL, Code(""));
  EXPECT_EQ(EINVAL, Code("."));
  EXPECT_EQ(EINVAL, Code(".."));
  EXPECT_EQ(ENAMETOOLONG, Code(std::string(256, 'x')));
  EXPECT_EQ(EILSEQ, Code("\xff"));
  EXPECT_EQ(EILSEQ, Code("\xc0\xaf"));      // overlong "/"
  EXPECT_EQ(EILSEQ, Code("\xed\xa0\x80"));  // a surrogate
}

TEST(Names, TemporaryNamesAreRecognisedAndNothingElse) {
  EXPECT_TRUE(IsTempName(".obx-0123abcd-00000001"));
  EXPECT_TRUE(IsTempName(".obx-0123abcd-00000001.mkv"));
  for (const char* name :
       {".obx", ".obx-0123abcd", ".obx-0123abcd-0000000g", "x.obx-0123abcd-00000001",
        ".obx-0123abcd_00000001", ".obx-0123abcd-00000001x", ".obx-0123ABCD-00000001"}) {
    EXPECT_FALSE(IsTempName(name)) << name;
  }
}

TEST(Names, MountPathsAndServerPathsBelongTogether) {
  EXPECT_EQ("/", ServerPath("/", "/"));
  EXPECT_EQ("/a/b", ServerPath("/", "/a/b"));
  EXPECT_EQ("/cloud/x", ServerPath("/cloud/x", "/"));
  EXPECT_EQ("/cloud/x/a", ServerPath("/cloud/x", "/a"));
  EXPECT_EQ("/", MountPath("/cloud/x", "/cloud/x"));
  EXPECT_EQ("/a/b", MountPath("/cloud/x", "/cloud/x/a/b"));
  EXPECT_EQ("/a", MountPath("/", "/a"));
  EXPECT_FALSE(MountPath("/cloud/x", "/cloud/xy"));
  EXPECT_FALSE(MountPath("/cloud/x", "/cloud"));
  EXPECT_FALSE(MountPath("/cloud/x", "/other"));
}

}  // namespace
}  // namespace outboxfs::fs
