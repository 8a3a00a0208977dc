// The token bucket, the holding pen, the verification board and the choice of placing steps.
#include <gtest/gtest.h>

#include "upload/holding_pen.h"
#include "upload/placing.h"
#include "upload/rate.h"
#include "upload/server_queue.h"
#include "upload/verify_board.h"

namespace outboxfs::upload {
namespace {

using namespace std::chrono_literals;

const SteadyTime kNow = SteadyTime(1h);

TEST(TokenBucket, WithoutALimitNobodyWaits) {
  TokenBucket bucket(0);
  EXPECT_EQ(bucket.Take(1 << 30, kNow), 0s);
}

TEST(TokenBucket, TheMeanRateIsKept) {
  TokenBucket bucket(1000);
  SteadyTime now = kNow;
  for (int i = 0; i < 10; ++i) now += bucket.Take(1000, now);
  EXPECT_GE(now - kNow, 9700ms);
  EXPECT_LE(now - kNow, 10s);
}

TEST(TokenBucket, IdleTimeIsNotSavedUp) {
  TokenBucket bucket(1000);
  EXPECT_EQ(bucket.Take(250, kNow), 0s);
  EXPECT_EQ(bucket.Take(250, kNow + 1h), 0s);
  EXPECT_GE(bucket.Take(1000, kNow + 1h), 999ms);
}

TEST(FindUpload, ByItsIdOrByAPathThatIsNotAnothersOfOurs) {
  const std::vector<remote::QueuedUpload> queue = {
      {"theirs", "/f", 7, remote::UploadStatus::kTransfer, ""},
      {"finished", "/f", 7, remote::UploadStatus::kFinish, ""},
      {"ours", "/g", 7, remote::UploadStatus::kTransfer, ""}};
  const auto is_theirs = [](const std::string& key) { return key == "theirs"; };
  const auto is_nobodys = [](const std::string&) { return false; };
  EXPECT_EQ(FindUpload(queue, "ours", "/f", is_theirs)->key, "ours");
  EXPECT_EQ(FindUpload(queue, "", "/f", is_nobodys)->key, "theirs");
  EXPECT_EQ(FindUpload(queue, "", "/f", is_theirs)->key, "finished");
  EXPECT_EQ(FindUpload(queue, "", "/h", is_theirs), nullptr);
}

remote::ChannelEvent EventFor(const std::string& id, uint64_t offset) {
  return {id, remote::ReadRequest{offset, 1, false}};
}

TEST(HoldingPen, GivesBackInOrderWhatWasHeldForAnId) {
  HoldingPen pen(10, 5s);
  pen.Hold(EventFor("a", 1), kNow);
  pen.Hold(EventFor("b", 2), kNow);
  pen.Hold(EventFor("a", 3), kNow);
  const auto taken = pen.Take("a");
  ASSERT_EQ(taken.size(), 2U);
  EXPECT_EQ(std::get<remote::ReadRequest>(taken[1].what).offset, 3U);
  EXPECT_TRUE(pen.Take("a").empty());
  EXPECT_FALSE(pen.empty());
}

TEST(HoldingPen, IsBoundedInNumberAndTimeAndCountsWhatItDrops) {
  HoldingPen pen(2, 5s);
  pen.Hold(EventFor("a", 1), kNow);
  pen.Hold(EventFor("b", 2), kNow + 1s);
  pen.Hold(EventFor("c", 3), kNow + 2s);
  EXPECT_EQ(pen.dropped(), 1U);
  EXPECT_TRUE(pen.HasLost("a"));
  EXPECT_FALSE(pen.HasLost("b"));
  pen.DropExpired(kNow + 6s);
  EXPECT_EQ(pen.dropped(), 2U);
  EXPECT_EQ(pen.Take("c").size(), 1U);
}

TEST(VerifyBoard, TheFirstListingGoesAtOnceAndServesAllThatWait) {
  VerifyBoard board(2s);
  board.Add("/d", 1, kNow);
  board.Add("/d", 2, kNow);
  board.Add("/e", 3, kNow);
  const auto batches = board.TakeDue(kNow);
  ASSERT_EQ(batches.size(), 2U);
  EXPECT_EQ(batches[0].keys, (std::vector<RunKey>{1, 2}));
}

TEST(VerifyBoard, OneListingOfADirectoryAtATime) {
  VerifyBoard board(2s);
  board.Add("/d", 1, kNow);
  board.TakeDue(kNow);
  board.Add("/d", 2, kNow);
  EXPECT_TRUE(board.TakeDue(kNow + 1h).empty());
  board.Done("/d", 0s);
  EXPECT_EQ(board.TakeDue(kNow + 1h).size(), 1U);
}

TEST(VerifyBoard, ASteadyStreamIsListedMoreAndMoreRarely) {
  VerifyBoard board(2s);
  SteadyTime now = kNow;
  std::vector<std::chrono::nanoseconds> gaps;
  for (RunKey key = 1; key <= 8; ++key) {
    board.Add("/d", key, now);
    const SteadyTime due = *board.NextDue();
    gaps.push_back(std::max(due, now) - now);
    now = std::max(due, now);
    ASSERT_EQ(board.TakeDue(now).size(), 1U);
    board.Done("/d", 0s);
  }
  EXPECT_EQ(gaps.front(), 0s);
  EXPECT_EQ(gaps[1], 250ms);
  EXPECT_EQ(gaps[2], 500ms);
  EXPECT_EQ(gaps.back(), 2s);
}

TEST(VerifyBoard, ASlowListingIsAskedForMoreRarely) {
  VerifyBoard board(2s);
  board.Add("/d", 1, kNow);
  board.TakeDue(kNow);
  board.Done("/d", 1s);
  board.Add("/d", 2, kNow);
  EXPECT_EQ(board.NextDue(), kNow + 10s);
}

TEST(VerifyBoard, TheOverallRateHoldsAndWhoWaitedLongestIsFirst) {
  VerifyBoard board(2s, 10s);
  board.Add("/a", 1, kNow + 2s);
  board.Add("/b", 2, kNow + 1s);
  board.Add("/c", 3, kNow);
  SteadyTime now = kNow + 2s;
  for (const std::string dir : {"/c", "/b", "/a"}) {
    const auto batches = board.TakeDue(now);
    ASSERT_EQ(batches.size(), 1U);
    EXPECT_EQ(batches[0].dir, dir);
    EXPECT_TRUE(board.TakeDue(now + 10s - 1ns).empty());
    now += 10s;
  }
  board.Add("/d", 4, kNow);
  EXPECT_EQ(board.NextDue(), now);
}

TEST(Placing, OnlyTheNameOrOnlyTheDirectoryIsOneStep) {
  using Kind = PlacingStep::Kind;
  EXPECT_EQ(NextStep("/d/a", "/d/b", ".t").to, "/d/b");
  EXPECT_EQ(NextStep("/d/a", "/d/b", ".t").kind, Kind::kRename);
  EXPECT_EQ(NextStep("/d/a", "/e/a", ".t").to, "/e/a");
  EXPECT_EQ(NextStep("/d/a", "/e/a", ".t").kind, Kind::kMove);
}

TEST(Placing, BothGoOverANameThatNobodyElseUses) {
  const std::string temp = ".obx-00000000-00000001";
  std::string at = "/d/a";
  std::vector<std::string> steps;
  while (at != "/e/b") {
    at = NextStep(at, "/e/b", temp).to;
    steps.push_back(at);
  }
  EXPECT_EQ(steps, (std::vector<std::string>{"/d/" + temp, "/e/" + temp, "/e/b"}));
  EXPECT_LE(steps.size(), static_cast<size_t>(kMaxPlacingSteps));
}

}  // namespace
}  // namespace outboxfs::upload
