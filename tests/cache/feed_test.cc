#include "cache/feed.h"

#include <gtest/gtest.h>

#include <thread>

#include "common/clock.h"

namespace outboxfs::cache {
namespace {

using Ids = std::vector<ItemId>;

SteadyTime InTenSeconds() { return RealClock().Now() + std::chrono::seconds(10); }
SteadyTime Now() { return RealClock().Now(); }

TEST(FeedTest, AnItemIsTakenOnceHoweverOftenItChanged) {
  Feed feed;
  const auto reader = feed.Subscribe();
  for (const ItemId id : {3, 1, 3, 2, 1}) feed.Publish(id);
  EXPECT_EQ((Ids{3, 1, 2}), reader->Take({}, InTenSeconds()));
  EXPECT_EQ(Ids{}, reader->Take({}, Now()));
}

TEST(FeedTest, ReadersAreIndependentAndHearOnlyWhatCameAfterThem) {
  Feed feed;
  const auto first = feed.Subscribe();
  feed.Publish(1);
  const auto second = feed.Subscribe();
  feed.Publish(2);
  EXPECT_EQ((Ids{1, 2}), first->Take({}, InTenSeconds()));
  EXPECT_EQ(Ids{2}, second->Take({}, InTenSeconds()));
}

TEST(FeedTest, AChangeEndsTheWait) {
  Feed feed;
  const auto reader = feed.Subscribe();
  std::jthread writer([&] { feed.Publish(7); });
  EXPECT_EQ(Ids{7}, reader->Take({}, InTenSeconds()));
}

TEST(FeedTest, WakeAndStopEndTheWaitWithNothing) {
  Feed feed;
  const auto reader = feed.Subscribe();
  reader->Wake();
  EXPECT_EQ(Ids{}, reader->Take({}, InTenSeconds()));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_EQ(Ids{}, reader->Take(stop.get_token(), InTenSeconds()));
}

TEST(FeedTest, AReaderThatIsGoneIsForgotten) {
  Feed feed;
  feed.Subscribe().reset();
  feed.Publish(1);
  SUCCEED();
}

}  // namespace
}  // namespace outboxfs::cache
