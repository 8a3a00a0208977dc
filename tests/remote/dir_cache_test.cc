#include "remote/dir_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <functional>
#include <future>

#include "support/fake_clock.h"
#include "support/fake_namespace_api.h"

namespace outboxfs::remote {
namespace {

using std::chrono::seconds;
using test::FakeClock;
using test::FakeNamespaceApi;

Entry FileEntry(const std::string& name, uint64_t size) {
  Entry entry;
  entry.name = name;
  entry.size = size;
  return entry;
}

class DirCacheTest : public testing::Test {
 protected:
  DirCacheTest() {
    api_.AddFile("/d/b", 2);
    api_.AddFile("/d/a", 1);
  }

  std::future<Result<ListingPtr>> GetAsync(const std::stop_token& stop = {}) {
    return std::async(std::launch::async, [this, stop] { return cache_.Get("/d", stop); });
  }
  std::future<Result<ListingPtr>> RefreshAsync(SteadyTime not_before) {
    return std::async(std::launch::async,
                      [this, not_before] { return cache_.Refresh("/d", not_before, {}); });
  }

  FakeClock clock_;
  FakeNamespaceApi api_;
  DirCache cache_{api_, clock_, seconds(30)};
};

TEST_F(DirCacheTest, PeekNeverAsksTheServer) {
  EXPECT_EQ(cache_.Peek("/d"), nullptr);
  EXPECT_EQ(api_.Count("List"), 0);
}

TEST_F(DirCacheTest, OneListingServesUntilItIsOld) {
  const ListingPtr listing = cache_.Get("/d", {}).value();
  EXPECT_EQ(listing->begun, clock_.Now());
  ASSERT_EQ(listing->entries.size(), 2U);
  EXPECT_EQ(listing->entries[0]->name, "a");
  EXPECT_EQ(listing->Find("b")->size, 2U);
  EXPECT_EQ(listing->Find("c"), nullptr);
  clock_.Advance(seconds(29));
  EXPECT_EQ(cache_.Peek("/d"), listing);
  EXPECT_EQ(cache_.Get("/d", {}).value(), listing);
  clock_.Advance(seconds(1));
  EXPECT_EQ(cache_.Peek("/d"), nullptr);
  EXPECT_NE(cache_.Get("/d", {}).value(), listing);
  EXPECT_EQ(api_.Count("List"), 2);
}

TEST_F(DirCacheTest, EqualNamesAreKeptInTheServersOrder) {
  api_.AddFile("/d/a", 7);
  const ListingPtr listing = cache_.Get("/d", {}).value();
  EXPECT_EQ(listing->Count("a"), 2U);
  EXPECT_EQ(listing->Find("a")->size, 1U);
  EXPECT_EQ(listing->entries[1]->size, 7U);
}

TEST_F(DirCacheTest, ErrorsAreHandedOnAndNotKept) {
  api_.FailNext("List", Error{EIO, Retry::kBackoff, "down"});
  EXPECT_EQ(cache_.Get("/d", {}).error().code, EIO);
  EXPECT_TRUE(cache_.Get("/d", {}));
  EXPECT_EQ(cache_.Get("/nowhere", {}).error().code, ENOENT);
}

TEST_F(DirCacheTest, AllWhoAskMeanwhileShareOneCall) {
  api_.Hold("List");
  auto first = GetAsync();
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  auto second = GetAsync();
  auto third = GetAsync();
  api_.Release("List");
  EXPECT_TRUE(first.get());
  EXPECT_TRUE(second.get());
  EXPECT_TRUE(third.get());
  EXPECT_EQ(api_.Count("List"), 1);
}

TEST_F(DirCacheTest, AWaiterLeavesWhenItIsStopped) {
  api_.Hold("List");
  auto leader = GetAsync();
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  std::stop_source stop;
  auto waiter = GetAsync(stop.get_token());
  stop.request_stop();
  EXPECT_EQ(waiter.get().error().code, ECANCELED);
  api_.Release("List");
  EXPECT_TRUE(leader.get());
}

TEST_F(DirCacheTest, AStoppedLeaderDoesNotFailTheOthers) {
  api_.Hold("List");
  std::stop_source stop;
  auto leader = GetAsync(stop.get_token());
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  auto other = GetAsync();
  stop.request_stop();
  EXPECT_EQ(leader.get().error().code, ECANCELED);
  ASSERT_TRUE(api_.AwaitCount("List", 2)) << "somebody else asks again";
  api_.Release("List");
  EXPECT_TRUE(other.get());
}

TEST_F(DirCacheTest, RefreshForcesAndIsSharedByAllWhomItSatisfies) {
  ASSERT_TRUE(cache_.Get("/d", {}));
  const SteadyTime start = clock_.Now();
  const ListingPtr forced = cache_.Refresh("/d", start, {}).value();
  EXPECT_EQ(api_.Log().back(), "List /d force");
  EXPECT_EQ(cache_.Refresh("/d", start, {}).value(), forced);
  EXPECT_EQ(cache_.Peek("/d"), forced);
  EXPECT_EQ(api_.Count("List"), 2);
  clock_.Advance(seconds(1));
  EXPECT_NE(cache_.Refresh("/d", clock_.Now(), {}).value(), forced);
  EXPECT_EQ(api_.Count("List"), 3);
}

TEST_F(DirCacheTest, RefreshDoesNotJoinACallThatBeganTooEarly) {
  api_.Hold("List");
  auto early = RefreshAsync(clock_.Now());
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  clock_.Advance(seconds(1));
  auto late = RefreshAsync(clock_.Now());
  ASSERT_TRUE(api_.AwaitCount("List", 2));
  auto joined = RefreshAsync(clock_.Now());
  api_.Release("List");
  const ListingPtr late_listing = late.get().value();
  EXPECT_LT(early.get().value()->begun, late_listing->begun);
  EXPECT_EQ(joined.get().value()->begun, late_listing->begun);
  EXPECT_EQ(cache_.Peek("/d")->begun, late_listing->begun) << "the older one does not replace it";
  EXPECT_EQ(api_.Count("List"), 2);
}

TEST_F(DirCacheTest, OurOwnChangesAreSeenWithoutACall) {
  ASSERT_TRUE(cache_.Get("/d", {}));
  cache_.Put("/d", FileEntry("c", 3));
  cache_.Put("/d", FileEntry("a", 10));
  cache_.Erase("/d", "b");
  cache_.Erase("/d", "not there");
  const ListingPtr listing = cache_.Peek("/d");
  ASSERT_NE(listing, nullptr);
  ASSERT_EQ(listing->entries.size(), 2U);
  EXPECT_EQ(listing->Find("a")->size, 10U);
  EXPECT_EQ(listing->Find("c")->size, 3U);
  EXPECT_EQ(api_.Count("List"), 1);
}

TEST_F(DirCacheTest, AnEditedListingProvesNothing) {
  const SteadyTime start = clock_.Now();
  ASSERT_TRUE(cache_.Refresh("/d", start, {}));
  cache_.Put("/d", FileEntry("c", 3));
  EXPECT_EQ(cache_.Refresh("/d", start, {}).value()->Find("c"), nullptr);
  EXPECT_EQ(api_.Count("List"), 2);
}

TEST_F(DirCacheTest, EditsInAnUnlistedDirectoryDoNothing) {
  cache_.Put("/d", FileEntry("c", 3));
  cache_.Erase("/d", "a");
  EXPECT_EQ(cache_.Peek("/d"), nullptr);
}

TEST_F(DirCacheTest, AnEditAmongEqualNamesForgetsTheListing) {
  api_.AddFile("/d/a", 7);
  ASSERT_TRUE(cache_.Get("/d", {}));
  cache_.Put("/d", FileEntry("a", 9));
  EXPECT_EQ(cache_.Peek("/d"), nullptr);
  ASSERT_TRUE(cache_.Get("/d", {}));
  cache_.Erase("/d", "a");
  EXPECT_EQ(cache_.Peek("/d"), nullptr);
}

TEST_F(DirCacheTest, AnAnswerThatAChangeOvertookIsNotKept) {
  api_.Hold("List");
  auto asked = GetAsync();
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  cache_.Invalidate("/d");
  api_.Release("List");
  EXPECT_TRUE(asked.get()) << "who asked before the change may have the answer";
  EXPECT_EQ(cache_.Peek("/d"), nullptr);
}

TEST_F(DirCacheTest, AChangeOfOneNameDuringACallLeavesOnlyThatNameInDoubt) {
  const std::function<void()> changes[] = {
      [this] { cache_.Put("/d", FileEntry("a", 3)); },
      [this] { cache_.Erase("/d", "a"); },
      [this] { cache_.Doubt("/d", "a", false); },
      [this] { cache_.Doubt("/d", "a", true); },
  };
  for (const auto& change : changes) {
    cache_.InvalidateAll();
    api_.Hold("List");
    const int before = api_.Count("List");
    auto asked = GetAsync();
    ASSERT_TRUE(api_.AwaitCount("List", before + 1));
    clock_.Advance(seconds(1));
    change();
    api_.Release("List");
    EXPECT_TRUE(asked.get()) << "who asked before the change may have the answer";
    EXPECT_EQ(cache_.Peek("/d"), nullptr);
    EXPECT_EQ(cache_.Peek("/d", "a"), nullptr);
    EXPECT_NE(cache_.Peek("/d", "b"), nullptr);
  }
}

TEST_F(DirCacheTest, ADoubtedNameCostsOneListingAndTheOthersNone) {
  ASSERT_TRUE(cache_.Get("/d", {}));
  clock_.Advance(seconds(1));
  cache_.Doubt("/d", "new", false);
  cache_.Doubt("/d", "a", true);
  EXPECT_TRUE(cache_.Get("/d", "b", {}));
  EXPECT_TRUE(cache_.Get("/d", "c", {}));
  EXPECT_EQ(api_.Count("List"), 1);
  api_.AddFile("/d/new", 4);
  EXPECT_EQ(cache_.Get("/d", "new", {}).value()->Find("new")->size, 4U);
  EXPECT_EQ(api_.Count("List"), 2);
  EXPECT_NE(cache_.Peek("/d"), nullptr) << "that listing shows all of it";
}

TEST_F(DirCacheTest, TheEchoOfOurOwnRemovalIsNoDoubt) {
  ASSERT_TRUE(cache_.Get("/d", {}));
  clock_.Advance(seconds(1));
  cache_.Doubt("/d", "a", true);  // before our call has returned
  cache_.Erase("/d", "a");
  EXPECT_NE(cache_.Peek("/d"), nullptr);
  cache_.Doubt("/d", "a", true);  // after it
  EXPECT_NE(cache_.Peek("/d"), nullptr);
  cache_.Doubt("/d", "a", false);
  EXPECT_EQ(cache_.Peek("/d"), nullptr) << "somebody made it anew";
  cache_.Doubt("/d", "a", true);
  EXPECT_EQ(cache_.Peek("/d"), nullptr) << "nor does a removal say in which order";
}

TEST_F(DirCacheTest, WhoAsksForADoubtedNameDoesNotJoinAnEarlierCall) {
  api_.Hold("List");
  auto early = GetAsync();
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  clock_.Advance(seconds(1));
  cache_.Doubt("/d", "a", false);
  auto other = std::async(std::launch::async, [this] { return cache_.Get("/d", "b", {}); });
  auto same = std::async(std::launch::async, [this] { return cache_.Get("/d", "a", {}); });
  ASSERT_TRUE(api_.AwaitCount("List", 2));
  api_.Release("List");
  EXPECT_TRUE(other.get());
  EXPECT_LT(early.get().value()->begun, same.get().value()->begun);
  EXPECT_EQ(api_.Count("List"), 2);
}

TEST_F(DirCacheTest, TooManyDoubtsDropTheListing) {
  ASSERT_TRUE(cache_.Get("/d", {}));
  clock_.Advance(seconds(1));
  for (int i = 0; i <= 10'000; ++i) cache_.Doubt("/d", std::to_string(i), false);
  EXPECT_EQ(cache_.Peek("/d", "b"), nullptr);
}

TEST_F(DirCacheTest, WhoAsksAfterAChangeDoesNotGetTheOvertakenAnswer) {
  api_.Hold("List");
  auto before = GetAsync();
  ASSERT_TRUE(api_.AwaitCount("List", 1));
  cache_.Invalidate("/d");
  clock_.Advance(seconds(1));
  auto after = GetAsync();
  ASSERT_TRUE(api_.AwaitCount("List", 2));
  api_.Release("List");
  EXPECT_LT(before.get().value()->begun, after.get().value()->begun);
}

TEST_F(DirCacheTest, InvalidationHitsTheDirectoryTheTreeOrAll) {
  for (const char* dir : {"/t", "/t/x", "/t/x/y", "/tx"}) {
    api_.AddDir(dir);
    ASSERT_TRUE(cache_.Get(dir, {}));
  }
  ASSERT_TRUE(cache_.Get("/", {}));
  cache_.Invalidate("/t/x");
  EXPECT_EQ(cache_.Peek("/t/x"), nullptr);
  EXPECT_NE(cache_.Peek("/t/x/y"), nullptr);
  cache_.InvalidateTree("/t");
  EXPECT_EQ(cache_.Peek("/t"), nullptr);
  EXPECT_EQ(cache_.Peek("/t/x/y"), nullptr);
  EXPECT_NE(cache_.Peek("/tx"), nullptr);
  EXPECT_NE(cache_.Peek("/"), nullptr);
  cache_.InvalidateAll();
  EXPECT_EQ(cache_.Peek("/tx"), nullptr);
  EXPECT_EQ(cache_.Peek("/"), nullptr);
}

TEST_F(DirCacheTest, TheLeastRecentlyUsedDirectoriesGoFirst) {
  DirCache small(api_, clock_, seconds(30), {2, 1000});
  for (const char* dir : {"/1", "/2", "/3"}) api_.AddDir(dir);
  ASSERT_TRUE(small.Get("/1", {}));
  ASSERT_TRUE(small.Get("/2", {}));
  EXPECT_NE(small.Peek("/1"), nullptr);
  ASSERT_TRUE(small.Get("/3", {}));
  EXPECT_EQ(small.Peek("/2"), nullptr);
  EXPECT_NE(small.Peek("/1"), nullptr);
  EXPECT_NE(small.Peek("/3"), nullptr);
}

TEST_F(DirCacheTest, TheNumberOfEntriesIsBoundedToo) {
  DirCache small(api_, clock_, seconds(30), {100, 3});
  api_.AddFile("/e/1", 1);
  api_.AddFile("/e/2", 1);
  ASSERT_TRUE(small.Get("/d", {}));
  ASSERT_TRUE(small.Get("/e", {}));
  EXPECT_EQ(small.Peek("/d"), nullptr);
  EXPECT_NE(small.Peek("/e"), nullptr) << "what was just asked for stays";
}

}  // namespace
}  // namespace outboxfs::remote
