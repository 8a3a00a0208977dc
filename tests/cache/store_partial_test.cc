// Partly hydrated files: what is missing, what was changed, and what a start finds of it.
#include <fcntl.h>
#include <linux/falloc.h>

#include <limits>

#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class PartialTest : public StoreTest {
 protected:
  static constexpr uint64_t kSize = 10;
  const Identity identity_{kSize, 7'000'000'000, "rid", {}};

  Item Stage(const std::string& path = "/r") {
    auto item = store_->StageRemote(path, 42, SomeAttr(), identity_);
    if (!item) throw std::runtime_error(item.error().text);
    return *item;
  }
  // Opens for writing; the pin that a writer has.
  Pin Open(ItemId id) {
    EXPECT_OK(store_->BeginWrite(id));
    auto pin = store_->PinFile(id, true);
    EXPECT_OK(pin);
    return std::move(*pin);
  }
  void Close(ItemId id, Pin pin, bool changed) {
    if (changed) EXPECT_OK(store_->MarkClosed(id));
    pin.Reset();
    EXPECT_OK(store_->EndWrite(id, changed));
  }
  std::vector<ByteRange> Missing(ItemId id) { return store_->Missing(id, {0, 100}); }
  void Fill(ItemId id) {
    const auto pin = store_->PinFile(id, false);
    ASSERT_OK(pin);
    ASSERT_OK(store_->FillMissing(*pin, 0, Bytes("0123456789")));
  }
};

using Ranges = std::vector<ByteRange>;

TEST_F(PartialTest, AStagedCopyHasItsSizeAndTimesAndNoBytes) {
  Attr attr = SomeAttr();
  attr.mtime_ns = 1'600'000'000'000'000'005;
  auto item = store_->StageRemote("/r", 42, attr, identity_);
  ASSERT_OK(item);
  EXPECT_TRUE(item->partial);
  EXPECT_EQ(State::kClean, item->state);
  EXPECT_EQ(kSize, item->size);
  const auto pin = store_->PinFile(item->id, false);
  EXPECT_EQ(static_cast<off_t>(kSize), (*pin)->Stat()->st_size);
  EXPECT_EQ(1'600'000'000, (*pin)->Stat()->st_mtim.tv_sec);
  EXPECT_EQ(Ranges({{0, kSize}}), Missing(item->id));
  ASSERT_OK(store_->FillMissing(*pin, 2, Bytes("23")));
  EXPECT_EQ(Ranges({{0, 2}, {4, kSize}}), Missing(item->id));
  EXPECT_EQ(1'600'000'000, (*pin)->Stat()->st_mtim.tv_sec) << "fetching is no change";
}

TEST_F(PartialTest, FetchedBytesNeverReplaceWrittenOnes) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  ASSERT_OK(store_->WritePart(pin, 3, Bytes("abc")));
  Fill(item.id);
  EXPECT_EQ("012abc6789", Read(item.id));
  EXPECT_TRUE(Missing(item.id).empty());
  Close(item.id, std::move(pin), true);
  // Fetched is not yet durable: what was written stays known until it is.
  EXPECT_EQ(State::kHydrating, StateOf(item.id));
  EXPECT_TRUE(store_->Get(item.id)->partial);
  ASSERT_OK(store_->HydrationDone(item.id));
  ASSERT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_FALSE(store_->Get(item.id)->partial);
}

TEST_F(PartialTest, WhatIsMissingIsFetchedAfterTheClose) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  ASSERT_OK(store_->WritePart(pin, kSize, Bytes("tail")));
  Close(item.id, std::move(pin), true);
  EXPECT_EQ(State::kHydrating, StateOf(item.id));
  EXPECT_EQ(1U, store_->Totals().files_pending);
  EXPECT_ERROR(EAGAIN, store_->HydrationDone(item.id));
  ASSERT_OK(store_->HydrationFailed(item.id, {.code = EIO, .text = "later"}, false));
  EXPECT_EQ("later", store_->Get(item.id)->reason);
  Fill(item.id);
  ASSERT_OK(store_->HydrationDone(item.id));
  ASSERT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ("0123456789tail", Read(item.id));
  EXPECT_EQ("", store_->Get(item.id)->reason);
  EXPECT_EQ("rid", store_->Get(item.id)->replaced->id);
}

TEST_F(PartialTest, WhatWasCutOffIsZerosWhenTheFileGrowsAgain) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  ASSERT_OK(store_->ResizePart(pin, 4));
  ASSERT_OK(store_->ResizePart(pin, 12));
  EXPECT_EQ(Ranges({{0, 4}}), Missing(item.id));
  Fill(item.id);
  EXPECT_EQ(std::string("0123") + std::string(8, '\0'), Read(item.id));
}

TEST_F(PartialTest, APunchedHoleIsNotFetched) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  const int punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  ASSERT_OK(store_->AllocatePart(pin, punch, {2, 5}));
  EXPECT_EQ(Ranges({{0, 2}, {5, kSize}}), Missing(item.id));
  EXPECT_ERROR(EOPNOTSUPP, store_->AllocatePart(pin, FALLOC_FL_COLLAPSE_RANGE, {0, 4096}));
  ASSERT_OK(store_->AllocatePart(pin, 0, {5, 20}));
  EXPECT_EQ(Ranges({{0, 2}, {5, kSize}}), Missing(item.id)) << "room alone is no change";
}

