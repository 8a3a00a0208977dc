// Sealing against writers that nobody told the store about, damage and sparse files.
#include <fcntl.h>
#include <sqlite3.h>

#include "cache/block_sums.h"
#include "common/disk.h"
#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class SealTest : public StoreTest {
 protected:
  FileDescriptor ForeignWriter(ItemId id) {
    auto fd = disk::Open(BackingPath(id), O_RDWR);
    EXPECT_OK(fd);
    return std::move(*fd);
  }
  bool AwaitReason(ItemId id, const std::string& reason) {
    return Await([&] { return store_->Get(id)->reason == reason; });
  }
  Status ReadAll(SealedReader& reader, std::string& text) {
    text.resize(reader.size());
    return reader.Read(std::as_writable_bytes(std::span(text)), 0);
  }
};

TEST_F(SealTest, AFileWithAForeignWriterIsSealedWhenThatIsGone) {
  auto item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  FileDescriptor foreign = ForeignWriter(item->id);
  ASSERT_OK(store_->EndWrite(item->id, true));
  EXPECT_TRUE(AwaitReason(item->id, "still written by another process"));
  EXPECT_EQ(State::kSealing, StateOf(item->id));
  ASSERT_OK(disk::WriteAt(foreign.get(), Bytes("late"), 0));
  foreign.Close();
  ASSERT_TRUE(AwaitState(item->id, State::kWaiting));
  EXPECT_EQ(4u, store_->Get(item->id)->size);
  EXPECT_EQ("", store_->Get(item->id)->reason);
}

TEST_F(SealTest, AReopenVoidsTheRunningSeal) {
  auto item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  {
    const FileDescriptor foreign = ForeignWriter(item->id);  // keeps the seal from being done
    ASSERT_OK(store_->EndWrite(item->id, true));
    EXPECT_TRUE(AwaitReason(item->id, "still written by another process"));
    ASSERT_OK(store_->BeginWrite(item->id));
  }
  EXPECT_EQ(State::kOpen, StateOf(item->id));
  Rewrite(item->id, "second", true);
  ASSERT_TRUE(AwaitState(item->id, State::kWaiting));
  EXPECT_EQ(1u, store_->Get(item->id)->generation);
  EXPECT_EQ("second", Read(item->id));
}

TEST_F(SealTest, AnUnchangedReopenOfAFileBeingSealedSealsIt) {
  auto item = store_->CreateFile("/f", store_->NewIno(), SomeAttr());
  {
    const FileDescriptor foreign = ForeignWriter(item->id);
    ASSERT_OK(store_->EndWrite(item->id, true));
    ASSERT_OK(store_->BeginWrite(item->id));
    ASSERT_OK(store_->EndWrite(item->id, false));
    EXPECT_EQ(State::kSealing, StateOf(item->id));
  }
  EXPECT_TRUE(AwaitState(item->id, State::kWaiting));
}

TEST_F(SealTest, ARetryAfterAFailedSealSealsTheNewBytes) {
  const Item item = SealedFile("/f", "content");
  const std::string aside = BackingPath(item.id) + ".aside";
  {
    const FileDescriptor foreign = ForeignWriter(item.id);
    Rewrite(item.id, "longer content", true);
    ASSERT_TRUE(AwaitReason(item.id, "still written by another process"));
    std::filesystem::rename(BackingPath(item.id), aside);
  }
  ASSERT_TRUE(AwaitState(item.id, State::kParked));
  std::filesystem::rename(aside, BackingPath(item.id));
  ASSERT_OK(store_->Retry(item.id));
  ASSERT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ(2u, store_->Get(item.id)->generation);
  auto reader = store_->OpenSealed(item.id, 2);
  ASSERT_OK(reader);
  EXPECT_EQ(14u, (*reader)->size());
}

