// The operations without FUSE: a real store, a remote in memory, a kernel that only takes notes.
#include "fs/filesystem.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "support/fake_clock.h"
#include "support/fake_downloader.h"
#include "support/fake_namespace_api.h"
#include "support/temp_dir.h"

namespace outboxfs::fs {
namespace {

using cache::Overlay;
using cache::State;

class NotedKernel final : public Backings, public KernelCache {
 public:
  Result<int> Open(int) override {
    MutexLock lock(mu_);
    if (refuse_ != 0) return FailErrno(refuse_, "backing file");
    open_.insert(++last_);
    return last_;
  }
  void Close(int id) override {
    MutexLock lock(mu_);
    open_.erase(id);
  }
  void ExpireEntry(cache::Ino, const std::string& name) override { Note("entry " + name); }
  void DropAttributes(cache::Ino) override { Note("attributes"); }
  void DropContent(cache::Ino) override { Note("content"); }

  void Refuse(int code) {
    MutexLock lock(mu_);
    refuse_ = code;
  }
  size_t open() {
    MutexLock lock(mu_);
    return open_.size();
  }
  bool Await(const std::string& note) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (!notes_.contains(note)) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }

 private:
  void Note(const std::string& note) {
    MutexLock lock(mu_);
    notes_.insert(note);
    changed_.NotifyAll();
  }
  Mutex mu_;
  CondVar changed_;
  int refuse_ ABSL_GUARDED_BY(mu_) = 0;
  int last_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<int> open_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> notes_ ABSL_GUARDED_BY(mu_);
};

class UserCall final : public Call {
 public:
  explicit UserCall(uid_t user = 0) : Call(user, 0) {}
  std::stop_token Interrupted() override { return stop_.get_token(); }
  void Interrupt() { stop_.request_stop(); }

 private:
  std::stop_source stop_;
};

class FilesystemTest : public ::testing::Test {
 protected:
  void SetUp() override { Open({}); }
  void TearDown() override { Close(); }

  void Open(const MountOptions& options) {
    Close();
    auto store = cache::Store::Open({.directory = dir_ / "cache"}, clock_);
    ASSERT_TRUE(store) << store.error().text;
    store_ = std::move(*store);
    dirs_ = std::make_unique<remote::DirCache>(names_, clock_, std::chrono::minutes(5));
    passthrough_ = std::make_unique<Passthrough>(kernel_, options.passthrough ? "" : "off");
    notifier_ = std::make_unique<Notifier>(kernel_);
    fs_ = std::make_unique<Filesystem>(options, Rooms{*store_, names_, *dirs_, downloads_, clock_},
                                       *passthrough_, *notifier_);
  }
  void Close() {
    if (fs_) fs_->CloseAll();
    fs_.reset();
    notifier_.reset();
    passthrough_.reset();
    dirs_.reset();
    store_.reset();
  }

