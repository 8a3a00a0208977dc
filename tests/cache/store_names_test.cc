// Remove, rename, attribute memory, and what a lagging listing may still show.
#include <algorithm>

#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class NamesTest : public StoreTest {
 protected:
  std::string Names(const std::string& dir) {
    std::string names;
    for (const OverlayEntry& entry : store_->ListDir(dir)) {
      const char kind = "-igu"[static_cast<int>(entry.overlay.kind)];
      names += entry.name + ":" + kind + " ";
    }
    return names;
  }
  Item MakeDir(const std::string& path) {
    auto dir = store_->MakeDir(path, store_->NewIno(), SomeAttr());
    EXPECT_OK(dir);
    return *dir;
  }
  SteadyTime Now() { return RealClock().Now(); }
};

TEST_F(NamesTest, ADirectoryListsItsOwnNamesOnly) {
  MakeDir("/d");
  WriteFile("/d/a", "1");
  WriteFile("/d/a!", "1");
  WriteFile("/d/sub/deep/x", "1");
  WriteFile("/d/sub!", "1");
  WriteFile("/d0", "1");
  ASSERT_OK(store_->Remove("/d/gone", true));
  EXPECT_EQ("a:i a!:i gone:g sub!:i ", Names("/d"));
  EXPECT_EQ("d:i d0:i ", Names("/"));
  EXPECT_EQ("x:i ", Names("/d/sub/deep"));
  EXPECT_EQ("", Names("/none"));
}

TEST_F(NamesTest, ARemovedStagedFileLeavesNothing) {
  const Item item = SealedFile("/f", "x");
  ASSERT_OK(store_->Remove("/f", false));
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/f").kind);
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_TRUE(AwaitNoBytes());
  EXPECT_ERROR(ESTALE, store_->MarkStarting(item.id, 1, "/f", std::nullopt));
}

TEST_F(NamesTest, AFileRemovedWhileItIsOpenIsUsedUntilItsPinGoesAndIsNeverSealed) {
  auto item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  auto pin = store_->PinFile(item->id, true);
  ASSERT_OK((*pin)->Write(Bytes("before"), 0));
  ASSERT_OK(store_->Remove("/f", false));
  ASSERT_OK((*pin)->Write(Bytes("after!"), 0));
  EXPECT_EQ("after!", Read(item->id));
  EXPECT_EQ("", store_->Get(item->id)->path);
  EXPECT_OK(store_->MarkClosed(item->id));
  EXPECT_OK(store_->SetAttr(item->id, {0600, 0, 0, 0, 0, 0}));
  EXPECT_OK(store_->Sync(item->id));
  EXPECT_OK(store_->EndWrite(item->id, true));
  EXPECT_EQ(State::kOpen, StateOf(item->id));
  EXPECT_TRUE(store_->All().empty());
  EXPECT_EQ(0u, store_->Totals().files_open);
  pin->Reset();
  EXPECT_FALSE(store_->Get(item->id));
  EXPECT_TRUE(AwaitNoBytes());
}

TEST_F(NamesTest, ANewFileCanTakeTheNameOfARemovedOpenOne) {
  auto old_item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  auto pin = store_->PinFile(old_item->id, true);
  ASSERT_OK((*pin)->Write(Bytes("old"), 0));
  ASSERT_OK(store_->Remove("/f", false));
  const Item item = SealedFile("/f", "new");
  EXPECT_NE(old_item->id, item.id);
  pin->Reset();
  EXPECT_EQ("new", Read(item.id));
  EXPECT_EQ(item.id, store_->Lookup("/f").item.id);
}

TEST_F(NamesTest, ARemovedFileWithAnUploadStaysForTheUploader) {
  const Item item = SealedFile("/f", "x");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->Remove("/f", true));
  EXPECT_EQ(Overlay::Kind::kGone, store_->Lookup("/f").kind);
  EXPECT_EQ(State::kRemoving, store_->Get(item.id)->state);
  EXPECT_EQ("/f", store_->Get(item.id)->path);
  EXPECT_EQ(1u, store_->Get(item.id)->upload_generation);
  EXPECT_ERROR(ESTALE, store_->MarkDone(item.id, 1, "/f", {}));
  EXPECT_ERROR(ENOENT, store_->BeginWrite(item.id));
  EXPECT_ERROR(ENOENT, store_->PinFile(item.id, false));
  ASSERT_OK(store_->MarkUploadGone(item.id));
  ASSERT_OK(store_->ForgetRemoved(item.id));
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_EQ(Overlay::Kind::kGone, store_->Lookup("/f").kind);
}