// After a release the kernel holds on to a passthrough file for a moment.
TEST_F(SealTest, AnUnchangedCleanFileStaysCleanUntilAForeignWriterIsGone) {
  auto item = store_->StageRemote("/r", 42, SomeAttr(), {4, 0, "rid", {}});
  ASSERT_OK(item);
  FileDescriptor foreign;
  {
    const auto pin = store_->PinFile(item->id, false);
    ASSERT_OK(store_->FillMissing(*pin, 0, Bytes("data")));
    ASSERT_OK(store_->BeginWrite(item->id));
    foreign = ForeignWriter(item->id);
    ASSERT_OK(store_->EndWrite(item->id, false));
  }
  EXPECT_EQ(State::kClean, StateOf(item->id));
  EXPECT_EQ(0u, store_->Totals().files_pending);
  foreign.Close();
  EXPECT_TRUE(Await([&] { return !store_->Get(item->id); }));
  EXPECT_TRUE(AwaitNoBytes());
}

TEST_F(SealTest, BytesWrittenBehindTheSealAreNeverServed) {
  const Item item = SealedFile("/f", "content");
  auto reader = store_->OpenSealed(item.id, 1);
  ASSERT_OK(reader);
  ASSERT_OK(disk::WriteAt(ForeignWriter(item.id).get(), Bytes("C"), 0));
  std::string text;
  EXPECT_ERROR(ESTALE, ReadAll(**reader, text));
  reader->reset();
  EXPECT_TRUE(Await([&] { return store_->Get(item.id)->generation == 2; }));
  auto next = store_->OpenSealed(item.id, 2);
  ASSERT_OK(next);
  ASSERT_OK(ReadAll(**next, text));
  EXPECT_EQ("Content", text);
}

TEST_F(SealTest, BytesWrittenBehindTheSealAreNotEvicted) {
  const Item item = SealedFile("/f", "content");
  ASSERT_OK(disk::WriteAt(ForeignWriter(item.id).get(), Bytes("C"), 0));
  EXPECT_ERROR(ESTALE, store_->MarkDone(item.id, 1, "/f", {}));
  EXPECT_TRUE(Await([&] { return store_->Get(item.id)->generation == 2; }));
  EXPECT_EQ("Content", Read(item.id));
}

TEST_F(SealTest, BytesWrittenBehindACleanFileAreNotEvicted) {
  const Item item = SealedFile("/f", "content");
  auto pin = store_->PinFile(item.id, false);
  ASSERT_OK(store_->MarkDone(item.id, 1, "/f", {}));
  ASSERT_OK(disk::WriteAt(ForeignWriter(item.id).get(), Bytes("C"), 0));
  pin->Reset();
  EXPECT_TRUE(AwaitState(item.id, State::kWaiting));
  EXPECT_EQ(2u, store_->Get(item.id)->generation);
  EXPECT_EQ("Content", Read(item.id));
}

TEST_F(SealTest, DamagedBytesAreToldFromChangedOnes) {
  const Item item = SealedFile("/f", std::string(kBlockSize + 10, 'a'));
  // As if the disk had changed the second block: the sum no longer fits, no time has moved.
  BlockSums sums(kBlockSize + 10);
  sums.Append(SumOf(Bytes(std::string(kBlockSize, 'a'))));
  sums.Append(12345);
  const std::string blob = sums.Encode();
  sqlite3* db = nullptr;
  ASSERT_EQ(SQLITE_OK, sqlite3_open((directory_.path() + "/cache/journal.db").c_str(), &db));
  sqlite3_busy_timeout(db, 5000);
  sqlite3_stmt* update = nullptr;
  ASSERT_EQ(SQLITE_OK, sqlite3_prepare_v2(db, "UPDATE sums SET blob=?", -1, &update, nullptr));
  sqlite3_bind_blob(update, 1, blob.data(), static_cast<int>(blob.size()), SQLITE_STATIC);
  ASSERT_EQ(SQLITE_DONE, sqlite3_step(update));
  sqlite3_finalize(update);
  sqlite3_close(db);

  auto reader = store_->OpenSealed(item.id, 1);
  ASSERT_OK(reader);
  std::string text(60, '\0');
  EXPECT_OK((*reader)->Read(std::as_writable_bytes(std::span(text)), 0));
  const auto damaged = (*reader)->Read(std::as_writable_bytes(std::span(text)), kBlockSize - 50);
  EXPECT_ERROR(EILSEQ, damaged);
  EXPECT_EQ(Retry::kPark, damaged.error().retry);
  EXPECT_NE(std::string::npos, damaged.error().text.find("262144 to 262154"));
  EXPECT_EQ(State::kWaiting, StateOf(item.id));
}

