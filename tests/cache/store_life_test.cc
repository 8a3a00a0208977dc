// The life of an item from its making to its eviction.
#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

TEST_F(StoreTest, AFileIsSealedAfterItsClose) {
  const Item item = SealedFile("/a/b.txt", "hello");
  EXPECT_EQ(1u, item.generation);
  EXPECT_EQ(5u, item.size);
  EXPECT_GT(item.sealed_ns, 0);
  EXPECT_EQ(SomeAttr().mode, item.attr.mode);
  EXPECT_GT(item.attr.mtime_ns, SomeAttr().mtime_ns);  // of the write
  const Overlay overlay = store_->Lookup("/a/b.txt");
  EXPECT_EQ(Overlay::Kind::kItem, overlay.kind);
  EXPECT_EQ(item.id, overlay.item.id);
  EXPECT_TRUE(Await([&] { return store_->Totals().files_not_durable == 0; }));
  EXPECT_EQ(1u, store_->Totals().files_pending);
  EXPECT_EQ(5u, store_->Totals().bytes_pending);
}

TEST_F(StoreTest, AFileThatWasOnlyCreatedIsSealedEmpty) {
  auto item = store_->CreateFile("/empty", store_->NewIno(), SomeAttr());
  ASSERT_OK(item);
  EXPECT_ERROR(EEXIST, store_->CreateFile("/empty", store_->NewIno(), SomeAttr()));
  ASSERT_OK(store_->EndWrite(item->id, false));
  EXPECT_TRUE(AwaitState(item->id, State::kWaiting));
  EXPECT_EQ(1u, store_->Get(item->id)->generation);
  EXPECT_TRUE(store_->ServedWhole(item->id, 1));
}

TEST_F(StoreTest, WhatIsGoingUpIsKnownAlsoAfterTheFileChanged) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->SetDigests(item.id, 1, {{2, "abc"}}));
  Rewrite(item.id, "longer content", true);
  ASSERT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ((Identity{7, 0, "", {{2, "abc"}}}), store_->Get(item.id)->sent);
  ASSERT_OK(store_->SetDigests(item.id, 2, {{2, "def"}}));
  EXPECT_EQ("abc", store_->Get(item.id)->sent->digests.at(2));
  ASSERT_OK(store_->MarkUploadGone(item.id));
  EXPECT_FALSE(store_->Get(item.id)->sent);
}

TEST_F(StoreTest, TheIdOfAnUploadIsKeptThoughItsFileWasDeletedMeanwhile) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->Remove("/f", false));
  EXPECT_ERROR(ESTALE, store_->MarkStarted(item.id, 1, "upload-1"));
  Reopen();
  EXPECT_EQ("upload-1", store_->Get(item.id)->upload_id);
  EXPECT_EQ(State::kRemoving, store_->Get(item.id)->state);
}

TEST_F(StoreTest, WhatAPersonVouchesForIsKnownAfterARestart) {
  const Item item = SealedFile("/f", "content");
  EXPECT_ERROR(EINVAL, store_->Accept(item.id));
  ASSERT_OK(store_->MarkFailed(item.id, 1, {kUnprovenCode, Retry::kPark, "unproven"}, 0, true));
  ASSERT_OK(store_->Accept(item.id));
  Reopen();
  EXPECT_TRUE(store_->Get(item.id)->accepted);
  EXPECT_EQ(State::kWaiting, StateOf(item.id));
}

TEST_F(StoreTest, WhatAnUploadLeftIsKeptInMindUntilTheFileIsRenamed) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->MarkUploadOver(item.id, "/f", true));
  EXPECT_FALSE(store_->IsUploadedTo("/cloud/f", "/f", 0));
  Reopen();
  EXPECT_TRUE(store_->Get(item.id)->kept);
  ASSERT_OK(store_->Rename("/f", "/g", true));
  EXPECT_FALSE(store_->Get(item.id)->kept);
  EXPECT_FALSE(store_->Get(item.id)->renamed);
  EXPECT_ERROR(EAGAIN, store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt, "/f"));
  EXPECT_EQ("/cloud/f", store_->Get(item.id)->upload_path);
  EXPECT_TRUE(store_->IsUploadedTo("/cloud/f", "/f", 0));
  EXPECT_ERROR(EAGAIN, store_->MarkUploadOver(item.id, "/f", false));
  ASSERT_OK(store_->MarkUploadOver(item.id, "/g", false));
  EXPECT_EQ(0u, store_->Get(item.id)->upload_generation);
}

