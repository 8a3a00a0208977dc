// Renames that are done here and not yet on the server: what the journal keeps of them, what waits
// for them, and what they take along.
#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class DeferredTest : public StoreTest {
 protected:
  void RememberDir(const std::string& path) {
    ASSERT_OK(store_->Remember({path, store_->NewIno(), ItemKind::kDir, SomeAttr(), {}, true}));
  }
  static Intent Rename(const std::string& from, const std::string& to) {
    return {.what = ItemKind::kDir, .folder = "/cloud", .from = from, .to = to};
  }
  void Defer(const std::string& from, const std::string& to) {
    ASSERT_OK(store_->DeferRename(Rename(from, to), std::nullopt));
  }
  Item Uploading(const std::string& path) {
    const Item item = SealedFile(path, "content of " + path);
    const std::string at = "/cloud" + path;
    const auto started = store_->MarkStarting(item.id, item.generation, at, std::nullopt);
    if (!started) ADD_FAILURE() << started.error().text;
    return *store_->Get(item.id);
  }
  // As the file system does when the server has done it.
  void CarryOut(const std::string& remote_to) {
    const auto begun = store_->BeginDeferred(store_->Intents().at(0).id, remote_to, "");
    ASSERT_OK(begun);
    ASSERT_OK(store_->FinishIntent(begun->id, Store::Caller::kWaits));
  }
  Overlay::Kind Kind(const std::string& path) { return store_->Lookup(path).kind; }
};

TEST_F(DeferredTest, ItIsDoneHereAtOnceAndSurvivesAKilledDaemon) {
  RememberDir("/d");
  const Item file = Uploading("/d/f");
  Defer("/d", "/e");
  const auto check = [&](Store& store) {
    EXPECT_EQ(Overlay::Kind::kGone, store.Lookup("/d").kind);
    EXPECT_EQ(Overlay::Kind::kUploaded, store.Lookup("/e").kind);
    EXPECT_EQ(file.id, store.Lookup("/e/f").item.id);
    EXPECT_EQ("/cloud/d/f", store.Lookup("/e/f").item.upload_path);
    EXPECT_EQ("/d/f", store.RemotePathOf("/e/f"));
    EXPECT_EQ("", store.RemotePathOf("/d/f"));
    EXPECT_EQ("/e/f", store.MountPathOf("/d/f"));
    ASSERT_EQ(1U, store.Intents().size());
    EXPECT_FALSE(store.Intents()[0].under_way());
    EXPECT_FALSE(store.IsBusy("/cloud/d"));
  };
  check(*store_);
  auto copy = Store::Open({Snapshot()}, RealClock());
  ASSERT_OK(copy);
  check(**copy);
}

TEST_F(DeferredTest, ItWaitsForUploadsBeneathAndNothingNewBegins) {
  RememberDir("/d");
  const Item running = Uploading("/d/f");
  Defer("/d", "/e");
  const Item later = SealedFile("/e/later", "later");
  const Item at_old_name = SealedFile("/d", "a file now");
  const uint64_t id = store_->Intents()[0].id;
  EXPECT_ERROR(EBUSY, store_->BeginDeferred(id, "/e", ""));
  EXPECT_ERROR(EAGAIN, store_->MarkStarting(later.id, 1, "/cloud/d/later", std::nullopt));
  EXPECT_ERROR(EAGAIN, store_->MarkStarting(at_old_name.id, 1, "/cloud/d", std::nullopt));
  // What was begun goes on, also after a restart.
  EXPECT_OK(store_->MarkStarting(running.id, 1, "/cloud/d/f", std::nullopt));
  ASSERT_OK(store_->MarkDone(running.id, 1, "/e/f", {.size = running.size}));
  CarryOut("/e");
  EXPECT_TRUE(store_->Intents().empty());
  EXPECT_EQ("/e/later", store_->RemotePathOf("/e/later"));
  EXPECT_OK(store_->MarkStarting(later.id, 1, "/cloud/e/later", std::nullopt));
  EXPECT_OK(store_->MarkStarting(at_old_name.id, 1, "/cloud/d", std::nullopt));
  Reopen();
  EXPECT_FALSE(store_->AnyDeferred());
  EXPECT_EQ(Overlay::Kind::kUploaded, Kind("/e"));
}

TEST_F(DeferredTest, AParkedUploadGoesAlong) {
  RememberDir("/d");
  const Item parked = Uploading("/d/parked");
  const Item running = Uploading("/d/running");
  ASSERT_OK(store_->MarkFailed(parked.id, 1, {.code = EIO, .text = "no"}, 0, true));
  Defer("/d", "/e");
  ASSERT_OK(store_->MarkDone(running.id, 1, "/e/running", {.size = running.size}));
  CarryOut("/e");
  EXPECT_EQ("/cloud/e/parked", store_->Get(parked.id)->upload_path);
  Reopen();
  EXPECT_EQ("/cloud/e/parked", store_->Get(parked.id)->upload_path);
}

