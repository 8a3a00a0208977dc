#include "fs/facts.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace outboxfs::fs {
namespace {

using cache::Overlay;

constexpr Defaults kDefaults{.uid = 7, .gid = 8, .dir_mode = 0755, .file_mode = 0644};

remote::Entry File(const std::string& name, uint64_t size) {
  remote::Entry entry;
  entry.name = name;
  entry.size = size;
  entry.mtime_ns = 5'000'000'000;
  return entry;
}

cache::OverlayEntry Staged(const std::string& name, uint64_t size) {
  cache::OverlayEntry entry{.name = name};
  entry.overlay.kind = Overlay::Kind::kItem;
  entry.overlay.item.ino = 42;
  entry.overlay.item.size = size;
  return entry;
}

std::vector<std::string> NamesOf(const std::vector<NamedFacts>& merged) {
  std::vector<std::string> names;
  for (const NamedFacts& named : merged) names.push_back(named.name);
  return names;
}

TEST(Facts, ARemoteEntryHasTheDefaultsAndItsOwnTime) {
  const remote::Entry entry = File("a", 10);
  const auto facts = FactsOf(kDefaults, {}, &entry, nullptr);
  ASSERT_TRUE(facts);
  EXPECT_EQ(10U, facts->size);
  EXPECT_EQ(0644U, facts->attr.mode);
  EXPECT_EQ(7U, facts->attr.uid);
  EXPECT_EQ(entry.mtime_ns, facts->attr.mtime_ns);
  EXPECT_EQ(0U, facts->ino);
}

TEST(Facts, MemoryCountsOnlyForTheVersionItBelongsTo) {
  const remote::Entry entry = File("a", 10);
  cache::Memory memory{.ino = 9};
  memory.attr.mode = 0600;
  memory.identity = IdentityOf(entry);
  EXPECT_EQ(0600U, FactsOf(kDefaults, {}, &entry, &memory)->attr.mode);
  memory.identity.size = 11;
  const auto facts = FactsOf(kDefaults, {}, &entry, &memory);
  EXPECT_EQ(0644U, facts->attr.mode);
  EXPECT_EQ(9U, facts->ino);  // the name keeps its number
  memory.kind = cache::ItemKind::kDir;
  EXPECT_EQ(0U, FactsOf(kDefaults, {}, &entry, &memory)->ino);
}

TEST(Facts, StagedWinsAndGoneHides) {
  const remote::Entry entry = File("a", 10);
  EXPECT_EQ(3U, FactsOf(kDefaults, Staged("a", 3).overlay, &entry, nullptr)->size);
  EXPECT_FALSE(FactsOf(kDefaults, {.kind = Overlay::Kind::kGone}, &entry, nullptr));
  EXPECT_FALSE(FactsOf(kDefaults, {}, nullptr, nullptr));
}

TEST(Facts, WhatWasJustUploadedIsThereBeforeAListingShowsIt) {
  Overlay overlay{.kind = Overlay::Kind::kUploaded};
  overlay.memory.ino = 4;
  overlay.memory.identity.size = 12;
  const auto facts = FactsOf(kDefaults, overlay, nullptr, nullptr);
  ASSERT_TRUE(facts);
  EXPECT_EQ(12U, facts->size);
  EXPECT_EQ(4U, facts->ino);
}

TEST(MergeDirectory, IsTheSortedUnion) {
  const auto listing =
      remote::Listing::Of({}, {.entries = {File("b", 1), File("d", 2), File("e", 3)}});
  const auto merged = MergeDirectory(
      kDefaults, &listing, {Staged("c", 5), Staged("d", 6), Staged("z", 7), Staged("a", 8)}, {});
  EXPECT_EQ((std::vector<std::string>{"a", "b", "c", "d", "e", "z"}), NamesOf(merged));
  EXPECT_EQ(6U, merged[3].facts.size);
  EXPECT_FALSE(merged[2].entry);
  EXPECT_FALSE(merged[3].entry) << "an older version, beneath the staged one";
  EXPECT_TRUE(merged[4].entry);
}

TEST(MergeDirectory, LeavesOutWhatIsGoneHiddenOrDouble) {
  const auto listing = remote::Listing::Of(
      {},
      {.entries = {File(".obx-0123abcd-00000001", 1), File("a", 1), File("a", 2), File("b", 3)}});
  cache::OverlayEntry gone{.name = "b"};
  gone.overlay.kind = Overlay::Kind::kGone;
  const auto merged = MergeDirectory(kDefaults, &listing, {gone}, {});
  EXPECT_EQ(std::vector<std::string>{"a"}, NamesOf(merged));
  EXPECT_EQ(1U, merged[0].facts.size);
}

TEST(MergeDirectory, WithoutAListingShowsWhatIsStaged) {
  EXPECT_EQ(std::vector<std::string>{"a"},
            NamesOf(MergeDirectory(kDefaults, nullptr, {Staged("a", 1)}, {})));
}

TEST(ToStat, HandlesTimesBefore1970) {
  Facts facts;
  facts.attr.mtime_ns = -1;
  const struct stat st = ToStat(facts);
  EXPECT_EQ(-1, st.st_mtim.tv_sec);
  EXPECT_EQ(999'999'999, st.st_mtim.tv_nsec);
}

}  // namespace
}  // namespace outboxfs::fs
