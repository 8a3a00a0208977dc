#include "cache/extent_map.h"

#include <gtest/gtest.h>

namespace outboxfs::cache {
namespace {

using enum ExtentKind;
using Extents = std::vector<Extent>;
using Ranges = std::vector<ByteRange>;

TEST(ExtentMapTest, TouchingExtentsOfOneKindBecomeOne) {
  ExtentMap map;
  map.Set({0, 5}, kDirty);
  map.Set({10, 15}, kDirty);
  map.Set({5, 10}, kDirty);
  EXPECT_EQ((Extents{{{0, 15}, kDirty}}), map.All());
}

TEST(ExtentMapTest, TouchingExtentsOfTwoKindsStayTwo) {
  ExtentMap map;
  map.Set({0, 5}, kDirty);
  map.Set({5, 10}, kClean);
  EXPECT_EQ((Extents{{{0, 5}, kDirty}, {{5, 10}, kClean}}), map.All());
}

TEST(ExtentMapTest, AWriteInTheMiddleSplits) {
  ExtentMap map;
  map.Set({0, 30}, kClean);
  map.Set({10, 20}, kDirty);
  EXPECT_EQ((Extents{{{0, 10}, kClean}, {{10, 20}, kDirty}, {{20, 30}, kClean}}), map.All());
  EXPECT_EQ(20u, map.Bytes(kClean));
}

TEST(ExtentMapTest, FetchedBytesNeverReplaceWrittenOnes) {
  ExtentMap map;
  map.Set({5, 10}, kDirty);
  map.Set({15, 20}, kZero);
  map.Fill({0, 25}, kClean);
  EXPECT_EQ((Extents{{{0, 5}, kClean},
                     {{5, 10}, kDirty},
                     {{10, 15}, kClean},
                     {{15, 20}, kZero},
                     {{20, 25}, kClean}}),
            map.All());
}

TEST(ExtentMapTest, ErasedRangesAreMissing) {
  ExtentMap map;
  map.Set({0, 100}, kDirty);
  map.Erase({20, 30});
  map.Erase({90, 200});
  EXPECT_EQ((Ranges{{20, 30}, {90, 120}}), map.Missing({0, 120}));
  EXPECT_TRUE(map.Covers({30, 90}));
  EXPECT_FALSE(map.Covers({29, 90}));
  EXPECT_TRUE(map.Covers({25, 25}));
}

TEST(ExtentMapTest, PresentIsCutToTheRange) {
  ExtentMap map;
  map.Set({0, 100}, kDirty);
  EXPECT_EQ((Extents{{{40, 60}, kDirty}}), map.Present({40, 60}));
  EXPECT_TRUE(map.Present({100, 200}).empty());
}

}  // namespace
}  // namespace outboxfs::cache