  cache::Ino Ino(const std::string& name, cache::Ino parent = kRootIno) {
    const auto entry = fs_->Lookup(call_, parent, name);
    return entry ? entry->ino : 0;
  }
  int Code(const Status& status) { return status ? 0 : status.error().code; }
  Created Make(const std::string& name, cache::Ino parent = kRootIno, mode_t mode = 0644) {
    auto created = fs_->Create(call_, parent, name, mode, O_RDWR);
    EXPECT_TRUE(created) << created.error().text;
    return created ? *created : Created{};
  }
  void Write(uint64_t handle, const std::string& text) {
    EXPECT_TRUE(fs_->Write(handle, std::as_bytes(std::span(text)), 0));
  }
  void CloseHandle(uint64_t handle) {
    EXPECT_TRUE(fs_->Flush(handle));
    fs_->Release(handle);
  }
  std::string ReadAll(uint64_t handle, size_t size = 100, uint64_t offset = 0) {
    const auto reply = fs_->Read(call_, handle, size, offset);
    if (!reply) return "error: " + reply.error().text;
    if (reply->fd < 0) {
      return {reinterpret_cast<const char*>(reply->bytes.data()), reply->bytes.size()};
    }
    std::string text(reply->size, '\0');
    const ssize_t got =
        ::pread(reply->fd, text.data(), text.size(), static_cast<off_t>(reply->offset));
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }
  cache::Ino MakeClosed(const std::string& name, const std::string& text) {
    const Created created = Make(name);
    Write(created.opened.handle, text);
    CloseHandle(created.opened.handle);
    return created.entry.ino;
  }
  std::vector<std::string> List(cache::Ino ino, Status* status = nullptr) {
    std::vector<std::string> names;
    const auto dir = fs_->OpenDir(call_, ino);
    if (!dir) {
      if (status != nullptr) *status = Fail(dir.error());
      return names;
    }
    Status read;
    for (uint64_t offset = 0, last = 1; read && offset != last;) {
      last = offset;
      read = fs_->ReadDir(call_, dir->handle, offset, false, [&](const DirEntry& entry) {
        if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
        offset = entry.offset;
        return true;
      });
    }
    if (status != nullptr) *status = read;
    fs_->ReleaseDir(dir->handle);
    return names;
  }
  cache::Item AwaitState(const std::string& path, State state) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    const auto news = store_->feed().Subscribe();
    for (;;) {
      const Overlay overlay = store_->Lookup(path);
      if (overlay.kind == Overlay::Kind::kItem && overlay.item.state == state) return overlay.item;
      if (CondVar::Clock::now() > deadline) {
        ADD_FAILURE() << path << " never was " << ToString(state);
        return {};
      }
      news->Take({}, CondVar::Clock::now() + std::chrono::milliseconds(20));
    }
  }
  // What the uploader does, without it.
  void StartUpload(const cache::Item& item, const std::string& upload_path) {
    ASSERT_TRUE(store_->MarkStarting(item.id, item.generation, upload_path, std::nullopt));
    ASSERT_TRUE(store_->MarkStarted(item.id, item.generation, "upload"));
  }
  void Upload(const std::string& path) {
    const cache::Item item = AwaitState(path, State::kWaiting);
    StartUpload(item, path);
    names_.AddFile(path, item.size);
    ASSERT_TRUE(store_->MarkVerifying(item.id, item.generation));
    cache::Identity identity;
    identity.size = item.size;
    const auto done = store_->MarkDone(item.id, item.generation, path, identity);
    ASSERT_TRUE(done) << done.error().text;
  }

  test::TempDir dir_;
  test::FakeClock clock_;
  test::FakeNamespaceApi names_;
  test::FakeDownloader downloads_;
  NotedKernel kernel_;
  UserCall call_;
  std::unique_ptr<cache::Store> store_;
  std::unique_ptr<remote::DirCache> dirs_;
  std::unique_ptr<Passthrough> passthrough_;
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<Filesystem> fs_;
};

TEST_F(FilesystemTest, AMissingNameInAFreshListingCostsNoCall) {
  for (int i = 0; i < 5; ++i) {
    const auto entry = fs_->Lookup(call_, kRootIno, "missing" + std::to_string(i));
    ASSERT_TRUE(entry);
    EXPECT_EQ(0U, entry->ino);
    EXPECT_GT(entry->entry_timeout, 0);
  }
  EXPECT_EQ(1, names_.Count("List"));
}

TEST_F(FilesystemTest, AttributesOfAWriterAreKeptShortlyOthersLong) {
  const Created created = Make("file");
  EXPECT_LE(created.entry.attr_timeout, 1);
  EXPECT_GT(created.entry.entry_timeout, 10);
  CloseHandle(created.opened.handle);
  EXPECT_GT(fs_->GetAttr(call_, created.entry.ino)->timeout, 10);
}

