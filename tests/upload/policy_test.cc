#include "upload/policy.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace outboxfs::upload {
namespace {

using remote::StatusChange;
using remote::UploadStatus;
using namespace std::chrono_literals;

constexpr int64_t kNow = 1'700'000'000'000'000'000;

cache::Item Sealed(const std::string& path, std::chrono::nanoseconds ago) {
  cache::Item item;
  item.path = path;
  item.sealed_ns = kNow - ago.count();
  item.changed_ns = item.sealed_ns;
  return item;
}

TEST(Policy, AFileSettlesForTheQuietTime) {
  const UploadOptions options;
  const Due due = DueTime(Sealed("/a", 300ms), kNow, options, {});
  EXPECT_EQ(due.phase, Phase::kSettling);
  EXPECT_EQ(due.pause, 700ms);
  EXPECT_EQ(DueTime(Sealed("/a", 2s), kNow, options, {}).phase, Phase::kQueued);
}

TEST(Policy, ARenameStartsTheQuietTimeAgain) {
  cache::Item item = Sealed("/a", 5s);
  item.changed_ns = kNow - 100'000'000;
  EXPECT_EQ(DueTime(item, kNow, {}, {}).pause, 900ms);
}

TEST(Policy, AWallClockThatWasSetBackHoldsNobodyForLonger) {
  EXPECT_EQ(DueTime(Sealed("/a", -3600s), kNow, {}, {}).pause, 1s);
}

TEST(Policy, TemporaryNamesAreHeldUntilRenamedOrTheHoldEnds) {
  const UploadOptions options;
  const Due due = DueTime(Sealed("/d/.data.bin.a1B2c3", 60s), kNow, options, {});
  EXPECT_EQ(due.phase, Phase::kHeld);
  EXPECT_EQ(due.pause, 9min);
  EXPECT_EQ(DueTime(Sealed("/d/x.part", 11min), kNow, options, {}).pause, 0s);
}

TEST(Policy, TheShippedListKnowsTheUsualTemporaryNames) {
  for (const char* name :
       {".name.XXXXXX", "film.mkv.part", "x.tmp", "notes~", "a.crdownload", ".goutputstream-ABC123",
        "iso.!qB", ".~lock.doc.odt#", ".nfs0001", ".fuse_hidden0001", ".file.swp"}) {
    EXPECT_TRUE(IsHeldName(name, DefaultHoldPatterns())) << name;
  }
  for (const char* name :
       {"film.mkv", ".bashrc", "part", "tmp", "a.party", "lock.odt", "name.XXXXXX"}) {
    EXPECT_FALSE(IsHeldName(name, DefaultHoldPatterns())) << name;
  }
}

TEST(Policy, DrainSkipsQuietTimesAndHurrySkipsEverything) {
  cache::Item item = Sealed("/x.part", 0s);
  item.not_before_ns = kNow + 5'000'000'000;
  EXPECT_EQ(DueTime(item, kNow, {}, {true, false, false}).phase, Phase::kHeld);
  EXPECT_EQ(DueTime(item, kNow, {}, {true, true, false}).phase, Phase::kBackoff);
  EXPECT_EQ(DueTime(item, kNow, {}, {true, true, true}).pause, 0s);
}

TEST(Policy, DirectoriesNeverSettle) {
  cache::Item item = Sealed("/x.tmp", 0s);
  item.kind = cache::ItemKind::kDir;
  EXPECT_EQ(DueTime(item, kNow, {}, {}).pause, 0s);
}

TEST(Policy, BackoffDoublesToItsMaximumWithAQuarterOfChance) {
  EXPECT_EQ(Backoff(0, 1s, 15min, 0), 1s);
  EXPECT_EQ(Backoff(3, 1s, 15min, 0), 8s);
  EXPECT_EQ(Backoff(1000, 1s, 15min, 0), 15min);
  EXPECT_EQ(Backoff(3, 1s, 15min, 0.5), 7s);
  for (int i = 0; i < 1000; ++i) {
    const double chance = Chance();
    EXPECT_GE(chance, 0);
    EXPECT_LT(chance, 1);
  }
}

TEST(Policy, TerminalStatusesAreTriedAgainParkedOrPauseEverything) {
  EXPECT_EQ(FromStatus({UploadStatus::kError, "upstream broke"}, "/f").retry, Retry::kBackoff);
  EXPECT_EQ(FromStatus({UploadStatus::kFatalError, ""}, "/f").retry, Retry::kPark);
  EXPECT_EQ(FromStatus({UploadStatus::kCancelled, ""}, "/f").retry, Retry::kPark);
  EXPECT_EQ(FromStatus({UploadStatus::kIgnored, ""}, "/f").retry, Retry::kPark);
  EXPECT_EQ(FromStatus({UploadStatus::kError, "HTTP 429 Too Many Requests"}, "/f").retry,
            Retry::kPauseAll);
  EXPECT_EQ(FromStatus({UploadStatus::kFatalError, "Quota exceeded"}, "/f").retry,
            Retry::kPauseAll);
  EXPECT_NE(FromStatus({UploadStatus::kError, "upstream broke"}, "/f").text.find("upstream broke"),
            std::string::npos);
}

TEST(Policy, WordsAreFoundAsWordsAndNotInOurOwnName) {
  for (const std::string text : {"wrote 1429 bytes", "4290 of 5000", "id 7f429a", "unthrottled",
                                 "/docs/quota of 2024: locked", "cannot store quota of 2024"}) {
    EXPECT_EQ(FromStatus({UploadStatus::kError, text}, "/docs/quota of 2024").retry,
              Retry::kBackoff)
        << text;
  }
  for (const std::string text :
       {"/docs/quota of 2024: quota exceeded", "status 429", "storageQuotaExceeded",
        "invalid user plan", "访问频繁", "rate limit", "throttled by the cloud"}) {
    EXPECT_EQ(FromStatus({UploadStatus::kError, text}, "/docs/quota of 2024").retry,
              Retry::kPauseAll)
        << text;
  }
}

TEST(Policy, FinishAndSkippedAreSuccess) {
  EXPECT_TRUE(IsSuccess(UploadStatus::kFinish));
  EXPECT_TRUE(IsSuccess(UploadStatus::kSkipped));
  EXPECT_FALSE(IsSuccess(UploadStatus::kIgnored));
}

}  // namespace
}  // namespace outboxfs::upload