TEST_F(NamesTest, AGoneNameIsForgottenWhenALaterListingLacksIt) {
  const SteadyTime before = Now();
  ASSERT_OK(store_->Remove("/d/f", true));
  store_->Reconcile("/d", before, {});
  EXPECT_EQ(Overlay::Kind::kGone, store_->Lookup("/d/f").kind);
  store_->Reconcile("/d", Now(), {"f"});
  EXPECT_EQ(Overlay::Kind::kGone, store_->Lookup("/d/f").kind);
  Reopen();
  EXPECT_EQ(Overlay::Kind::kGone, store_->Lookup("/d/f").kind);
  store_->Reconcile("/d", Now(), {"other"});
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/d/f").kind);
  Reopen();
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/d/f").kind);
}

TEST_F(NamesTest, ADirectoryWithItemsIsNotRemoved) {
  MakeDir("/d");
  WriteFile("/d/f", "x");
  EXPECT_ERROR(ENOTEMPTY, store_->Remove("/d", false));
  ASSERT_OK(store_->Remove("/d/f", true));
  ASSERT_OK(store_->Remove("/d", true));
  EXPECT_EQ("d:g ", Names("/"));
  EXPECT_EQ("", Names("/d"));
  MakeDir("/d");
  EXPECT_EQ("d:i ", Names("/"));
}

TEST_F(NamesTest, ARenameDuringAnUploadIsNotedUntilTheNextOne) {
  const Item item = SealedFile("/f", "x");
  ASSERT_OK(store_->Rename("/f", "/g", false));
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/g", std::nullopt));
  EXPECT_FALSE(store_->Get(item.id)->renamed);
  ASSERT_OK(store_->Rename("/g", "/h", true));
  EXPECT_TRUE(store_->Get(item.id)->renamed);
  Reopen();
  EXPECT_TRUE(store_->Get(item.id)->renamed);
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/h", std::nullopt));
  EXPECT_FALSE(store_->Get(item.id)->renamed);
}

TEST_F(NamesTest, ARenameOfItsDirectoryIsNoneOfTheFile) {
  MakeDir("/d");
  const Item item = SealedFile("/d/f", "x");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/d/f", std::nullopt));
  ASSERT_OK(store_->Rename("/d", "/e", true));
  EXPECT_FALSE(store_->Get(item.id)->renamed);
  ASSERT_OK(store_->Rename("/e/f", "/e/g", true));
  ASSERT_OK(store_->Rename("/e", "/d", true));
  EXPECT_TRUE(store_->Get(item.id)->renamed);
}

TEST_F(NamesTest, ARenameKeepsItemAndUpload) {
  const Item item = SealedFile("/f", "x");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->Rename("/f", "/g", true));
  const Item renamed = *store_->Get(item.id);
  EXPECT_EQ("/g", renamed.path);
  EXPECT_EQ("/cloud/f", renamed.upload_path);
  EXPECT_EQ(item.ino, renamed.ino);
  EXPECT_EQ("f:g g:i ", Names("/"));
  EXPECT_ERROR(EAGAIN, store_->MarkDone(item.id, 1, "/f", {}));
  ASSERT_OK(store_->MarkPlacing(item.id, 1));
  ASSERT_OK(store_->SetUploadPath(item.id, 1, "/cloud/g"));
  ASSERT_OK(store_->MarkDone(item.id, 1, "/g", {}));
  EXPECT_EQ("f:g g:u ", Names("/"));
}

TEST_F(NamesTest, ARenameOverAnItemRemovesThatItem) {
  const Item target = SealedFile("/t", "old");
  const Item busy = SealedFile("/b", "old");
  ASSERT_OK(store_->MarkStarting(busy.id, 1, "/cloud/b", std::nullopt));
  const Item first = SealedFile("/1", "new");
  const Item second = SealedFile("/2", "new");
  ASSERT_OK(store_->Rename("/1", "/t", false));
  ASSERT_OK(store_->Rename("/2", "/b", false));
  EXPECT_FALSE(store_->Get(target.id));
  EXPECT_EQ(State::kRemoving, store_->Get(busy.id)->state);
  EXPECT_EQ(first.id, store_->Lookup("/t").item.id);
  EXPECT_EQ(second.id, store_->Lookup("/b").item.id);
  EXPECT_EQ("b:i t:i ", Names("/"));
}