TEST_F(SealTest, ASparseFileIsSealedWithoutBeingRead) {
  constexpr uint64_t kSize = (5ULL << 30) + 3;
  auto item = store_->CreateFile("/sparse", store_->NewIno(), SomeAttr());
  {
    auto pin = store_->PinFile(item->id, true);
    ASSERT_OK((*pin)->Truncate(kSize));
    ASSERT_OK((*pin)->Write(Bytes("end"), kSize - 3));
  }
  ASSERT_OK(store_->EndWrite(item->id, true));
  ASSERT_TRUE(AwaitState(item->id, State::kWaiting));
  EXPECT_EQ(kSize, store_->Get(item->id)->size);
  EXPECT_LT(store_->Totals().bytes_staged, 1u << 20);
  auto reader = store_->OpenSealed(item->id, 1);
  ASSERT_OK(reader);
  std::string text(6, 'x');
  ASSERT_OK((*reader)->Read(std::as_writable_bytes(std::span(text)), kSize - 6));
  EXPECT_EQ(std::string("\0\0\0end", 6), text);
}

TEST_F(SealTest, ReadsOfAnyShapeGiveTheSealedBytes) {
  std::string content(3 * kBlockSize + 1000, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + i / 1000);
  const Item item = SealedFile("/f", content);
  auto reader = store_->OpenSealed(item.id, 1);
  ASSERT_OK(reader);
  for (const auto& [offset, size] : std::vector<std::pair<size_t, size_t>>{{0, content.size()},
                                                                           {1, 10},
                                                                           {kBlockSize - 5, 10},
                                                                           {kBlockSize, kBlockSize},
                                                                           {100, 2 * kBlockSize},
                                                                           {3 * kBlockSize, 1000},
                                                                           {content.size(), 0}}) {
    std::string text(size, '\0');
    ASSERT_OK((*reader)->Read(std::as_writable_bytes(std::span(text)), offset));
    EXPECT_EQ(content.substr(offset, size), text) << offset;
  }
}

TEST_F(SealTest, ABurstOfFilesIsSealedAndDurable) {
  for (int i = 0; i < 600; ++i)
    WriteFile("/d/" + std::to_string(i), "content " + std::to_string(i));
  EXPECT_TRUE(Await([&] {
    const StoreTotals totals = store_->Totals();
    return totals.files_not_durable == 0 && totals.files_open == 0;
  }));
  EXPECT_EQ(600u, store_->Totals().files_pending);
  for (const Item& item : store_->All()) EXPECT_EQ(State::kWaiting, item.state);
}

TEST_F(SealTest, BackingFilesThatAreUsedAgainShowNothingOfTheOldBytes) {
  for (int i = 0; i < 300; ++i) {
    const std::string path = "/" + std::to_string(i);
    auto item = store_->CreateFile(path, store_->NewIno(), SomeAttr());
    ASSERT_OK(item);
    {
      auto pin = store_->PinFile(item->id, true);
      ASSERT_OK(pin);
      ASSERT_EQ(0, (*pin)->Stat()->st_size);
      ASSERT_OK((*pin)->Write(Bytes("secret"), 4096));
    }
    ASSERT_OK(store_->Remove(path, false));
  }
  EXPECT_TRUE(AwaitNoBytes());
}

}  // namespace
}  // namespace outboxfs::cache
