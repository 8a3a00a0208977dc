#include "cli/nearest.h"

#include <gtest/gtest.h>

namespace outboxfs::cli {
namespace {

const std::vector<std::string> kKnown = {"cache-dir", "transfers", "write-back", "umask"};

TEST(Nearest, FindsTypingErrorsAndParts) {
  EXPECT_EQ(Nearest("transfer", kKnown), "transfers");
  EXPECT_EQ(Nearest("umsak", kKnown), "umask");
  EXPECT_EQ(Nearest("cache", kKnown), "cache-dir");
}

TEST(Nearest, StaysSilentWhenNothingIsNear) {
  EXPECT_EQ(Nearest("completely-else", kKnown), "");
  EXPECT_EQ(DidYouMean("completely-else", kKnown), "");
  EXPECT_EQ(Nearest("", kKnown), "");
}

TEST(Nearest, IsPutIntoWords) {
  EXPECT_EQ(DidYouMean("writeback", kKnown, "--"), " (did you mean --write-back?)");
}

}  // namespace
}  // namespace outboxfs::cli