TEST_F(StoreTest, AVerifiedFileIsEvictedAndStaysVisibleUntilListed) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  EXPECT_EQ(State::kUploading, StateOf(item.id));
  ASSERT_OK(store_->MarkStarted(item.id, 1, "upload-1"));
  EXPECT_EQ("upload-1", store_->Get(item.id)->upload_id);
  {
    auto reader = store_->OpenSealed(item.id, 1);
    ASSERT_OK(reader);
    std::string text(4, '\0');
    ASSERT_OK((*reader)->Read(std::as_writable_bytes(std::span(text)), 3));
    EXPECT_EQ("tent", text);
    EXPECT_ERROR(EINVAL, (*reader)->Read(std::as_writable_bytes(std::span(text)), 4));
  }
  store_->MarkServed(item.id, 1, {0, 3});
  EXPECT_FALSE(store_->ServedWhole(item.id, 1));
  store_->MarkServed(item.id, 1, {3, 7});
  EXPECT_TRUE(store_->ServedWhole(item.id, 1));
  ASSERT_OK(store_->MarkVerifying(item.id, 1));
  EXPECT_ERROR(EAGAIN, store_->MarkDone(item.id, 1, "/other", {7, 0, "id", {}}));
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", {7, 5, "id", {}}));

  EXPECT_TRUE(AwaitNoBytes());
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup("/f").kind);
  EXPECT_EQ(item.ino, store_->Lookup("/f").memory.ino);
  EXPECT_EQ(0u, store_->Totals().bytes_staged);

  const SteadyTime later = RealClock().Now();
  store_->Reconcile("/", later, {"other"});
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup("/f").kind);
  store_->Reconcile("/", later, {"f"});
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/f").kind);
  const auto memory = store_->Recall("/f");
  ASSERT_TRUE(memory);
  EXPECT_TRUE(memory->confirmed);
  EXPECT_EQ(item.attr, memory->attr);
  EXPECT_EQ("id", memory->identity.id);
}

class KeepTest : public StoreTest {
 protected:
  KeepTest() { Reopen({.read_cache = {.bytes = 1 << 20}, .keep = std::chrono::hours(1)}); }
  // What is kept of this version, all of it.
  std::string Kept(const std::string& path, const Identity& version) {
    const auto file = store_->read_cache().Open(path, version);
    std::string text(version.size, '\0');
    return file->Read(std::as_writable_bytes(std::span(text)), 0) ? text : "";
  }
  const Identity version_{7, 0, "id", {}};
};

TEST_F(KeepTest, TheBytesOfAVerifiedFileAreKeptForReaders) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", version_));
  EXPECT_TRUE(AwaitNoBytes()) << "they are no staged bytes any more";
  EXPECT_EQ("content", Kept("/f", version_));
  Reopen();
  EXPECT_EQ(0U, store_->recovery().lost_found);
}

TEST_F(KeepTest, SoAreThoseOfAFileThatWasReadUntilAfterItsUpload) {
  const Item item = SealedFile("/f", "content");
  auto pin = store_->PinFile(item.id, false);
  ASSERT_OK(pin);
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", version_));
  pin->Reset();
  EXPECT_TRUE(AwaitNoBytes());
  EXPECT_EQ("content", Kept("/f", version_));
}

TEST_F(KeepTest, ADeletedFileIsNotKept) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->Remove("/f", false));
  EXPECT_TRUE(AwaitNoBytes());
  EXPECT_EQ("", Kept("/f", version_));
}

TEST_F(StoreTest, AVerifiedFileThatIsReadKeepsItsBytesUntilThePinGoes) {
  const Item item = SealedFile("/f", "content");
  auto pin = store_->PinFile(item.id, false);
  ASSERT_OK(pin);
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", {7, 0, "id", {}}));
  EXPECT_EQ(State::kClean, StateOf(item.id));
  EXPECT_EQ(1u, StagedFiles());
  EXPECT_EQ("content", Read(item.id));
  Attr attr = SomeAttr();
  attr.mode = 0755;
  ASSERT_OK(store_->SetAttr(item.id, attr));
  pin->Reset();
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_TRUE(AwaitNoBytes());
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup("/f").kind);
  EXPECT_EQ(attr, store_->Lookup("/f").memory.attr);
  EXPECT_EQ(attr, store_->Recall("/f")->attr);
}

