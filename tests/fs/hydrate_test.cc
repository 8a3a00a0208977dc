// Which version of a remote file is opened, and changing one in place: what is missing is fetched
// when it is read, the rest after the last close.
#include <sys/resource.h>

#include "filesystem_fixture.h"

namespace outboxfs::fs {
namespace {

// The kernel opens again without a lookup while it believes the entry.
TEST_F(FilesystemTest, AFileIsOpenedInTheVersionThatWasUploadedNotInTheOneThatWasLookedUp) {
  names_.AddFile("/log", 4);
  downloads_.Put("/log", "text");
  const cache::Ino ino = Ino("log");
  {
    const auto opened = fs_->Open(call_, ino, O_RDWR);
    ASSERT_TRUE(opened) << opened.error().text;
    Write(opened->handle, "longer text");
    ASSERT_EQ(0, downloads_.fetches());
    List(kRootIno);  // shows the old entry beneath the staged file
    CloseHandle(opened->handle);
  }
  AwaitState("/log", State::kWaiting);
  names_.Remove("/log");
  Upload("/log");
  downloads_.Put("/log", "longer text");
  // The uploader's listing confirms it; nobody in this room has seen one since.
  clock_.Advance(std::chrono::seconds(1));
  const auto listing = dirs_->Refresh("/", clock_.Now(), {});
  ASSERT_TRUE(listing);
  store_->Reconcile("/", (*listing)->begun, {"log"});
  ASSERT_EQ(Overlay::Kind::kNone, store_->Lookup("/log").kind);
  const auto again = fs_->Open(call_, ino, O_RDWR);
  ASSERT_TRUE(again) << again.error().text;
  EXPECT_EQ(11U, store_->Lookup("/log").item.size);
  EXPECT_EQ("longer text", ReadAll(again->handle));
  EXPECT_EQ(11, fs_->GetAttr(call_, ino)->st.st_size);
  CloseHandle(again->handle);
}

TEST_F(FilesystemTest, OpeningForWritingFetchesNothingAndChangesNothing) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const cache::Ino ino = Ino("file");
  const auto opened = fs_->Open(call_, ino, O_RDWR);
  ASSERT_TRUE(opened) << opened.error().text;
  EXPECT_EQ(0, opened->backing_id) << "the kernel would read holes";
  CloseHandle(opened->handle);
  EXPECT_EQ(0, downloads_.fetches());
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/file").kind);
}

TEST_F(FilesystemTest, OnlyWhatIsReadIsFetchedAndTheRestAfterTheClose) {
  const std::string content = test::Pattern(20'000'000);
  names_.AddFile("/file", content.size());
  downloads_.Put("/file", content);
  const cache::Ino ino = Ino("file");
  const auto opened = fs_->Open(call_, ino, O_RDWR);
  ASSERT_TRUE(opened);
  const std::string changed = "changed";
  ASSERT_TRUE(fs_->Write(opened->handle, std::as_bytes(std::span(changed)), 10'000'000));
  EXPECT_EQ(0, downloads_.fetches());
  EXPECT_EQ(content.substr(5'000'000, 10), ReadAll(opened->handle, 10, 5'000'000));
  EXPECT_EQ(1, downloads_.fetches());
  EXPECT_EQ("changed" + content.substr(10'000'007, 3), ReadAll(opened->handle, 10, 10'000'000));
  downloads_.Hold();
  CloseHandle(opened->handle);
  EXPECT_EQ(State::kHydrating, store_->Lookup("/file").item.state);
  downloads_.Release();
  const cache::Item item = AwaitState("/file", State::kWaiting);
  EXPECT_EQ(content.size(), item.size);
  std::string expected = content;
  expected.replace(10'000'000, changed.size(), changed);
  const auto reader = fs_->Open(call_, ino, O_RDONLY);
  ASSERT_TRUE(reader);
  EXPECT_GT(reader->backing_id, 0) << "whole by now";
  EXPECT_TRUE(expected == ReadAll(reader->handle, expected.size()));
  fs_->Release(reader->handle);
}

TEST_F(FilesystemTest, ReadingFromFrontToBackFetchesGrowingPieces) {
  const std::string content = test::Pattern(30'000'000);
  names_.AddFile("/file", content.size());
  downloads_.Put("/file", content);
  const auto opened = fs_->Open(call_, Ino("file"), O_RDWR);
  ASSERT_TRUE(opened);
  std::string read;
  while (read.size() < content.size()) read += ReadAll(opened->handle, 128 << 10, read.size());
  EXPECT_TRUE(content == read);
  EXPECT_LT(downloads_.fetches(), 16);
  CloseHandle(opened->handle);
}

TEST_F(FilesystemTest, AFileThatWasChangedOnBothSidesIsParkedAndBothAreKept) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const cache::Ino ino = Ino("file");
  const auto opened = fs_->Open(call_, ino, O_WRONLY);
  ASSERT_TRUE(opened);
  Write(opened->handle, "T");
  names_.Remove("/file");
  names_.AddFile("/file", 6);
  downloads_.Put("/file", "newer!");
  clock_.Advance(std::chrono::seconds(1));
  CloseHandle(opened->handle);
  const cache::Item item = AwaitState("/file", State::kParked);
  EXPECT_NE(std::string::npos, item.reason.find("changed remotely")) << item.reason;
  EXPECT_EQ(6U, names_.Content("/").front().size);
}

