// The pure parts: paths, byte sets, read plans, waiting reads.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "server/intervals.h"
#include "server/path.h"
#include "server/read_plan.h"
#include "server/read_waiters.h"

namespace outboxfs::server {
namespace {

constexpr uint64_t kMiB = 1 << 20;

TEST(Path, IsNormalised) {
  EXPECT_EQ(*NormalizePath(""), "/");
  EXPECT_EQ(*NormalizePath("//a///b/"), "/a/b");
  EXPECT_EQ(*NormalizePath("中文/x y"), "/中文/x y");
}

TEST(Path, RefusesWhatLeavesTheDirectoryOrNamesNothing) {
  for (const std::string& bad :
       {std::string("/.."), std::string("/a/../b"), std::string("/./a"), std::string("/a\0b", 4),
        "/" + std::string(256, 'x'), std::string("/.outboxfs-server/x")}) {
    EXPECT_FALSE(NormalizePath(bad)) << bad;
  }
  EXPECT_TRUE(NormalizePath("/sub/.outboxfs-server"));
}

TEST(Path, ANumberGoesBeforeTheExtension) {
  EXPECT_EQ(NumberedName("/a.b/c.tar.gz", 2), "/a.b/c.tar(2).gz");
  EXPECT_EQ(NumberedName("/a.b/c", 1), "/a.b/c(1)");
  EXPECT_EQ(NumberedName("/.hidden", 1), "/.hidden(1)");
}

TEST(Intervals, AgreeWithABitmap) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    Intervals set;
    std::vector<bool> model(64);
    for (int step = 0; step < 12; ++step) {
      const uint64_t begin = random() % 64;
      const uint64_t end = begin + random() % (65 - begin);
      set.Add({begin, end});
      std::fill(model.begin() + static_cast<ptrdiff_t>(begin),
                model.begin() + static_cast<ptrdiff_t>(end), true);
      const uint64_t probe = random() % 64;
      const uint64_t probe_end = probe + random() % (65 - probe);
      const auto count = std::count(model.begin() + static_cast<ptrdiff_t>(probe),
                                    model.begin() + static_cast<ptrdiff_t>(probe_end), true);
      EXPECT_EQ(set.Covers({probe, probe_end}), static_cast<uint64_t>(count) == probe_end - probe);
      EXPECT_EQ(set.Overlaps({probe, probe_end}), count > 0);
    }
    EXPECT_EQ(set.total(), static_cast<uint64_t>(std::count(model.begin(), model.end(), true)));
    uint64_t missing = 0;
    for (const ByteRange& range : set.Missing(64)) missing += range.size();
    EXPECT_EQ(missing, 64 - set.total());
  }
}

std::vector<ReadAsk> All(ReadPlan plan) {
  std::vector<ReadAsk> list;
  while (const auto ask = plan.Next()) list.push_back(*ask);
  EXPECT_TRUE(plan.done());
  return list;
}

void ExpectCovers(const std::vector<ReadAsk>& asks, const std::vector<ByteRange>& wanted) {
  Intervals asked;
  for (const ReadAsk& ask : asks) asked.Add(ask.range);
  for (const ByteRange& range : wanted) EXPECT_TRUE(asked.Covers(range));
}

TEST(ReadPlan, SequentialAsksForEveryByteOnceInOrder) {
  Knobs knobs;
  const auto asks = All(ReadPlan({{0, 2 * kMiB + 5}}, knobs));
  const std::vector<ReadAsk> expected = {
      {{0, kMiB}, false}, {{kMiB, 2 * kMiB}, false}, {{2 * kMiB, 2 * kMiB + 5}, false}};
  EXPECT_EQ(asks, expected);
}

TEST(ReadPlan, RandomAsksForEveryByteOnceOutOfOrder) {
  Knobs knobs;
  knobs.read_order = ReadOrder::kRandom;
  for (uint64_t count = 1; count < 60; ++count) {
    const auto asks = All(ReadPlan({{0, count * kMiB}}, knobs));
    std::set<uint64_t> offsets;
    for (const ReadAsk& ask : asks) offsets.insert(ask.range.begin);
    EXPECT_EQ(offsets.size(), count);
    EXPECT_EQ(asks.size(), count);
    const bool sorted = std::is_sorted(
        asks.begin(), asks.end(),
        [](const ReadAsk& a, const ReadAsk& b) { return a.range.begin < b.range.begin; });
    EXPECT_TRUE(count <= 2 || !sorted) << count;
  }
}

