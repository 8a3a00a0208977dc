#include "cache/item.h"

#include <gtest/gtest.h>

namespace outboxfs::cache {
namespace {

TEST(ItemTest, ASealedItemCanAlwaysBeWrittenSealedAgainOrRemoved) {
  for (const State from : {State::kWaiting, State::kUploading, State::kVerifying, State::kPlacing,
                           State::kParked, State::kClean}) {
    EXPECT_TRUE(IsLegal(from, State::kOpen)) << ToString(from);
    EXPECT_TRUE(IsLegal(from, State::kSealing)) << ToString(from);
    EXPECT_TRUE(IsLegal(from, State::kRemoving)) << ToString(from);
  }
}

TEST(ItemTest, NothingIsUploadedWithoutASeal) {
  for (const State from : {State::kOpen, State::kInterrupted, State::kSealing}) {
    EXPECT_FALSE(IsLegal(from, State::kUploading)) << ToString(from);
    EXPECT_FALSE(IsLegal(from, State::kVerifying)) << ToString(from);
    EXPECT_FALSE(IsLegal(from, State::kPlacing)) << ToString(from);
  }
}

TEST(ItemTest, AnInterruptedItemIsNotTakenForClosed) {
  EXPECT_FALSE(IsLegal(State::kInterrupted, State::kWaiting));
  EXPECT_TRUE(IsLegal(State::kInterrupted, State::kSealing));
}

TEST(ItemTest, ARemovedItemStaysRemoved) {
  for (int to = 0; to < static_cast<int>(State::kRemoving); ++to) {
    EXPECT_FALSE(IsLegal(State::kRemoving, static_cast<State>(to)));
  }
}

TEST(IdentityTest, DifferentSizesAreDifferentVersions) {
  EXPECT_FALSE(SameVersion({1, 0, "", {}}, {2, 0, "", {}}));
  EXPECT_TRUE(SameVersion({1, 0, "", {}}, {1, 0, "", {}}));
}

TEST(IdentityTest, AComparableHashDecidesAlone) {
  EXPECT_TRUE(SameVersion({1, 5'000'000'000, "a", {{2, "x"}}}, {1, 0, "b", {{2, "x"}}}));
  EXPECT_FALSE(SameVersion({1, 0, "a", {{2, "x"}}}, {1, 0, "a", {{2, "y"}}}));
  EXPECT_FALSE(SameVersion({1, 0, "a", {{1, "m"}, {2, "x"}}}, {1, 0, "a", {{1, "m"}, {2, "y"}}}));
}

TEST(IdentityTest, WithoutAComparableHashIdAndTimeMustAgreeWhereBothHaveThem) {
  EXPECT_TRUE(SameVersion({1, 0, "a", {{1, "x"}}}, {1, 0, "a", {{2, "y"}}}));
  EXPECT_FALSE(SameVersion({1, 0, "a", {}}, {1, 0, "b", {}}));
  EXPECT_TRUE(SameVersion({1, 0, "a", {}}, {1, 0, "", {}}));
  EXPECT_TRUE(SameVersion({1, 5'000'000'001, "", {}}, {1, 5'900'000'000, "", {}}));
  EXPECT_FALSE(SameVersion({1, 5'000'000'000, "", {}}, {1, 6'000'000'000, "", {}}));
  EXPECT_TRUE(SameVersion({1, 5'000'000'000, "", {}}, {1, 0, "", {}}));
}

}  // namespace
}  // namespace outboxfs::cache
