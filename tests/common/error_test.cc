#include "common/error.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "common/result.h"

namespace outboxfs {
namespace {

Result<int> Half(int value) {
  if (value % 2 != 0) return Fail(EINVAL, "odd", Retry::kPark);
  return value / 2;
}

TEST(ErrorTest, AResultIsAValueOrAnError) {
  EXPECT_EQ(2, *Half(4));
  const auto failed = Half(3);
  ASSERT_FALSE(failed);
  EXPECT_EQ(EINVAL, failed.error().code);
  EXPECT_EQ(Retry::kPark, failed.error().retry);
}

TEST(ErrorTest, ContextIsAddedInFront) {
  Error error = Error::FromErrno(ENOENT, "open /f");
  EXPECT_EQ("open /f: No such file or directory", error.text);
  EXPECT_EQ("upload: open /f: No such file or directory", error.Prepend("upload").text);
  EXPECT_EQ(ENOENT, error.code);
}

TEST(ErrorTest, EveryRetryHasAName) {
  EXPECT_EQ("backoff", ToString(Retry::kBackoff));
  EXPECT_EQ("pause-all", ToString(Retry::kPauseAll));
  EXPECT_EQ("park", ToString(Retry::kPark));
}

}  // namespace
}  // namespace outboxfs