TEST_F(StoreTest, AFileOpenedForWritingWhileItIsCleanBecomesANewGeneration) {
  const Item item = SealedFile("/f", "content");
  auto pin = store_->PinFile(item.id, false);
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", {7, 0, "id", {}}));
  Rewrite(item.id, "changed", true);
  pin->Reset();
  EXPECT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ(2u, store_->Get(item.id)->generation);
  EXPECT_EQ("id", store_->Get(item.id)->replaced->id);
}

TEST_F(StoreTest, TheSameBytesWrittenOverACleanFileAreNoNewGeneration) {
  const Item item = SealedFile("/f", "content");
  auto pin = store_->PinFile(item.id, false);
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", {7, 0, "id", {}}));
  Rewrite(item.id, "content", true);
  EXPECT_TRUE(AwaitState(item.id, State::kClean));
  pin->Reset();
  EXPECT_TRUE(Await([&] { return !store_->Get(item.id); }));
  EXPECT_TRUE(AwaitNoBytes());
}

TEST_F(StoreTest, TheSameBytesWrittenAgainKeepTheSealAndItsUpload) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->SetDigests(item.id, 1, {{2, "abc"}}));
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->MarkStarted(item.id, 1, "up"));
  Rewrite(item.id, "content", true);
  EXPECT_TRUE(AwaitState(item.id, State::kWaiting));
  const Item again = *store_->Get(item.id);
  EXPECT_EQ(1u, again.generation);
  EXPECT_EQ("abc", again.digests.at(2));
  EXPECT_EQ("up", again.upload_id);
  EXPECT_OK(store_->OpenSealed(item.id, 1));
}

TEST_F(StoreTest, AnOpenWithoutAChangeRestoresTheSeal) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  ASSERT_OK(store_->BeginWrite(item.id));
  EXPECT_EQ(State::kOpen, StateOf(item.id));
  EXPECT_ERROR(ESTALE, store_->MarkVerifying(item.id, 1));
  EXPECT_ERROR(ESTALE, store_->OpenSealed(item.id, 1));
  ASSERT_OK(store_->EndWrite(item.id, false));
  EXPECT_EQ(State::kWaiting, StateOf(item.id));
  EXPECT_EQ(1u, store_->Get(item.id)->upload_generation);
  EXPECT_OK(store_->OpenSealed(item.id, 1));
}

TEST_F(StoreTest, AChangeMakesTheRunningUploadStale) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkStarting(item.id, 1, "/cloud/f", std::nullopt));
  auto reader = store_->OpenSealed(item.id, 1);
  ASSERT_OK(reader);
  Rewrite(item.id, "other", true);
  std::string text(5, '\0');
  EXPECT_ERROR(ESTALE, (*reader)->Read(std::as_writable_bytes(std::span(text)), 0));
  EXPECT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ(2u, store_->Get(item.id)->generation);
  EXPECT_EQ(1u, store_->Get(item.id)->upload_generation);
  EXPECT_ERROR(ESTALE, store_->MarkDone(item.id, 1, "/f", {}));
  ASSERT_OK(store_->MarkUploadGone(item.id));
  EXPECT_EQ(0u, store_->Get(item.id)->upload_generation);
}

TEST_F(StoreTest, AFailureKeepsTheBytesTheReasonAndTheNextTry) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(store_->MarkFailed(item.id, 1, {ETIMEDOUT, Retry::kBackoff, "too slow"}, 77, false));
  EXPECT_EQ(State::kWaiting, StateOf(item.id));
  EXPECT_EQ(1, store_->Get(item.id)->attempts);
  EXPECT_EQ(77, store_->Get(item.id)->not_before_ns);
  EXPECT_EQ("too slow", store_->Get(item.id)->reason);
  ASSERT_OK(store_->MarkFailed(item.id, 1, {EPERM, Retry::kPark, "no"}, 0, true));
  EXPECT_EQ(State::kParked, StateOf(item.id));
  EXPECT_EQ(1u, store_->Totals().files_parked);
  ASSERT_OK(store_->Retry(item.id));
  EXPECT_EQ(State::kWaiting, StateOf(item.id));
  EXPECT_EQ(0, store_->Get(item.id)->attempts);
  EXPECT_EQ("content", Read(item.id));
}