TEST_F(FilesystemTest, UploadAndEvictionChangeNothingThatIsSeen) {
  const cache::Ino ino = MakeClosed("file", "text");
  AttrChange change;
  change.mode = 0600;
  change.mtime_ns = 123'456'789;
  ASSERT_TRUE(fs_->SetAttr(call_, ino, change));
  const struct stat before = fs_->GetAttr(call_, ino)->st;
  Upload("/file");
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(ino, Ino("file"));
    const struct stat after = fs_->GetAttr(call_, ino)->st;
    EXPECT_EQ(before.st_size, after.st_size);
    EXPECT_EQ(before.st_mode, after.st_mode);
    EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
    EXPECT_EQ(std::vector<std::string>{"file"}, List(kRootIno));
    // First the listing from before the upload, then a new one, then a new start.
    if (round == 0) dirs_->InvalidateAll();
    if (round == 1) Open({});
  }
  EXPECT_EQ(Overlay::Kind::kNone, store_->Lookup("/file").kind);
}

TEST_F(FilesystemTest, AnOpenFileKeepsItsBytesOverUploadAndEviction) {
  const cache::Ino ino = MakeClosed("file", "text");
  const auto opened = fs_->Open(call_, ino, O_RDONLY);
  ASSERT_TRUE(opened);
  Upload("/file");
  const auto reply = fs_->Read(call_, opened->handle, 100, 0);
  ASSERT_TRUE(reply);
  EXPECT_GE(reply->fd, 0);
  EXPECT_EQ(0, downloads_.fetches());
  // A writer that comes now changes the same bytes.
  const auto writer = fs_->Open(call_, ino, O_WRONLY);
  ASSERT_TRUE(writer) << writer.error().text;
  Write(writer->handle, "TE");
  CloseHandle(writer->handle);
  fs_->Release(opened->handle);
  EXPECT_EQ(4U, AwaitState("/file", State::kWaiting).size);
}

TEST_F(FilesystemTest, OneBackingIdPerNodeWhileItIsOpen) {
  const Created first = Make("file");
  const auto second = fs_->Open(call_, first.entry.ino, O_RDONLY);
  ASSERT_TRUE(second);
  EXPECT_GT(first.opened.backing_id, 0);
  EXPECT_EQ(first.opened.backing_id, second->backing_id);
  EXPECT_FALSE(second->keep_cache);
  EXPECT_EQ(1U, kernel_.open());
  fs_->Release(first.opened.handle);
  EXPECT_EQ(1U, kernel_.open());
  fs_->Release(second->handle);
  EXPECT_EQ(0U, kernel_.open());
}

TEST_F(FilesystemTest, ARefusalForGoodTurnsPassthroughOffAndSaysWhy) {
  kernel_.Refuse(EMFILE);
  EXPECT_EQ(0, Make("a").opened.backing_id);
  EXPECT_TRUE(passthrough_->on());
  kernel_.Refuse(EPERM);
  EXPECT_EQ(0, Make("b").opened.backing_id);
  EXPECT_FALSE(passthrough_->on());
  EXPECT_NE("", passthrough_->reason());
  kernel_.Refuse(0);
  EXPECT_EQ(0, Make("c").opened.backing_id);
}

TEST_F(FilesystemTest, AReadersModeStaysWhenAWriterComes) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const cache::Ino ino = Ino("file");
  const auto reader = fs_->Open(call_, ino, O_RDONLY);
  ASSERT_TRUE(reader);
  EXPECT_EQ(0, reader->backing_id);
  const auto writer = fs_->Open(call_, ino, O_WRONLY | O_TRUNC);
  ASSERT_TRUE(writer);
  EXPECT_EQ(0, writer->backing_id);  // the kernel would answer EIO
  fs_->Release(reader->handle);
  fs_->Release(writer->handle);
  EXPECT_GT(fs_->Open(call_, ino, O_RDONLY)->backing_id, 0);
}