TEST_F(FilesystemTest, AFileThatIsRenamedDuringTheLastLookAtItIsNotGone) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  downloads_.Put("/other", "text");
  const auto opened = fs_->Open(call_, Ino("file"), O_RDWR);
  ASSERT_TRUE(opened);
  Write(opened->handle, "T");
  const int before = names_.Count("List");
  names_.Hold("List");
  CloseHandle(opened->handle);
  while (names_.Count("List") == before) std::this_thread::yield();
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "file", kRootIno, "other", 0));
  names_.Release("List");
  EXPECT_EQ(4U, AwaitState("/other", State::kWaiting).size);
}

// The server has renamed it already, here it has its old name still.
TEST_F(FilesystemTest, AFileOnItsWayToAnotherNameIsNotTakenForDeleted) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const cache::Ino ino = Ino("file");
  const auto opened = fs_->Open(call_, ino, O_WRONLY);
  ASSERT_TRUE(opened);
  Write(opened->handle, "T");
  const auto intent = store_->BeginIntent({.kind = cache::Intent::Kind::kRename,
                                           .folder = "/",
                                           .from = "/file",
                                           .to = "/renamed",
                                           .source_item = store_->Lookup("/file").item.id});
  ASSERT_TRUE(intent);
  names_.Remove("/file");
  names_.AddFile("/renamed", 4);
  downloads_.Put("/renamed", "text");
  const int before = names_.Count("List");
  CloseHandle(opened->handle);
  ASSERT_TRUE(names_.AwaitCount("List", before + 1));
  EXPECT_EQ(store_->Lookup("/file").item.state, cache::State::kHydrating);
  ASSERT_TRUE(store_->FinishIntent(intent->id, cache::Store::Caller::kWaits));
  const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
  while (store_->Lookup("/renamed").item.state != State::kWaiting) {
    ASSERT_LT(CondVar::Clock::now(), deadline);
    clock_.Advance(std::chrono::seconds(1));  // it may have just begun to wait
    store_->feed().Publish(intent->source_item);
    std::this_thread::yield();
  }
  EXPECT_EQ(4U, store_->Lookup("/renamed").item.size);
}

TEST_F(FilesystemTest, AFailedFetchAfterTheCloseIsTriedAgain) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const cache::Ino ino = Ino("file");
  const auto opened = fs_->Open(call_, ino, O_WRONLY);
  downloads_.FailNext({.code = EIO, .text = "lost"});
  Write(opened->handle, "T");
  CloseHandle(opened->handle);
  ASSERT_TRUE(downloads_.AwaitFetches(1));
  const auto news = store_->feed().Subscribe();
  while (store_->Lookup("/file").item.reason.empty()) {
    ASSERT_FALSE(news->Take({}, CondVar::Clock::now() + std::chrono::seconds(10)).empty());
  }
  clock_.Advance(std::chrono::minutes(10));
  store_->feed().Publish(store_->Lookup("/file").item.id);
  AwaitState("/file", State::kWaiting);
}