TEST(ReadPlan, OverlappingReachesBackIntoWhatWasAskedBefore) {
  Knobs knobs;
  knobs.read_order = ReadOrder::kOverlapping;
  const auto asks = All(ReadPlan({{0, 3 * kMiB}}, knobs));
  ASSERT_EQ(asks.size(), 3U);
  EXPECT_EQ(asks[1].range, (ByteRange{kMiB / 2, 2 * kMiB}));
  ExpectCovers(asks, {{0, 3 * kMiB}});
}

TEST(ReadPlan, DuplicateAsksEachReadTwice) {
  Knobs knobs;
  knobs.read_order = ReadOrder::kDuplicate;
  const auto asks = All(ReadPlan({{0, 2 * kMiB}}, knobs));
  ASSERT_EQ(asks.size(), 4U);
  EXPECT_EQ(asks[0], asks[1]);
  EXPECT_EQ(asks[2], asks[3]);
  EXPECT_NE(asks[1], asks[2]);
}

TEST(ReadPlan, OnlyWhatIsMissingIsAskedFor) {
  for (ReadOrder order : {ReadOrder::kSequential, ReadOrder::kRandom}) {
    Knobs knobs;
    knobs.read_order = order;
    const std::vector<ByteRange> missing = {{10, 20}, {3 * kMiB, 5 * kMiB + 1}};
    const auto asks = All(ReadPlan(missing, knobs));
    uint64_t bytes = 0;
    for (const ReadAsk& ask : asks) bytes += ask.range.size();
    EXPECT_EQ(bytes, 10 + 2 * kMiB + 1);
    ExpectCovers(asks, missing);
  }
}

TEST(ReadPlan, MixedLazyFlagsHaveBothKinds) {
  Knobs knobs;
  knobs.lazy = LazyReads::kMixed;
  const auto asks = All(ReadPlan({{0, 2 * kMiB}}, knobs));
  ASSERT_EQ(asks.size(), 2U);
  EXPECT_NE(asks[0].lazy, asks[1].lazy);
}

TEST(ReadWaiters, APieceBelongsToARequestThatContainsItAndHasItsFlag) {
  ReadWaiters waiters;
  waiters.Ask({{100, 200}, true}, 1);
  EXPECT_TRUE(waiters.Waits({100, 200}, true));
  EXPECT_TRUE(waiters.Waits({150, 160}, true));
  EXPECT_FALSE(waiters.Waits({100, 200}, false));
  EXPECT_FALSE(waiters.Waits({100, 201}, true));
  EXPECT_FALSE(waiters.Waits({100, 100}, true));
}

TEST(ReadWaiters, ARequestIsDoneWhenItsPiecesCoverIt) {
  ReadWaiters waiters;
  waiters.Ask({{0, 100}, false}, 1);
  waiters.Fill({50, 100}, false);
  EXPECT_FALSE(waiters.empty());
  waiters.Fill({0, 50}, false);
  EXPECT_TRUE(waiters.empty());
  EXPECT_FALSE(waiters.Waits({0, 50}, false));
}

TEST(ReadWaiters, ADuplicateRequestNeedsOneAnswerAndAcceptsTwo) {
  ReadWaiters waiters;
  waiters.Ask({{0, 100}, false}, 1);
  waiters.Ask({{0, 100}, false}, 1);
  EXPECT_EQ(waiters.size(), 1U);
  waiters.Fill({0, 100}, false);
  EXPECT_TRUE(waiters.empty());
  EXPECT_TRUE(waiters.Waits({0, 100}, false));
}

TEST(ReadWaiters, OnlyWhatANewChannelCannotHaveSeenIsSentAgain) {
  ReadWaiters waiters;
  waiters.Ask({{0, 1}, false}, 0);
  waiters.Ask({{1, 2}, false}, 3);
  waiters.Ask({{2, 3}, false}, 4);
  EXPECT_EQ(waiters.TakeUnsent(4, true).size(), 1U);
  EXPECT_EQ(waiters.TakeUnsent(4, false).size(), 1U);
  EXPECT_TRUE(waiters.TakeUnsent(4, false).empty());
  EXPECT_EQ(waiters.TakeUnsent(5, false).size(), 3U);
}

TEST(ReadWaiters, AnEmptyRequestTakesAnEmptyAnswer) {
  ReadWaiters waiters;
  waiters.Ask({}, 1);
  EXPECT_TRUE(waiters.Waits({0, 0}, false));
  waiters.Fill({0, 0}, false);
  EXPECT_TRUE(waiters.empty());
}

}  // namespace
}  // namespace outboxfs::server