TEST_F(FilesystemTest, AnUnchangedWriterLeavesTheSealAlone) {
  const cache::Ino ino = MakeClosed("file", "text");
  const cache::Generation generation = AwaitState("/file", State::kWaiting).generation;
  const auto opened = fs_->Open(call_, ino, O_RDWR);
  ASSERT_TRUE(opened);
  EXPECT_EQ(State::kOpen, store_->Lookup("/file").item.state);
  CloseHandle(opened->handle);
  EXPECT_EQ(State::kWaiting, store_->Lookup("/file").item.state);
  EXPECT_EQ(generation, store_->Lookup("/file").item.generation);
}

TEST_F(FilesystemTest, KeepsTheKernelsPagesWhileTheVersionIsTheSame) {
  names_.AddFile("/file", 4);
  const cache::Ino ino = Ino("file");
  EXPECT_FALSE(fs_->Open(call_, ino, O_RDONLY)->keep_cache);
  EXPECT_TRUE(fs_->Open(call_, ino, O_RDONLY)->keep_cache);
  names_.Remove("/file");
  names_.AddFile("/file", 5);
  clock_.Advance(std::chrono::seconds(1));
  dirs_->InvalidateAll();
  EXPECT_EQ(ino, Ino("file"));
  EXPECT_TRUE(kernel_.Await("content"));
  EXPECT_FALSE(fs_->Open(call_, ino, O_RDONLY)->keep_cache);
}

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

TEST_F(FilesystemTest, AnInterruptEndsALookup) {
  names_.AddDir("/dir");
  const cache::Ino dir = Ino("dir");
  names_.Hold("List");
  UserCall interrupted;
  std::jthread looking([&] {
    const auto entry = fs_->Lookup(interrupted, dir, "x");
    ASSERT_FALSE(entry);
    EXPECT_EQ(EINTR, entry.error().code);
  });
  ASSERT_TRUE(names_.AwaitCount("List", 2));
  interrupted.Interrupt();
  looking.join();
  names_.Release("List");
}

TEST_F(FilesystemTest, ADirectoryMadeHereIsNotAskedOfTheServer) {
  const auto made = fs_->MakeDir(call_, Ino("none") + kRootIno, "dir", 0755);
  ASSERT_TRUE(made);
  names_.FailNext("List", {.code = EIO, .text = "must not be asked"}, 100);
  // "/" is the server's root, where the server makes directories at once; below it is ours.
  const auto below = fs_->MakeDir(call_, made->ino, "below", 0755);
  ASSERT_TRUE(below);
  EXPECT_EQ(0U, Ino("missing", below->ino));
  EXPECT_TRUE(List(below->ino).empty());
}

TEST_F(FilesystemTest, DirectlyUnderAVirtualRootNoDirectoryIsMade) {
  names_.FailNext("MakeDir", {.code = EPERM, .text = "create_folder is not supported"});
  const auto made = fs_->MakeDir(call_, kRootIno, "cloud", 0755);
  ASSERT_FALSE(made);
  EXPECT_EQ(EPERM, made.error().code);
}

TEST_F(FilesystemTest, ARenameBetweenCloudsIsForCopyingPrograms) {
  names_.AddFile("/cloud/file", 4);
  names_.AddDir("/other");
  names_.FailNext("Move", {.code = EPERM, .text = "not supported"});
  const auto status = fs_->Rename(call_, Ino("cloud"), "file", Ino("other"), "file", 0);
  EXPECT_EQ(EXDEV, Code(status));
  EXPECT_NE(0U, Ino("file", Ino("cloud")));
}

TEST_F(FilesystemTest, WithoutAnAnswerAKnownDirectoryIsShownAsItWas) {
  names_.AddFile("/dir/file", 4);
  const cache::Ino dir = Ino("dir");
  ASSERT_NE(0U, Ino("file", dir));
  clock_.Advance(std::chrono::hours(1));
  names_.FailNext("List", {.code = EIO, .text = "unavailable"}, 100);
  EXPECT_NE(0U, Ino("file", dir));
  Status status;
  EXPECT_EQ(std::vector<std::string>{"file"}, List(dir, &status));
  EXPECT_EQ(EIO, Code(status));  // and says that this may not be all
  const auto missing = fs_->Lookup(call_, dir, "missing");
  ASSERT_FALSE(missing);  // ENOENT that the kernel does not keep
  EXPECT_EQ(ENOENT, missing.error().code);
}

