#include "common/range.h"

#include <gtest/gtest.h>

namespace outboxfs {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(RangeTest, ARangeThatDoesNotFitIsNone) {
  EXPECT_EQ((ByteRange{kMax - 1, kMax}), ByteRange::FromOffset(kMax - 1, 1));
  EXPECT_FALSE(ByteRange::FromOffset(kMax, 1));
  EXPECT_FALSE(ByteRange::FromOffset(2, kMax - 1));
}

TEST(RangeTest, TouchingRangesDoNotOverlap) {
  EXPECT_FALSE((ByteRange{0, 5}.Overlaps({5, 9})));
  EXPECT_TRUE((ByteRange{0, 6}.Overlaps({5, 9})));
}

TEST(RangeTest, IntersectionOfDistantRangesIsEmpty) {
  EXPECT_EQ((ByteRange{5, 6}), (ByteRange{0, 6}.Intersect({5, 9})));
  EXPECT_TRUE((ByteRange{0, 3}.Intersect({5, 9}).empty()));
  EXPECT_TRUE((ByteRange{5, 9}.Intersect({0, 3}).empty()));
}

TEST(RangeTest, ContainsIsInclusiveAtBothEnds) {
  EXPECT_TRUE((ByteRange{0, 5}.Contains({0, 5})));
  EXPECT_FALSE((ByteRange{0, 5}.Contains({0, 6})));
  EXPECT_TRUE((ByteRange{0, 5}.Contains({5, 5})));
}

}  // namespace
}  // namespace outboxfs