TEST_F(DeferredTest, AListingOfTheOldNamesChangesNothingBefore) {
  RememberDir("/d");
  Uploading("/d/f");
  Defer("/d", "/e");
  for (int listings = 0; listings < 3; ++listings) {
    store_->Reconcile("/", RealClock().Now() + std::chrono::hours(1 + listings), {"d"});
  }
  EXPECT_EQ(Overlay::Kind::kGone, Kind("/d"));
  EXPECT_EQ(Overlay::Kind::kUploaded, Kind("/e"));
}

TEST_F(DeferredTest, ALaterRenameGoesOnFromTheFirst) {
  RememberDir("/x");
  RememberDir("/x/d");
  Uploading("/x/d/f");
  Defer("/x/d", "/x/e");
  Defer("/x/e", "/x/g");  // itself
  ASSERT_EQ(1U, store_->Intents().size());
  EXPECT_EQ("/x/d/f", store_->RemotePathOf("/x/g/f"));
  Defer("/x", "/y");  // what is above it
  ASSERT_EQ(2U, store_->Intents().size());
  EXPECT_EQ("/x/d/f", store_->RemotePathOf("/y/g/f"));
  EXPECT_EQ("/x/h", store_->RemotePathOf("/y/h"));
}

TEST_F(DeferredTest, WhatIsAboveMayBeRenamedFirst) {
  RememberDir("/x");
  RememberDir("/x/d");
  const Item file = Uploading("/x/d/f");
  Defer("/x/d", "/x/e");
  ASSERT_OK(store_->MarkDone(file.id, 1, "/x/e/f", {.size = file.size}));
  const auto above = store_->BeginIntent({.kind = Intent::Kind::kRename,
                                          .what = ItemKind::kDir,
                                          .folder = "/cloud",
                                          .from = "/x",
                                          .to = "/y"});
  ASSERT_OK(above);
  ASSERT_OK(store_->FinishIntent(above->id, Store::Caller::kWaits));
  ASSERT_EQ(1U, store_->Intents().size());
  EXPECT_EQ("/y/d/f", store_->RemotePathOf("/y/e/f"));
  Reopen();
  EXPECT_EQ("/y/d/f", store_->RemotePathOf("/y/e/f"));
}

TEST_F(DeferredTest, ARemovedDirectoryNeedsNoRename) {
  RememberDir("/d");
  const Item file = Uploading("/d/f");
  Defer("/d", "/e");
  ASSERT_OK(store_->Remove("/e/f", true));
  ASSERT_OK(store_->ForgetRemoved(file.id));
  const auto removal =
      store_->BeginIntent({.what = ItemKind::kDir, .folder = "/cloud", .from = "/e"});
  ASSERT_OK(removal);
  EXPECT_EQ("/d", removal->remote_from);
  ASSERT_OK(store_->FinishIntent(removal->id, Store::Caller::kWaits));
  EXPECT_TRUE(store_->Intents().empty());
  EXPECT_FALSE(store_->AnyDeferred());
}

TEST_F(DeferredTest, WhatWaitedForARenameThatIsNeededNoMoreIsToldSo) {
  RememberDir("/d");
  const Item file = Uploading("/d/f");
  Defer("/d", "/e");
  const Item anew = SealedFile("/d", "at the old name");
  ASSERT_OK(store_->Remove("/e/f", true));
  ASSERT_OK(store_->ForgetRemoved(file.id));
  const auto removal =
      store_->BeginIntent({.what = ItemKind::kDir, .folder = "/cloud", .from = "/e"});
  ASSERT_OK(removal);
  const auto news = store_->feed().Subscribe();
  ASSERT_OK(store_->FinishIntent(removal->id, Store::Caller::kWaits));
  const auto told = news->Take({}, RealClock().Now());
  EXPECT_NE(told.end(), std::find(told.begin(), told.end(), anew.id));
  EXPECT_FALSE(store_->AwaitsRename("/d"));
}

TEST_F(DeferredTest, WhatItIsStillInIsNotRemoved) {
  RememberDir("/x");
  RememberDir("/x/d");
  Uploading("/x/d/f");
  Defer("/x/d", "/e");
  EXPECT_ERROR(ESTALE,
               store_->BeginIntent({.what = ItemKind::kDir, .folder = "/cloud", .from = "/x"}));
  ASSERT_OK(store_->DeferRemoval({.what = ItemKind::kDir, .folder = "/cloud", .from = "/x"}, {}));
  EXPECT_EQ(Overlay::Kind::kGone, Kind("/x"));
  EXPECT_ERROR(EBUSY, store_->BeginDeferred(store_->Intents()[1].id, "", ""));
}

