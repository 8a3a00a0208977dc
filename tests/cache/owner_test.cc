#include "cache/owner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

#include "support/temp_dir.h"

namespace outboxfs::cache {
namespace {

using ::testing::HasSubstr;

class OwnerTest : public ::testing::Test {
 protected:
  Result<FileDescriptor> Take(const std::string& mountpoint = "/mnt/a b\n") {
    return TakeOwnership(dir_.path(), lock_path_, mountpoint);
  }

  test::TempDir dir_;
  const std::string lock_path_ = dir_ / "lock";
};

TEST_F(OwnerTest, IsKnownWhileItHoldsTheLock) {
  EXPECT_FALSE(OwnerOf(lock_path_));
  auto lock = Take();
  ASSERT_TRUE(lock) << lock.error().text;
  const auto owner = OwnerOf(lock_path_);
  ASSERT_TRUE(owner);
  EXPECT_EQ(owner->pid, ::getpid());
  EXPECT_EQ(owner->mountpoint, "/mnt/a b\n");
  lock->Close();
  EXPECT_FALSE(OwnerOf(lock_path_)) << "a pid that was left there means nobody";
}

TEST_F(OwnerTest, IsNobodyWhenTheFileNamesAnother) {
  const auto lock = Take();
  ASSERT_TRUE(lock) << lock.error().text;
  for (const char* note : {"1\n/mnt\n", "", "\n", "x", "99999999999999\n/mnt\n"}) {
    test::WriteFile(lock_path_, note);
    EXPECT_FALSE(OwnerOf(lock_path_)) << note;
  }
}

TEST_F(OwnerTest, ASecondOneIsToldWhoItIs) {
  const auto lock = Take();
  ASSERT_TRUE(lock) << lock.error().text;
  const auto second = Take();
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EBUSY);
  EXPECT_THAT(second.error().text,
              HasSubstr("in use by another outboxfs (pid " + std::to_string(::getpid()) + ")"));
}

}  // namespace
}  // namespace outboxfs::cache