TEST_F(NamesTest, ADirectoryTakesAllBeneathItAlong) {
  MakeDir("/d");
  const Item file = SealedFile("/d/sub/f", "x");
  const Item other = SealedFile("/d2/f", "x");
  ASSERT_OK(store_->Remove("/d/gone", true));
  ASSERT_OK(store_->Remember({"/d/m", 9, ItemKind::kFile, SomeAttr(), {}, true}));
  ASSERT_OK(store_->Remember({"/d/sub/\xc3\xbcn", 10, ItemKind::kFile, SomeAttr(), {}, false}));
  ASSERT_OK(store_->Rename("/d", "/e/\xc3\xa9", true));
  const auto check = [&] {
    EXPECT_EQ("d:g ", Names("/")) << "no parent is invented";
    EXPECT_EQ("\xc3\xa9:i ", Names("/e"));
    EXPECT_EQ("gone:g ", Names("/e/\xc3\xa9"));
    EXPECT_EQ("f:i \xc3\xbcn:u ", Names("/e/\xc3\xa9/sub"));
    EXPECT_EQ("/e/\xc3\xa9/sub/f", store_->Get(file.id)->path);
    EXPECT_EQ("/d2/f", store_->Get(other.id)->path);
    EXPECT_EQ(9u, store_->Recall("/e/\xc3\xa9/m")->ino);
    EXPECT_EQ("/e/\xc3\xa9/sub/\xc3\xbcn", store_->Lookup("/e/\xc3\xa9/sub/\xc3\xbcn").memory.path);
    EXPECT_FALSE(store_->Recall("/d/m"));
  };
  check();
  Reopen();
  check();
}

TEST_F(NamesTest, ARenamedRemoteEntryShowsAtItsNewNameAtOnce) {
  ASSERT_OK(store_->Remember({"/r", 9, ItemKind::kFile, SomeAttr(), {3, 0, "i", {}}, true}));
  ASSERT_OK(store_->Rename("/r", "/s", true));
  EXPECT_EQ("r:g s:u ", Names("/"));
  EXPECT_EQ(9u, store_->Lookup("/s").memory.ino);
  Reopen();
  EXPECT_EQ("r:g s:u ", Names("/"));
  store_->Reconcile("/", Now(), {"s"});
  EXPECT_EQ("", Names("/"));
  EXPECT_TRUE(store_->Recall("/s")->confirmed);
}

TEST_F(NamesTest, RenamesThatMakeNoSenseAreRefused) {
  MakeDir("/d");
  WriteFile("/e/f", "x");
  EXPECT_ERROR(EINVAL, store_->Rename("/d", "/d/x", false));
  EXPECT_ERROR(EINVAL, store_->Rename("/", "/x", false));
  EXPECT_ERROR(EINVAL, store_->Rename("/d", "/x/../y", false));
  EXPECT_ERROR(ENOTEMPTY, store_->Rename("/d", "/e", false));
  EXPECT_OK(store_->Rename("/d", "/d", false));
  EXPECT_OK(store_->Rename("/d", "/dx", false));
  EXPECT_ERROR(EINVAL, store_->CreateFile("relative", 5, SomeAttr()));
  EXPECT_ERROR(EINVAL, store_->CreateFile("/a/../b", 5, SomeAttr()));
}

TEST_F(NamesTest, MemoriesOfADirectoryAreRecalledTogether) {
  for (const char* path : {"/d/a", "/d/b", "/d/sub/c", "/e"}) {
    ASSERT_OK(store_->Remember({path, 9, ItemKind::kFile, SomeAttr(), {}, true}));
  }
  std::vector<std::string> paths;
  for (const Memory& memory : store_->RecallDir("/d")) paths.push_back(memory.path);
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ((std::vector<std::string>{"/d/a", "/d/b"}), paths);
  ASSERT_OK(store_->ForgetMemory("/d/a"));
  EXPECT_FALSE(store_->Recall("/d/a"));
  EXPECT_EQ(1u, store_->RecallDir("/").size());
}

TEST_F(NamesTest, ANewFileReplacesWhatWasKnownOfItsName) {
  ASSERT_OK(store_->Remember({"/f", 9, ItemKind::kFile, SomeAttr(), {}, false}));
  ASSERT_OK(store_->Remove("/g", true));
  WriteFile("/f", "x");
  WriteFile("/g", "x");
  EXPECT_FALSE(store_->Recall("/f"));
  ASSERT_OK(store_->Remove("/f", false));
  ASSERT_OK(store_->Remove("/g", false));
  EXPECT_EQ("", Names("/"));
}

}  // namespace
}  // namespace outboxfs::cache