TEST_F(FilesystemTest, WithoutAnAnswerAnUnknownDirectoryIsAnError) {
  names_.AddDir("/dir");
  const cache::Ino dir = Ino("dir");
  names_.FailNext("List", {.code = EIO, .text = "unavailable"}, 100);
  const auto entry = fs_->Lookup(call_, dir, "file");
  ASSERT_FALSE(entry);
  EXPECT_EQ(EIO, entry.error().code);
}

TEST_F(FilesystemTest, ASilentServerIsNotAskedAgainAtOnce) {
  names_.FailNext("List", {.code = ETIMEDOUT, .text = "late"}, 100);
  for (int i = 0; i < 10; ++i) Ino("x" + std::to_string(i));
  EXPECT_EQ(1, names_.Count("List"));
  clock_.Advance(std::chrono::minutes(1));
  Ino("x");
  EXPECT_EQ(2, names_.Count("List"));
}

TEST_F(FilesystemTest, WhatWasWrittenOfflineCanBeDeletedOffline) {
  names_.FailNext("List", {.code = EIO, .text = "unavailable"}, 100);
  MakeClosed("file", "text");
  EXPECT_TRUE(fs_->Unlink(call_, kRootIno, "file"));
  EXPECT_EQ(0, names_.Count("Delete"));
}

TEST_F(FilesystemTest, RenamingAFileInFlightIsLocalAndHidesWhatTheUploadLeaves) {
  MakeClosed("a", "text");
  StartUpload(AwaitState("/a", State::kWaiting), "/a");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "a", kRootIno, "b", 0));
  EXPECT_EQ(0, names_.Count("Rename"));
  names_.AddFile("/a", 4);  // it finishes under its old name
  dirs_->InvalidateAll();
  EXPECT_EQ(std::vector<std::string>{"b"}, List(kRootIno));
  EXPECT_EQ(0U, Ino("a"));
}

TEST_F(FilesystemTest, RenamingWhatWasJustUploadedRenamesItOnTheServer) {
  MakeClosed("a", "text");
  ASSERT_TRUE(List(kRootIno) ==
              std::vector<std::string>{"a"});  // this listing will lack the upload
  Upload("/a");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "a", kRootIno, "b", 0));
  ASSERT_EQ(1U, names_.Content("/").size());
  EXPECT_EQ("b", names_.Content("/")[0].name);
  EXPECT_EQ(std::vector<std::string>{"b"}, List(kRootIno));
}

TEST_F(FilesystemTest, APendingOverwriteTakesItsOldVersionAlong) {
  names_.AddFile("/a", 3);
  const auto opened = fs_->Open(call_, Ino("a"), O_WRONLY | O_TRUNC);
  ASSERT_TRUE(opened);
  Write(opened->handle, "text");
  CloseHandle(opened->handle);
  AwaitState("/a", State::kWaiting);
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "a", kRootIno, "b", 0));
  EXPECT_EQ(std::vector<std::string>{"b"}, List(kRootIno));
  EXPECT_EQ("b", names_.Content("/")[0].name);
  EXPECT_EQ(4, fs_->GetAttr(call_, Ino("b"))->st.st_size);
}

TEST_F(FilesystemTest, MovingIntoADirectoryThatIsOnlyHereMakesItFirst) {
  names_.AddFile("/top/file", 4);
  const cache::Ino top = Ino("top");
  const auto dir = fs_->MakeDir(call_, top, "new", 0755);
  ASSERT_TRUE(dir);
  ASSERT_TRUE(fs_->Rename(call_, top, "file", dir->ino, "file", 0));
  ASSERT_EQ(1U, names_.Content("/top/new").size());
  EXPECT_EQ(std::vector<std::string>{"file"}, List(dir->ino));
}

