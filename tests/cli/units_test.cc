#include "cli/units.h"

#include <gtest/gtest.h>

namespace outboxfs::cli {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::nanoseconds;
using std::chrono::seconds;

TEST(Sizes, AreReadAsRcloneReadsThem) {
  EXPECT_EQ(*ParseSize("16M"), 16U << 20);
  EXPECT_EQ(*ParseSize("16Mi"), 16U << 20);
  EXPECT_EQ(*ParseSize("1GiB"), 1U << 30);
  EXPECT_EQ(*ParseSize("1.5k"), 1536U);
  EXPECT_EQ(*ParseSize("100B"), 100U);
  EXPECT_EQ(*ParseSize("10"), 10U << 10) << "a bare number counts KiB";
  EXPECT_EQ(*ParseSize("off"), 0U);
  EXPECT_EQ(*ParseSize("0"), 0U);
}

TEST(Sizes, NonsenseIsRefusedWithExamples) {
  for (const char* text : {"", "M", "-1M", "1X", "1MM", "1M ", "1..5M", "99999999P", "1e9"}) {
    const Result<uint64_t> size = ParseSize(text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, EINVAL);
    EXPECT_NE(size.error().text.find("512K"), std::string::npos) << size.error().text;
  }
}

TEST(Durations, AreReadAsRcloneReadsThem) {
  EXPECT_EQ(*ParseDuration("1s"), seconds(1));
  EXPECT_EQ(*ParseDuration("1h30m"), hours(1) + minutes(30));
  EXPECT_EQ(*ParseDuration("500ms"), milliseconds(500));
  EXPECT_EQ(*ParseDuration("1.5s"), milliseconds(1500));
  EXPECT_EQ(*ParseDuration("10"), seconds(10)) << "a bare number counts seconds";
  EXPECT_EQ(*ParseDuration("2d"), hours(48));
  EXPECT_EQ(*ParseDuration("0"), nanoseconds(0));
  EXPECT_EQ(*ParseDuration("off"), nanoseconds::max());
}

TEST(Durations, NonsenseIsRefused) {
  for (const char* text : {"", "s", "-1s", "1x", "1h30", "1 s", "9999999y"}) {
    EXPECT_FALSE(ParseDuration(text)) << text;
  }
}

TEST(Numbers, KeepTheirLimits) {
  EXPECT_EQ(*ParseNumber("4", 1, 64), 4);
  EXPECT_FALSE(ParseNumber("0", 1, 64));
  EXPECT_FALSE(ParseNumber("65", 1, 64));
  EXPECT_FALSE(ParseNumber("4x", 1, 64));
  EXPECT_FALSE(ParseNumber("99999999999999999999", 1, 64));
}

TEST(Permissions, AreOctal) {
  EXPECT_EQ(*ParseMode("022"), 022U);
  EXPECT_EQ(*ParseMode("755"), 0755U);
  EXPECT_FALSE(ParseMode("9"));
  EXPECT_FALSE(ParseMode("77777"));
}

TEST(Switches, TakeTheUsualWords) {
  EXPECT_TRUE(*ParseSwitch("yes"));
  EXPECT_FALSE(*ParseSwitch("false"));
  EXPECT_FALSE(ParseSwitch("maybe"));
}

}  // namespace
}  // namespace outboxfs::cli
