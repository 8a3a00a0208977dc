// Remote removals and renames in the journal: before their outcome is known, and when it is.
#include <sqlite3.h>

#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class IntentsTest : public StoreTest {
 protected:
  static Intent RenameOf(const std::string& from, const std::string& to) {
    Intent intent{.kind = Intent::Kind::kRename, .folder = "/cloud", .from = from, .to = to};
    intent.source = Identity{.size = 3, .id = "i"};
    return intent;
  }
  static Intent RemovalOf(const std::string& path) { return {.folder = "/cloud", .from = path}; }
  Overlay::Kind Kind(const std::string& path) { return store_->Lookup(path).kind; }
};

TEST_F(IntentsTest, AnIntentSurvivesAKilledDaemonWhole) {
  Intent intent = RenameOf("/a", "/d/b");
  intent.what = ItemKind::kDir;
  intent.passing = ".obx-p";
  intent.aside = ".obx-a";
  intent.target = Identity{.size = 7, .digests = {{1, "aa"}}};
  intent.source_item = 5;
  intent.target_item = 6;
  intent.newer_here = true;
  ASSERT_OK(store_->BeginIntent(intent));
  auto copy = Store::Open({Snapshot()}, RealClock());
  ASSERT_OK(copy);
  ASSERT_EQ(1u, (*copy)->Intents().size());
  const Intent read = (*copy)->Intents()[0];
  EXPECT_EQ(ItemKind::kDir, read.what);
  EXPECT_EQ("/cloud /a /d/b", read.folder + " " + read.from + " " + read.to);
  EXPECT_EQ(".obx-p .obx-a", read.passing + " " + read.aside);
  EXPECT_EQ(intent.source, read.source);
  EXPECT_EQ(intent.target, read.target);
  EXPECT_EQ(5u, read.source_item);
  EXPECT_EQ(6u, read.target_item);
  EXPECT_TRUE(read.newer_here);
  EXPECT_TRUE((*copy)->IsBusy("/cloud/d/b"));
}

TEST_F(IntentsTest, NothingChangesBeforeTheOutcome) {
  const Item target = SealedFile("/b", "staged");
  ASSERT_OK(store_->Remember({"/a", 9, ItemKind::kFile, SomeAttr(), {3, 0, "i", {}}, true}));
  Intent intent = RenameOf("/a", "/b");
  intent.target_item = target.id;
  auto begun = store_->BeginIntent(intent);
  ASSERT_OK(begun);
  EXPECT_EQ(Overlay::Kind::kNone, Kind("/a"));
  EXPECT_EQ("staged", Read(store_->Lookup("/b").item.id));
  ASSERT_OK(store_->DropIntent(begun->id));
  EXPECT_EQ("staged", Read(store_->Lookup("/b").item.id));
  EXPECT_TRUE(store_->Intents().empty());
}

TEST_F(IntentsTest, AFinishedRenameMovesTheNameAndReplacesTheTarget) {
  const Item target = SealedFile("/b", "staged");
  ASSERT_OK(store_->Remember({"/a", 9, ItemKind::kFile, SomeAttr(), {3, 0, "i", {}}, true}));
  Intent intent = RenameOf("/a", "/b");
  intent.target_item = target.id;
  auto begun = store_->BeginIntent(intent);
  ASSERT_OK(begun);
  ASSERT_OK(store_->FinishIntent(begun->id, Store::Caller::kWaits));
  const auto check = [&] {
    EXPECT_EQ(Overlay::Kind::kGone, Kind("/a"));
    EXPECT_EQ(Overlay::Kind::kUploaded, Kind("/b"));
    EXPECT_EQ(9u, store_->Lookup("/b").memory.ino);
    EXPECT_FALSE(store_->Get(target.id));
    EXPECT_TRUE(store_->Intents().empty());
    EXPECT_FALSE(store_->IsBusy("/cloud/b"));
  };
  check();
  Reopen();
  check();
}

TEST_F(IntentsTest, AFinishedRemovalTakesItsItemButNoLaterOne) {
  const Item item = SealedFile("/a", "x");
  Intent intent = RemovalOf("/a");
  intent.source_item = item.id;
  auto begun = store_->BeginIntent(intent);
  ASSERT_OK(store_->FinishIntent(begun->id, Store::Caller::kWaits));
  EXPECT_EQ(Overlay::Kind::kGone, Kind("/a"));
  EXPECT_FALSE(store_->Get(item.id));
  begun = store_->BeginIntent(RemovalOf("/b"));
  const Item later = SealedFile("/b", "later");
  ASSERT_OK(store_->FinishIntent(begun->id, Store::Caller::kWaits));
  EXPECT_EQ("later", Read(later.id));
  EXPECT_EQ(later.id, store_->Lookup("/b").item.id);
}