TEST_F(DeferredTest, ARemovalWaitsForWhatIsOnItsWayOut) {
  RememberDir("/x");
  const Item file = Uploading("/x/f");
  ASSERT_OK(store_->Rename("/x/f", "/f", true));
  ASSERT_OK(store_->DeferRemoval({.what = ItemKind::kDir, .folder = "/cloud", .from = "/x"}, {}));
  const uint64_t id = store_->Intents()[0].id;
  EXPECT_ERROR(EBUSY, store_->BeginDeferred(id, "", ""));
  const Item anew = SealedFile("/x", "a file of that name");
  EXPECT_ERROR(EAGAIN, store_->MarkStarting(anew.id, 1, "/cloud/x", std::nullopt));
  Reopen();
  ASSERT_OK(store_->SetUploadPath(file.id, 1, "/cloud/f"));
  const auto begun = store_->BeginDeferred(id, "", "");
  ASSERT_OK(begun);
  EXPECT_TRUE(store_->IsBusy("/cloud/x"));
  Reopen();
  ASSERT_TRUE(store_->Intents()[0].begun);
  ASSERT_OK(store_->FinishIntent(id, Store::Caller::kWaits));
  EXPECT_TRUE(store_->Intents().empty());
  EXPECT_OK(store_->MarkStarting(anew.id, 1, "/cloud/x", std::nullopt));
}

TEST_F(DeferredTest, WhatIsGivenUpShowsAgain) {
  RememberDir("/x");
  Uploading("/x/f");
  ASSERT_OK(store_->Rename("/x/f", "/f", true));
  ASSERT_OK(store_->DeferRemoval({.what = ItemKind::kDir, .folder = "/cloud", .from = "/x"}, {}));
  ASSERT_OK(store_->GiveUpDeferred(store_->Intents()[0].id));
  EXPECT_EQ(Overlay::Kind::kNone, Kind("/x"));
  EXPECT_EQ("/x", store_->RemotePathOf("/x"));
}

TEST_F(DeferredTest, NamesThatAreSwappedTakeTurns) {
  RememberDir("/a");
  RememberDir("/b");
  const Item file = Uploading("/a/f");
  Defer("/a", "/t");
  Defer("/b", "/a");
  Defer("/t", "/b");
  ASSERT_OK(store_->MarkDone(file.id, 1, "/b/f", {.size = file.size}));
  const uint64_t first = store_->Intents()[0].id;
  EXPECT_ERROR(EBUSY, store_->BeginDeferred(first, "/b", ""));
  CarryOut("/.obx-aside");
  ASSERT_EQ(2U, store_->Intents().size());
  EXPECT_EQ("/.obx-aside/f", store_->RemotePathOf("/b/f"));
  const auto second = store_->BeginDeferred(store_->Intents()[1].id, "/a", "");
  ASSERT_OK(second);
  ASSERT_OK(store_->FinishIntent(second->id, Store::Caller::kWaits));
  CarryOut("/b");
  EXPECT_TRUE(store_->Intents().empty());
  EXPECT_EQ("/b/f", store_->RemotePathOf("/b/f"));
}

TEST_F(DeferredTest, ATryThatCameToNothingWaitsAgain) {
  RememberDir("/d");
  const Item file = Uploading("/d/f");
  Defer("/d", "/e");
  ASSERT_OK(store_->MarkDone(file.id, 1, "/e/f", {.size = file.size}));
  const auto begun = store_->BeginDeferred(store_->Intents()[0].id, "/e", ".obx-p");
  ASSERT_OK(begun);
  EXPECT_TRUE(store_->IsBusy("/cloud/d/f"));
  EXPECT_TRUE(store_->IsBusy("/cloud/e"));
  ASSERT_OK(store_->DropIntent(begun->id));
  ASSERT_EQ(1U, store_->Intents().size());
  EXPECT_FALSE(store_->Intents()[0].under_way());
  EXPECT_FALSE(store_->IsBusy("/cloud/d/f"));
  EXPECT_EQ("/d/f", store_->RemotePathOf("/e/f"));
}

TEST_F(DeferredTest, ADirectoryWithUploadsIsNotRenamedWhileACallerWaits) {
  RememberDir("/d");
  Uploading("/d/f");
  Intent intent = Rename("/d", "/e");
  intent.kind = Intent::Kind::kRename;
  EXPECT_ERROR(ESTALE, store_->BeginIntent(intent));
}

}  // namespace
}  // namespace outboxfs::cache