TEST_F(StoreTest, ADirectoryGoesTheSameWay) {
  auto dir = store_->MakeDir("/d", store_->NewIno(), SomeAttr());
  ASSERT_OK(dir);
  EXPECT_EQ(State::kWaiting, dir->state);
  EXPECT_EQ(1u, dir->generation);
  EXPECT_ERROR(EISDIR, store_->PinFile(dir->id, false));
  ASSERT_OK(store_->MarkStarting(dir->id, 1, "/cloud/d", std::nullopt));
  ASSERT_OK(store_->MarkDone(dir->id, 1, "/d", {}));
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup("/d").kind);
  EXPECT_EQ(ItemKind::kDir, store_->Lookup("/d").memory.kind);
}

TEST_F(StoreTest, ANewFileShowsTheTimesItWasGiven) {
  Attr attr = SomeAttr();
  attr.mtime_ns = 1'600'000'000'000'000'005;
  for (int i = 0; i < 3; ++i) {
    auto item = store_->CreateFile("/f" + std::to_string(i), store_->NewIno(), attr);
    ASSERT_OK(item);
    auto pin = store_->PinFile(item->id, true);
    EXPECT_EQ(1'600'000'000, (*pin)->Stat()->st_mtim.tv_sec);
    EXPECT_EQ(5, (*pin)->Stat()->st_mtim.tv_nsec);
  }
}

TEST_F(StoreTest, OfTwoWritePinsTheLastClosesTheWritableDescriptor) {
  auto item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  auto first = store_->PinFile(item->id, true);
  auto second = store_->PinFile(item->id, true);
  first->Reset();
  ASSERT_OK((*second)->Write(Bytes("abc"), 0));
  second->Reset();
  ASSERT_OK(store_->EndWrite(item->id, true));
  EXPECT_TRUE(AwaitState(item->id, State::kWaiting));
  EXPECT_EQ("abc", Read(item->id));
}

TEST_F(StoreTest, EveryChangeIsPublished) {
  const auto reader = store_->feed().Subscribe();
  const Item item = SealedFile("/f", "x");
  const auto news = reader->Take({}, RealClock().Now() + std::chrono::seconds(10));
  EXPECT_EQ(std::vector<ItemId>{item.id}, news);
}

TEST_F(StoreTest, AllGivesTheOldestChangeFirst) {
  const Item a = SealedFile("/a", "x");
  const Item b = SealedFile("/b", "x");
  ASSERT_OK(store_->SetAttr(a.id, {0600, 0, 0, 0, 0, 0}));
  const auto all = store_->All();
  ASSERT_EQ(2u, all.size());
  EXPECT_EQ(b.id, all[0].id);
  EXPECT_EQ(a.id, all[1].id);
}

TEST_F(StoreTest, SyncMakesNamesAndBytesDurable) {
  auto item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  auto pin = store_->PinFile(item->id, true);
  ASSERT_OK((*pin)->Write(Bytes("abc"), 0));
  EXPECT_OK(store_->Sync(item->id));
  EXPECT_OK(store_->SyncJournal());
  EXPECT_EQ(State::kOpen, StateOf(item->id));
}

TEST_F(StoreTest, SyncLeavesTimesAloneThatWereSetAfterTheClose) {
  const Item item = WriteFile("/f", "abc");
  Attr attr = item.attr;
  attr.mtime_ns = 5;
  ASSERT_OK(store_->SetAttr(item.id, attr));
  ASSERT_OK(store_->Sync(item.id));  // still being sealed, or sealed by now
  EXPECT_EQ(5, store_->Get(item.id)->attr.mtime_ns);
  ASSERT_OK(store_->BeginWrite(item.id));
  ASSERT_OK(store_->Sync(item.id));
  EXPECT_EQ(5, store_->Get(item.id)->attr.mtime_ns);
  ASSERT_OK(store_->EndWrite(item.id, false));
  EXPECT_EQ(5, store_->Get(item.id)->attr.mtime_ns);
}

}  // namespace
}  // namespace outboxfs::cache