TEST_F(FilesystemTest, TruncatingARemoteFileFetchesOnlyWhatStays) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const cache::Ino ino = Ino("file");
  AttrChange change;
  change.size = 2;
  ASSERT_TRUE(fs_->SetAttr(call_, ino, change));
  const cache::Item item = AwaitState("/file", State::kWaiting);
  EXPECT_EQ(2U, item.size);
  const auto reader = fs_->Open(call_, ino, O_RDONLY);
  EXPECT_EQ("te", ReadAll(reader->handle));
  fs_->Release(reader->handle);
}

TEST_F(FilesystemTest, AnotherVersionIsReadThroughAnotherLink) {
  names_.AddFile("/file", 4);
  const cache::Ino ino = Ino("file");
  fs_->Release(fs_->Open(call_, ino, O_RDONLY)->handle);
  names_.Remove("/file");
  names_.AddFile("/file", 5);
  clock_.Advance(std::chrono::seconds(1));
  dirs_->InvalidateAll();
  ASSERT_EQ(ino, Ino("file"));
  fs_->Release(fs_->Open(call_, ino, O_RDONLY)->handle);
  EXPECT_TRUE(downloads_.WasForgotten("/file"));
}

TEST_F(FilesystemTest, AFailedTruncatingOpenUploadsNothing) {
  names_.AddFile("/file", 4);
  const cache::Ino ino = Ino("file");
  MakeClosed("other", "");  // backing files are made ahead from now on
  AwaitState("/other", State::kWaiting);
  struct rlimit old = {};
  ASSERT_EQ(0, ::getrlimit(RLIMIT_NOFILE, &old));
  // One descriptor more each time, so that each of those that an open needs is missing once.
  for (rlim_t files = 3; files < 200; ++files) {
    const struct rlimit few = {.rlim_cur = files, .rlim_max = old.rlim_max};
    ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &few));
    const auto opened = fs_->Open(call_, ino, O_WRONLY | O_TRUNC);
    ASSERT_EQ(0, ::setrlimit(RLIMIT_NOFILE, &old));
    if (opened) {
      fs_->Release(opened->handle);
      return;
    }
    ASSERT_EQ(EMFILE, opened.error().code) << opened.error().text;
    ASSERT_EQ(Overlay::Kind::kNone, store_->Lookup("/file").kind);
  }
  FAIL() << "never opened";
}

TEST_F(FilesystemTest, OneFetchServesAllWhoMissTheSameBytes) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const auto opened = fs_->Open(call_, Ino("file"), O_RDWR);
  ASSERT_TRUE(opened);
  downloads_.Hold();
  std::vector<std::jthread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&] {
      UserCall call;
      EXPECT_TRUE(fs_->Read(call, opened->handle, 4, 0));
    });
  }
  ASSERT_TRUE(downloads_.AwaitFetches(1));
  downloads_.Release();
  readers.clear();
  EXPECT_EQ(1, downloads_.fetches());
  CloseHandle(opened->handle);
}

TEST_F(FilesystemTest, AnInterruptEndsAFetchAndLeavesTheRemoteFile) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const auto opened = fs_->Open(call_, Ino("file"), O_RDWR);
  ASSERT_TRUE(opened);
  downloads_.Hold();
  UserCall interrupted;
  std::jthread reader([&] {
    const auto read = fs_->Read(interrupted, opened->handle, 4, 0);
    ASSERT_FALSE(read);
    EXPECT_EQ(EINTR, read.error().code);
  });
  ASSERT_TRUE(downloads_.AwaitFetches(1));
  interrupted.Interrupt();
  reader.join();
  downloads_.Release();
  EXPECT_EQ("text", ReadAll(opened->handle));
  CloseHandle(opened->handle);
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/file").kind);
}

}  // namespace
}  // namespace outboxfs::fs