TEST_F(PartialTest, AnUnchangedCopyGoesWhenNobodyHasIt) {
  ASSERT_OK(store_->Remember({"/r", 42, ItemKind::kFile, SomeAttr(), identity_, true}));
  const Item item = Stage();
  Close(item.id, Open(item.id), false);
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_TRUE(AwaitNoBytes());
  EXPECT_EQ("rid", store_->Recall("/r")->identity.id);
}

TEST_F(PartialTest, ACopyThatIsOnlyTouchedIsNotUploadedAndItsTimesAreRemembered) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  Attr attr = SomeAttr();
  attr.mtime_ns = 1'700'000'000'000'000'007;
  ASSERT_OK(store_->SetAttr(item.id, attr));
  Close(item.id, std::move(pin), false);
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_EQ(1'700'000'000'000'000'007, store_->Recall("/r")->attr.mtime_ns);
}

TEST_F(PartialTest, TimesSetAfterTheCloseOutliveTheSyncAndTheFetching) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  ASSERT_OK(store_->WritePart(pin, 3, Bytes("abc")));
  Close(item.id, std::move(pin), true);
  Attr attr = SomeAttr();
  attr.mtime_ns = 1'300'000'000'000'000'007;  // as rsync --inplace does
  ASSERT_OK(store_->SetAttr(item.id, attr));
  ASSERT_OK(store_->Sync(item.id));
  EXPECT_EQ(attr.mtime_ns, store_->Get(item.id)->attr.mtime_ns);
  Fill(item.id);
  ASSERT_OK(store_->HydrationDone(item.id));
  ASSERT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ(attr.mtime_ns, store_->Get(item.id)->attr.mtime_ns);
}

TEST_F(PartialTest, ACopyThatIsGivenUpLeavesWhatWasKnown) {
  ASSERT_OK(store_->Remember({"/r", 42, ItemKind::kFile, SomeAttr(), identity_, true}));
  const Item item = Stage();
  ASSERT_OK(store_->Remove("/r", false));
  EXPECT_FALSE(store_->Get(item.id));
  EXPECT_TRUE(store_->Recall("/r"));
}

TEST_F(PartialTest, ARetryOfAParkedOneFetchesAgain) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  ASSERT_OK(store_->WritePart(pin, 0, Bytes("X")));
  Close(item.id, std::move(pin), true);
  ASSERT_OK(store_->HydrationFailed(item.id, {.code = ESTALE, .text = "changed"}, true));
  EXPECT_EQ(State::kParked, StateOf(item.id));
  ASSERT_OK(store_->Retry(item.id));
  EXPECT_EQ(State::kHydrating, StateOf(item.id));
}

TEST_F(PartialTest, AStartKnowsWhatWasWritten) {
  const Item item = Stage();
  Pin pin = Open(item.id);
  ASSERT_OK(store_->WritePart(pin, 3, Bytes("abc")));
  ASSERT_OK(store_->ResizePart(pin, 8));
  ASSERT_OK(store_->FillMissing(pin, 0, Bytes("0")));
  Close(item.id, std::move(pin), true);
  Reopen();
  EXPECT_EQ(State::kHydrating, StateOf(item.id));
  EXPECT_EQ(Ranges({{0, 3}, {6, 8}}), Missing(item.id)) << "what was fetched is fetched again";
  Fill(item.id);
  ASSERT_OK(store_->HydrationDone(item.id));
  ASSERT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ("012abc67", Read(item.id));
}

TEST_F(PartialTest, AStartForgetsACopyInWhichNothingWasWritten) {
  const Item item = Stage();
  const Pin pin = Open(item.id);
  const std::string copy = Snapshot();
  auto opened = Store::Open({copy}, RealClock());
  ASSERT_OK(opened);
  EXPECT_FALSE((*opened)->Get(item.id));
}

TEST_F(PartialTest, AStartTakesAClosedOneForClosedAndAnOpenOneForInterrupted) {
  const Item closed = Stage("/closed");
  const Pin first = Open(closed.id);
  ASSERT_OK(store_->WritePart(first, 0, Bytes("X")));
  ASSERT_OK(store_->MarkClosed(closed.id));
  ASSERT_OK(store_->FillMissing(first, 0, Bytes("0123")));  // changes the ctime only
  const Item open = Stage("/open");
  const Pin second = Open(open.id);
  ASSERT_OK(store_->WritePart(second, 0, Bytes("Y")));
  const std::string copy = Snapshot();
  auto opened = Store::Open({copy}, RealClock());
  ASSERT_OK(opened);
  EXPECT_EQ(State::kHydrating, (*opened)->Get(closed.id)->state);
  EXPECT_EQ(State::kInterrupted, (*opened)->Get(open.id)->state);
  ASSERT_OK((*opened)->Retry(open.id));
  EXPECT_EQ(State::kHydrating, (*opened)->Get(open.id)->state);
}

}  // namespace
}  // namespace outboxfs::cache
