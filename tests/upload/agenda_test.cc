#include "upload/agenda.h"

#include <gtest/gtest.h>

namespace outboxfs::upload {
namespace {

using namespace std::chrono_literals;
using Lane = Agenda::Lane;

const SteadyTime kNow = SteadyTime(1h);
constexpr Agenda::Places kAll{true, true, true, true};

Agenda::Task TaskOf(cache::ItemId id, const std::string& path, int64_t order,
                    Lane lane = Lane::kSmall) {
  Agenda::Task task;
  task.id = id;
  task.lane = lane;
  task.order = order;
  task.path = path;
  task.due = kNow;
  return task;
}

TEST(Agenda, TheOldestGoesFirst) {
  Agenda agenda;
  agenda.Put(TaskOf(1, "/b", 20));
  agenda.Put(TaskOf(2, "/a", 10));
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 1U);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
}

TEST(Agenda, NothingStartsBeforeItsTime) {
  Agenda agenda;
  Agenda::Task task = TaskOf(1, "/a", 10);
  task.due = kNow + 5s;
  agenda.Put(task);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  EXPECT_EQ(agenda.NextDue(), kNow + 5s);
  EXPECT_EQ(agenda.TakeNext(kNow + 5s, kAll), 1U);
}

TEST(Agenda, AHugeFileWithoutAPlaceDoesNotStopSmallOnes) {
  Agenda agenda;
  agenda.Put(TaskOf(1, "/huge", 10, Lane::kLarge));
  agenda.Put(TaskOf(2, "/small", 20));
  EXPECT_EQ(agenda.TakeNext(kNow, {true, true, false, true}), 2U);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 1U);
}

TEST(Agenda, WhatIsBelowAMissingDirectoryWaitsForIt) {
  Agenda agenda;
  agenda.SetMissingDir(1, "/d", false);
  agenda.Put(TaskOf(2, "/d/e/f", 10));
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  EXPECT_EQ(agenda.WaitsFor(2), "for its directory d");
  agenda.Put(TaskOf(1, "/d", 20, Lane::kDir));
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 1U);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  agenda.ClearMissingDir(1);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
}

TEST(Agenda, ARenamedMissingDirectoryFreesWhatWaitedForItsOldName) {
  Agenda agenda;
  agenda.SetMissingDir(1, "/d", false);
  agenda.Put(TaskOf(2, "/d/f", 10));
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  agenda.SetMissingDir(1, "/x", false);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
}

TEST(Agenda, WhatIsHeldOrBelowAParkedDirectoryIsStuck) {
  Agenda agenda;
  agenda.SetMissingDir(1, "/d", true);
  agenda.Put(TaskOf(2, "/d/e/f", 10));
  Agenda::Task held = TaskOf(3, "/x.part", 10);
  held.phase = Phase::kHeld;
  held.due = kNow + 1h;
  agenda.Put(held);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  EXPECT_EQ(agenda.CountStuck(false), 2U);
  EXPECT_EQ(agenda.WaitsFor(2), "for its directory d, which is parked");
  agenda.SetMissingDir(1, "/d", false);
  EXPECT_EQ(agenda.CountStuck(false), 1U);
}

TEST(Agenda, OneOperationPerPath) {
  Agenda agenda;
  agenda.Put(TaskOf(1, "/a", 10));
  agenda.Put(TaskOf(2, "/a", 20));
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 1U);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  EXPECT_FALSE(agenda.Claim("/a", 2));
  agenda.ReleaseAll(1);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
}

TEST(Agenda, ReleasingFreesEveryPathOfTheItem) {
  Agenda agenda;
  EXPECT_TRUE(agenda.Claim("/a", 1));
  EXPECT_TRUE(agenda.Claim("/b", 1));
  EXPECT_TRUE(agenda.Claim("/b", 1));
  agenda.ReleaseAll(1);
  EXPECT_TRUE(agenda.Claim("/a", 2));
  EXPECT_TRUE(agenda.Claim("/b", 3));
}

TEST(Agenda, CleaningDoesNotWaitForDirectories) {
  Agenda agenda;
  agenda.SetMissingDir(1, "/d", false);
  agenda.Put(TaskOf(2, "/d/f", 10, Lane::kClean));
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
}

TEST(Agenda, ANewTaskReplacesTheOldAndDropForgets) {
  Agenda agenda;
  agenda.Put(TaskOf(1, "/a", 10));
  agenda.Put(TaskOf(1, "/b", 10));
  EXPECT_EQ(agenda.size(), 1U);
  EXPECT_EQ(agenda.Find(1)->path, "/b");
  agenda.Drop(1);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
}

TEST(Agenda, WhatWasBegunGoesOnOnlyAtAPathThatNobodyElseHas) {
  Agenda agenda;
  Agenda::Task task = TaskOf(1, "/new", 10);
  task.begun = "/old";
  agenda.Claim("/old", 2);
  agenda.Put(task);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  EXPECT_EQ(agenda.WaitsFor(1), "for another operation on this name");
  agenda.ReleaseAll(2);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 1U);
  EXPECT_EQ(agenda.HolderOf("/old"), 1U);
  EXPECT_EQ(agenda.HolderOf("/new"), 1U);
}

TEST(Agenda, FilesThatWereBegunAndSwappedTheirNamesDoNotWaitForEachOther) {
  Agenda agenda;
  Agenda::Task a = TaskOf(1, "/b", 10);
  a.begun = "/a";
  Agenda::Task b = TaskOf(2, "/a", 20);
  b.begun = "/b";
  agenda.KeepOnly(1, "/a", false);
  agenda.KeepOnly(2, "/b", false);
  agenda.Put(a);
  agenda.Put(b);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 1U);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
  EXPECT_EQ(agenda.HolderOf("/a"), 1U);
  EXPECT_EQ(agenda.HolderOf("/b"), 2U);
}

TEST(Agenda, AnItemThatWaitsKeepsWhereItWasBegunAndNothingElse) {
  Agenda agenda;
  agenda.Claim("/a", 1);
  agenda.Claim("/b", 1);
  agenda.Put(TaskOf(2, "/a", 10));
  agenda.Put(TaskOf(3, "/b", 20));
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  agenda.KeepOnly(1, "/a", false);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 3U);
  EXPECT_FALSE(agenda.TakeNext(kNow, kAll));
  EXPECT_EQ(agenda.CountStuck(false), 0U);
  agenda.KeepOnly(1, "/a", true);
  EXPECT_EQ(agenda.CountStuck(false), 1U);
  agenda.KeepOnly(1, "", false);
  EXPECT_EQ(agenda.TakeNext(kNow, kAll), 2U);
}

}  // namespace
}  // namespace outboxfs::upload
