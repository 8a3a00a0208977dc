#include "fs/decision.h"

#include <gtest/gtest.h>

namespace outboxfs::fs {
namespace {

using cache::Intent;
using cache::ItemKind;

remote::Entry File(uint64_t size, std::string id = "") {
  remote::Entry entry;
  entry.size = size;
  entry.id = std::move(id);
  return entry;
}

Intent Rename(std::string from, std::string to) {
  Intent intent{.kind = Intent::Kind::kRename,
                .folder = "/cloud",
                .remote_from = std::move(from),
                .remote_to = std::move(to)};
  intent.source = cache::Identity{.size = 4};
  return intent;
}

// A move to another name in another directory, over a file.
Intent Whole() {
  Intent intent = Rename("/x/a", "/y/b");
  intent.passing = ".obx-p";
  intent.aside = ".obx-a";
  intent.target = cache::Identity{.size = 7};
  return intent;
}

std::string Text(const std::vector<ChangeStep>& steps) {
  std::string text;
  for (const ChangeStep& step : steps) {
    text += "DRM"[static_cast<int>(step.kind)];
    text += " " + step.path + " " + step.argument + "; ";
  }
  return text;
}

TEST(Decision, TheStepsOfEachKind) {
  EXPECT_EQ("D /cloud/x/a ; ", Text(StepsOf({.folder = "/cloud", .remote_from = "/x/a"})));
  EXPECT_EQ("R /cloud/x/a b; ", Text(StepsOf(Rename("/x/a", "/x/b"))));
  EXPECT_EQ("M /cloud/x/a /cloud/y; ", Text(StepsOf(Rename("/x/a", "/y/a"))));
  EXPECT_EQ(
      "R /cloud/y/b .obx-a; R /cloud/x/a .obx-p; M /cloud/x/.obx-p /cloud/y; "
      "R /cloud/y/.obx-p b; ",
      Text(StepsOf(Whole())));
}

TEST(Decision, ARemovalHappenedWhenTheNameIsNotListed) {
  const Intent intent{.folder = "/", .remote_from = "/a"};
  EXPECT_EQ(SettlingStep::kHappened, Decide(intent, {}, true));
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {.from = File(4)}, true));
}

TEST(Decision, ARenameHappenedWhenTheSourceStandsAtTheTargetOnly) {
  const Intent intent = Rename("/a", "/b");
  EXPECT_EQ(SettlingStep::kHappened, Decide(intent, {.to = File(4)}, true));
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {.from = File(4)}, true));
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {.from = File(4), .to = File(4)}, true));
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {.to = File(5)}, true)) << "another file";
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {}, true));
  // Somebody made a new file of the old name meanwhile.
  EXPECT_EQ(SettlingStep::kHappened, Decide(intent, {.from = File(9), .to = File(4)}, true));
}

// Every place where a crash can leave the longest of all changes, in order.
TEST(Decision, ACutMoveGoesForwardFromTheTargetsDirectoryElseBack) {
  const Intent intent = Whole();
  const auto source = File(4);
  const auto target = File(7);
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {.from = source, .to = target}, true));
  EXPECT_EQ(SettlingStep::kPutBack, Decide(intent, {.from = source, .aside = true}, true));
  EXPECT_EQ(SettlingStep::kNameBack,
            Decide(intent, {.passing_at_from = true, .aside = true}, true));
  EXPECT_EQ(SettlingStep::kNameThere, Decide(intent, {.passing_at_to = true, .aside = true}, true));
  EXPECT_EQ(SettlingStep::kMoveBack, Decide(intent, {.passing_at_to = true, .aside = true}, false));
  EXPECT_EQ(SettlingStep::kDropAside, Decide(intent, {.to = source, .aside = true}, true));
  EXPECT_EQ(SettlingStep::kHappened, Decide(intent, {.to = source}, true));
}

TEST(Decision, WhatLostItsNameToSomebodyElseIsGivenOneThatIsSeen) {
  const Intent intent = Whole();
  const auto other = File(5);
  EXPECT_EQ(SettlingStep::kKeepPassing,
            Decide(intent, {.from = other, .passing_at_from = true}, true));
  EXPECT_EQ(SettlingStep::kKeepAside,
            Decide(intent, {.from = File(4), .to = other, .aside = true}, true));
  EXPECT_EQ("b.kept-00000000-80000002", KeptName("b", ".obx-00000000-80000002"));
}

TEST(Decision, AnyEntryOfTheNameIsNotTheSource) {
  Intent intent = Whole();
  EXPECT_NE(SettlingStep::kDropAside, Decide(intent, {.to = File(5), .aside = true}, true));
  EXPECT_FALSE(IsSource(intent, File(5)));
  EXPECT_TRUE(IsSource(intent, File(4, "an id that the move changed")));
  remote::Entry dir;
  dir.is_dir = true;
  EXPECT_FALSE(IsSource(intent, dir));
  intent.what = ItemKind::kDir;
  EXPECT_TRUE(IsSource(intent, dir));
}

TEST(Decision, AnOldVersionThatNobodyWantsNeedsNotArrive) {
  Intent intent = Rename("/a", "/b");
  intent.newer_here = true;
  EXPECT_EQ(SettlingStep::kHappened, Decide(intent, {.to = File(9)}, true));
  EXPECT_EQ(SettlingStep::kNot, Decide(intent, {.from = File(4)}, true));
  // An upload put the newer version there just before it was moved: the target is replaced.
  EXPECT_EQ(SettlingStep::kDropAside, Decide(intent, {.to = File(9), .aside = true}, true));
  EXPECT_EQ(SettlingStep::kPutBack, Decide(intent, {.aside = true}, true));
}

}  // namespace
}  // namespace outboxfs::fs