TEST_F(FilesystemTest, ALostAnswerOfARenameIsSuccessWhenTheListingSaysSo) {
  names_.AddFile("/a", 4);
  ASSERT_NE(0U, Ino("a"));
  names_.Remove("/a");
  names_.AddFile("/b", 4);  // it had worked
  names_.FailNext("Rename", {.code = ETIMEDOUT, .text = "late"});
  EXPECT_TRUE(fs_->Rename(call_, kRootIno, "a", kRootIno, "b", 0));
  EXPECT_EQ(std::vector<std::string>{"b"}, List(kRootIno));
}

TEST_F(FilesystemTest, AFailureHalfwayThroughAMoveIsUndone) {
  names_.AddFile("/x/a", 4);
  names_.AddDir("/y");
  names_.FailNext("Move", {.code = EACCES, .text = "no"});
  EXPECT_EQ(EACCES, Code(fs_->Rename(call_, Ino("x"), "a", Ino("y"), "b", 0)));
  ASSERT_EQ(1U, names_.Content("/x").size());
  EXPECT_EQ("a", names_.Content("/x")[0].name);
  EXPECT_EQ(std::vector<std::string>{"a"}, List(Ino("x")));
}

TEST_F(FilesystemTest, AFailedReplacementGivesTheTargetItsNameBack) {
  names_.AddFile("/x/a", 4);
  names_.AddFile("/y/a", 7);
  names_.FailNext("Move", {.code = EACCES, .text = "no"});
  EXPECT_EQ(EACCES, Code(fs_->Rename(call_, Ino("x"), "a", Ino("y"), "a", 0)));
  ASSERT_EQ(1U, names_.Content("/y").size());
  EXPECT_EQ("a", names_.Content("/y")[0].name);
  EXPECT_EQ(7U, names_.Content("/y")[0].size);
  EXPECT_EQ(7, fs_->GetAttr(call_, Ino("a", Ino("y")))->st.st_size);
}

TEST_F(FilesystemTest, AFolderThatFilledUpElsewhereIsNotDeleted) {
  names_.AddDir("/dir");
  const cache::Ino dir = Ino("dir");
  EXPECT_TRUE(List(dir).empty());
  names_.AddFile("/dir/file", 4);  // our cached listing does not know
  EXPECT_EQ(ENOTEMPTY, Code(fs_->RemoveDir(call_, kRootIno, "dir")));
  EXPECT_EQ(0, names_.Count("Delete"));
}

TEST_F(FilesystemTest, DeletingWhatIsBeingUploadedLeavesItToTheUploader) {
  MakeClosed("file", "text");
  const cache::Item item = AwaitState("/file", State::kWaiting);
  StartUpload(item, "/file");
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "file"));
  EXPECT_EQ(0U, Ino("file"));
  const auto removing = store_->Get(item.id);
  ASSERT_TRUE(removing);
  EXPECT_EQ(State::kRemoving, removing->state);
}

TEST_F(FilesystemTest, AForeignWriterLosesSetuid) {
  const Created created = Make("file", kRootIno, 06755);
  CloseHandle(created.opened.handle);
  UserCall user(1000);
  const auto opened = fs_->Open(user, created.entry.ino, O_WRONLY);
  ASSERT_TRUE(opened);
  EXPECT_EQ(0755U, fs_->GetAttr(call_, created.entry.ino)->st.st_mode & 07777);
}

TEST_F(FilesystemTest, ASetgidDirectoryGivesItsGroup) {
  names_.AddDir("/dir");
  const cache::Ino dir = Ino("dir");
  AttrChange change;
  change.mode = 02775;
  change.gid = 77;
  ASSERT_TRUE(fs_->SetAttr(call_, dir, change));
  EXPECT_EQ(77U, Make("file", dir).entry.st.st_gid);
  const auto below = fs_->MakeDir(call_, dir, "below", 0755);
  ASSERT_TRUE(below);
  EXPECT_EQ(77U, below->st.st_gid);
  EXPECT_EQ(02755U, below->st.st_mode & 07777);
}