// The caller was told that the removal failed, and wrote again.
TEST_F(IntentsTest, WhatWasWrittenAfterARefusalOutlivesTheLateRemoval) {
  const Item removed = SealedFile("/a", "x");
  const Item replaced = SealedFile("/c", "x");
  const Item untouched = SealedFile("/d", "x");
  Intent removal = RemovalOf("/a");
  removal.source_item = removed.id;
  Intent rename = RenameOf("/b", "/c");
  rename.target_item = replaced.id;
  Intent other = RemovalOf("/d");
  other.source_item = untouched.id;
  ASSERT_OK(store_->BeginIntent(removal));
  ASSERT_OK(store_->BeginIntent(rename));
  ASSERT_OK(store_->BeginIntent(other));
  for (const ItemId id : {removed.id, replaced.id}) Rewrite(id, "newer", true);
  Reopen();
  for (const Intent& intent : store_->Intents()) {
    ASSERT_OK(store_->FinishIntent(intent.id, Store::Caller::kWasRefused));
  }
  EXPECT_EQ("newer", Read(store_->Lookup("/a").item.id));
  EXPECT_EQ("newer", Read(store_->Lookup("/c").item.id));
  EXPECT_EQ(Overlay::Kind::kGone, Kind("/d"));
}

TEST_F(IntentsTest, ItemsThatCameMeanwhileStayWhereTheyAre) {
  ASSERT_OK(store_->Remember({"/a", 9, ItemKind::kFile, SomeAttr(), {3, 0, "i", {}}, true}));
  auto begun = store_->BeginIntent(RenameOf("/a", "/b"));
  const Item later = SealedFile("/b", "later");
  ASSERT_OK(store_->FinishIntent(begun->id, Store::Caller::kWaits));
  EXPECT_EQ(later.id, store_->Lookup("/b").item.id);
  EXPECT_EQ(Overlay::Kind::kGone, Kind("/a"));
  begun = store_->BeginIntent(RenameOf("/c", "/d"));
  const Item source = SealedFile("/c", "later");
  ASSERT_OK(store_->FinishIntent(begun->id, Store::Caller::kWaits));
  EXPECT_EQ(source.id, store_->Lookup("/c").item.id);
  EXPECT_EQ(Overlay::Kind::kNone, Kind("/d"));
}

TEST_F(IntentsTest, AnUploadIsKnownByItsPathAlsoWhenItsFileIsNot) {
  const Item item = SealedFile("/d/f", "x");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/d/f", std::nullopt));
  ASSERT_OK(store_->Rename("/d/f", "/g", true));
  EXPECT_TRUE(store_->IsUploadedTo("/cloud/d/f", "/d/f", 0));
  EXPECT_TRUE(store_->IsUploadedTo("/cloud/d", "/d", 0));
  EXPECT_FALSE(store_->IsUploadedTo("/cloud/d", "/d", item.id));
  EXPECT_FALSE(store_->IsUploadedTo("/cloud/g", "/g", 0));
  ASSERT_OK(store_->Remove("/g", true));
  EXPECT_TRUE(store_->IsUploadedTo("/cloud/g", "/g", 0));  // it may have been placed there
  EXPECT_TRUE(store_->IsUploadedTo("/cloud/d", "/d", 0));
  ASSERT_OK(store_->ForgetRemoved(item.id));
  EXPECT_FALSE(store_->IsUploadedTo("/cloud/d", "/d", 0));
}

TEST_F(IntentsTest, OneOnlyOnAPathAndNoneAboveOrBeneathIt) {
  ASSERT_OK(store_->BeginIntent(RenameOf("/d/a", "/e/b")));
  for (const char* path : {"/d/a", "/d", "/d/a/x", "/e", "/e/b"}) {
    EXPECT_ERROR(EBUSY, store_->BeginIntent(RemovalOf(path)));
  }
  EXPECT_ERROR(EBUSY, store_->BeginIntent(RenameOf("/x", "/d")));
  EXPECT_OK(store_->BeginIntent(RemovalOf("/d/ab")));
  EXPECT_ERROR(EINVAL, store_->BeginIntent(RemovalOf("/")));
  EXPECT_TRUE(store_->IsBusy("/cloud/d/a/x"));
  EXPECT_FALSE(store_->IsBusy("/cloud/d"));
  EXPECT_FALSE(store_->IsBusy("/d/a"));
}

TEST_F(IntentsTest, AChangeByWhatWasSeenIsRefusedWhenItIsNotTrueAnyMore) {
  const Item item = SealedFile("/f", "x");
  const Store::Seen seen{.item = item.id};
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  EXPECT_ERROR(ESTALE, store_->Remove("/f", false, seen));
  EXPECT_ERROR(ESTALE, store_->Rename("/f", "/g", false, seen));
  const Store::Seen uploading{.item = item.id, .upload_generation = 1};
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", {}));
  EXPECT_ERROR(ESTALE, store_->Remove("/f", true, uploading));
  EXPECT_OK(store_->Remove("/f", true, Store::Seen{}));
}

}  // namespace
}  // namespace outboxfs::cache