TEST_F(FilesystemTest, ADirectoryIsTouchedByWhatHappensInIt) {
  names_.AddDir("/dir");
  const cache::Ino dir = Ino("dir");
  Make("file", dir);
  const struct stat touched = fs_->GetAttr(call_, dir)->st;
  EXPECT_EQ(clock_.WallNs() / 1'000'000'000, touched.st_mtim.tv_sec);
  AttrChange change;
  change.mtime_ns = 1'000'000'000;
  ASSERT_TRUE(fs_->SetAttr(call_, dir, change));
  EXPECT_EQ(1, fs_->GetAttr(call_, dir)->st.st_mtim.tv_sec);
}

TEST_F(FilesystemTest, RemoteNewsExpireWhatTheKernelKnows) {
  names_.AddFile("/dir/file", 4);
  ASSERT_NE(0U, Ino("file", Ino("dir")));
  fs_->RemoteChanged("/dir/file");
  EXPECT_TRUE(kernel_.Await("entry file"));
  fs_->RemoteChanged("/unknown/file");
  fs_->RemoteChanged("");
  EXPECT_TRUE(kernel_.Await("entry dir"));
}

TEST_F(FilesystemTest, TheKernelsListingIsKeptUntilTheNextOne) {
  names_.AddFile("/file", 4);
  List(kRootIno);
  EXPECT_TRUE(fs_->OpenDir(call_, kRootIno)->keep_cache);
  fs_->RemoteChanged("/other");
  EXPECT_FALSE(fs_->OpenDir(call_, kRootIno)->keep_cache);
}

TEST_F(FilesystemTest, ARemovalDuringAListingIsNotListedAnyMore) {
  MakeClosed("a", "1");
  MakeClosed("b", "2");
  const auto dir = fs_->OpenDir(call_, kRootIno);
  ASSERT_TRUE(dir);
  std::vector<std::string> names;
  uint64_t offset = 0;
  const auto take_three = [&](const DirEntry& entry) {
    if (names.size() == 3) return false;
    names.push_back(entry.name);
    offset = entry.offset;
    return true;
  };
  ASSERT_TRUE(fs_->ReadDir(call_, dir->handle, 0, true, take_three));
  EXPECT_EQ((std::vector<std::string>{".", "..", "a"}), names);
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "b"));
  names.clear();
  ASSERT_TRUE(fs_->ReadDir(call_, dir->handle, offset, true, take_three));
  EXPECT_TRUE(names.empty());
}

TEST_F(FilesystemTest, ReadOnlyAndDrainingRefuseNewWriters) {
  const cache::Ino ino = MakeClosed("file", "text");
  fs_->RefuseWriters();
  EXPECT_EQ(EROFS, fs_->Open(call_, ino, O_WRONLY).error().code);
  EXPECT_EQ(EROFS, fs_->Create(call_, kRootIno, "new", 0644, O_WRONLY).error().code);
  EXPECT_TRUE(fs_->Open(call_, ino, O_RDONLY));
}

TEST_F(FilesystemTest, SpaceIsAskedOnceAndNeverRefused) {
  names_.FailNext("GetSpace", {.code = EIO, .text = "unavailable"});
  EXPECT_GT(fs_->StatFs(call_)->f_bavail, 0U);
  EXPECT_TRUE(fs_->StatFs(call_));
  EXPECT_EQ(1, names_.Count("GetSpace"));
  clock_.Advance(std::chrono::minutes(2));
  names_.SetSpace({.total = 8192, .used = 4096, .free = 4096});
  EXPECT_EQ(1U, fs_->StatFs(call_)->f_bavail);
}

}  // namespace
}  // namespace outboxfs::fs
