// The operations, one at a time. Removals and renames at the server: changes_test.cc.
#include "filesystem_fixture.h"

namespace outboxfs::fs {
namespace {

TEST_F(FilesystemTest, AMissingNameInAFreshListingCostsNoCall) {
  for (int i = 0; i < 5; ++i) {
    const auto entry = fs_->Lookup(call_, kRootIno, "missing" + std::to_string(i));
    ASSERT_TRUE(entry);
    EXPECT_EQ(0U, entry->ino);
    EXPECT_GT(entry->entry_timeout, 0);
  }
  EXPECT_EQ(1, names_.Count("List"));
}

TEST_F(FilesystemTest, TheKernelBelievesANameNoLongerThanAListing) {
  Open({.dir_cache_time = std::chrono::milliseconds(1500)});
  names_.AddFile("/file", 4);
  const auto there = fs_->Lookup(call_, kRootIno, "file");
  const auto missing = fs_->Lookup(call_, kRootIno, "missing");
  ASSERT_TRUE(there && missing);
  EXPECT_EQ(there->entry_timeout, 1.5);
  EXPECT_EQ(there->attr_timeout, 1.5);
  EXPECT_EQ(missing->entry_timeout, 1.5);
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
    if (round == 0) ListAnew();
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

TEST_F(FilesystemTest, AReaderGetsOneVersionOrAnError) {
  names_.AddFile("/file", 4);
  downloads_.Put("/file", "text");
  const auto reader = fs_->Open(call_, Ino("file"), O_RDONLY);
  ASSERT_TRUE(reader);
  EXPECT_TRUE(fs_->Read(call_, reader->handle, 4, 0));
  ASSERT_TRUE(names_.Delete("/file", {}));
  names_.AddFile("/file", 5);
  downloads_.Put("/file", "other");
  EXPECT_TRUE(fs_->Read(call_, reader->handle, 4, 0)) << "nobody has told us";
  dirs_->Doubt("/", "file", false);
  const auto reply = fs_->Read(call_, reader->handle, 4, 0);
  ASSERT_FALSE(reply);
  EXPECT_EQ(EIO, reply.error().code);
  fs_->Release(reader->handle);
  const auto again = fs_->Open(call_, Ino("file"), O_RDONLY);
  EXPECT_TRUE(fs_->Read(call_, again->handle, 5, 0));
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

// Whoever looks while the last writer closes must not be told of the time before.
TEST_F(FilesystemTest, WhatWasWrittenIsSeenWhileItIsBeingClosed) {
  const cache::Ino ino = MakeClosed("file", "");
  std::atomic<int64_t> written = 0;
  std::atomic<int> stale = 0;
  const auto look = [&](const std::stop_token& stop, const auto& size_now) {
    while (!stop.stop_requested()) {
      const int64_t least = written;
      if (size_now() < least) ++stale;
    }
  };
  UserCall call;
  std::jthread getattr([&](const std::stop_token& stop) {
    look(stop, [&] { return fs_->GetAttr(call, ino)->st.st_size; });
  });
  std::jthread lookup([&](const std::stop_token& stop) {
    look(stop, [&] { return fs_->Lookup(call, kRootIno, "file")->st.st_size; });
  });
  for (int64_t size = 1; size <= 3'000; ++size) {
    const auto opened = fs_->Open(call_, ino, O_WRONLY);
    ASSERT_TRUE(opened);
    Write(opened->handle, std::string(static_cast<size_t>(size), 'x'));
    written = size;
    CloseHandle(opened->handle);
  }
  EXPECT_EQ(stale, 0);
}

TEST_F(FilesystemTest, AnUploadedFileThatIsDeletedWhileItIsReadIsAsItWasLast) {
  const cache::Ino ino = MakeClosed("file", "text");
  Upload("/file");
  const auto reading = fs_->Open(call_, ino, O_RDONLY);
  ASSERT_TRUE(reading);
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "file"));
  const auto looked = fs_->GetAttr(call_, ino);
  ASSERT_TRUE(looked);
  EXPECT_EQ(looked->st.st_size, 4);
  EXPECT_EQ(looked->st.st_nlink, 0U);
  fs_->Release(reading->handle);
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

TEST_F(FilesystemTest, WithSyncMetadataMkdirIsDoneAtTheServer) {
  MountOptions options;
  options.sync_metadata = true;
  Open(options);
  const auto made = fs_->MakeDir(call_, kRootIno, "dir", 0750);
  ASSERT_TRUE(made) << made.error().text;
  EXPECT_EQ(Overlay::Kind::kUploaded, store_->Lookup("/dir").kind);
  EXPECT_TRUE(fs_->MakeDir(call_, made->ino, "below", 0750));
  EXPECT_EQ(2, names_.Count("MakeDir"));
  EXPECT_EQ(made->ino, Ino("dir"));
  EXPECT_EQ(0750U, fs_->GetAttr(call_, made->ino)->st.st_mode & 07777);
  names_.FailNext("MakeDir", {.code = EACCES, .text = "not allowed"});
  const auto refused = fs_->MakeDir(call_, kRootIno, "other", 0750);
  ASSERT_FALSE(refused);
  EXPECT_EQ(EACCES, refused.error().code);
  EXPECT_EQ(std::vector<std::string>{"dir"}, List(kRootIno));
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

// The uploader has seen it since in a listing of its own.
TEST_F(FilesystemTest, WithoutAnAnswerTheNewestListingIsShown) {
  names_.AddFile("/f", 4, {{remote::HashType::kMd5, "before"}});
  EXPECT_EQ(std::vector<std::string>{"f"}, List(kRootIno));
  clock_.Advance(std::chrono::seconds(1));
  names_.Remove("/f");
  names_.AddFile("/f", 4, {{remote::HashType::kMd5, "after"}});
  const cache::Memory memory{.path = "/f",
                             .ino = store_->NewIno(),
                             .attr = {.mode = 0600},
                             .identity = {.size = 4, .digests = {{1, "after"}}},
                             .confirmed = true};
  ASSERT_TRUE(store_->Remember(memory));
  ASSERT_TRUE(dirs_->Refresh("/", clock_.Now(), {}));
  dirs_->Doubt("/", "f", false);
  names_.FailNext("List", {.code = EIO, .text = "unavailable"}, 100);
  const auto entry = fs_->Lookup(call_, kRootIno, "f");
  ASSERT_TRUE(entry) << entry.error().text;
  EXPECT_EQ(0600U, entry->st.st_mode & 0777);
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

TEST_F(FilesystemTest, AnOldVersionInADirectoryMadeForItIsMovedOnAndDeleted) {
  names_.AddDir("/top");
  names_.AddFile("/top/file", 4);
  const cache::Ino top = Ino("top");
  const auto dir = fs_->MakeDir(call_, top, "new", 0755);
  ASSERT_TRUE(dir);
  const auto open = fs_->Open(call_, Ino("file", top), O_WRONLY | O_TRUNC);
  ASSERT_TRUE(open);
  ASSERT_TRUE(fs_->Rename(call_, top, "file", dir->ino, "a", 0));
  ASSERT_TRUE(fs_->Rename(call_, dir->ino, "a", top, "b", 0));
  EXPECT_TRUE(names_.Content("/top/new").empty());
  ASSERT_TRUE(fs_->Rename(call_, top, "b", dir->ino, "c", 0));
  ASSERT_TRUE(fs_->Unlink(call_, dir->ino, "c"));
  EXPECT_TRUE(names_.Content("/top/new").empty());
  EXPECT_TRUE(fs_->RemoveDir(call_, top, "new"));
  EXPECT_TRUE(names_.Content("/top").empty());
  CloseHandle(open->handle);
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

TEST_F(FilesystemTest, TimesSetAfterTheCloseStayWhenItIsOpenedForWriting) {
  const cache::Ino ino = MakeClosed("file", "text");
  AttrChange change;
  change.mtime_ns = 1'000'000'000;
  ASSERT_TRUE(fs_->SetAttr(call_, ino, change));
  const auto opened = fs_->Open(call_, ino, O_RDWR);
  ASSERT_TRUE(opened);
  EXPECT_EQ(1, fs_->GetAttr(call_, ino)->st.st_mtim.tv_sec);
  AttrChange access;
  access.atime_ns = 7;
  ASSERT_TRUE(fs_->SetAttr(call_, ino, access));
  CloseHandle(opened->handle);
  EXPECT_EQ(1, fs_->GetAttr(call_, ino)->st.st_mtim.tv_sec);
}

TEST_F(FilesystemTest, AnOpenRemoteFileThatWasDeletedKeepsItsAttributes) {
  names_.AddFile("/file", 4);
  const cache::Ino ino = Ino("file");
  const auto opened = fs_->Open(call_, ino, O_RDONLY);
  ASSERT_TRUE(opened);
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "file"));
  AttrChange change;
  change.mode = 0600;
  ASSERT_TRUE(fs_->SetAttr(call_, ino, change));
  const auto attr = fs_->GetAttr(call_, ino);
  ASSERT_TRUE(attr) << attr.error().text;
  EXPECT_EQ(4, attr->st.st_size);
  EXPECT_EQ(0600U, attr->st.st_mode & 07777);
  EXPECT_EQ(0U, attr->st.st_nlink);
  CloseHandle(opened->handle);
  EXPECT_FALSE(fs_->GetAttr(call_, ino));
}

TEST_F(FilesystemTest, AChangeOfADeletedFileSaysThatItHasNoName) {
  const Created created = Make("file");
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "file"));
  AttrChange change;
  change.mode = 0600;
  const auto changed = fs_->SetAttr(call_, created.entry.ino, change);
  ASSERT_TRUE(changed);
  EXPECT_EQ(0U, changed->st.st_nlink);
  CloseHandle(created.opened.handle);
}

TEST_F(FilesystemTest, RemoteNewsExpireWhatTheKernelKnows) {
  names_.AddFile("/dir/file", 4);
  ASSERT_NE(0U, Ino("file", Ino("dir")));
  fs_->RemoteChanged("/dir/file", false);
  EXPECT_TRUE(kernel_.Await("entry file"));
  fs_->RemoteChanged("/unknown/file", false);
  fs_->RemoteChanged("", false);
  EXPECT_TRUE(kernel_.Await("entry dir"));
}

TEST_F(FilesystemTest, OurOwnChangesDoNotEcho) {
  MakeClosed("staged", "text");
  fs_->RemoteChanged("/staged", false);
  MakeClosed("uploaded", "text");
  Upload("/uploaded");
  fs_->RemoteChanged("/uploaded", false);
  names_.AddFile("/deleted", 4);
  ListAnew();
  ASSERT_NE(0U, Ino("deleted"));
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "deleted"));
  fs_->RemoteChanged("/deleted", true);
  // The notifier sends in the order of names; this one is somebody else's doing.
  fs_->RemoteChanged("/uploaded", true);
  ASSERT_TRUE(kernel_.Await("entry uploaded"));
  EXPECT_FALSE(kernel_.Sent("entry staged"));
  EXPECT_FALSE(kernel_.Sent("entry deleted"));
  clock_.Advance(std::chrono::seconds(6));
  fs_->RemoteChanged("/uploaded", false);
  EXPECT_TRUE(kernel_.Await("entry uploaded"));
}

TEST_F(FilesystemTest, TheKernelsListingIsKeptUntilTheNextOne) {
  names_.AddFile("/file", 4);
  List(kRootIno);
  EXPECT_TRUE(fs_->OpenDir(call_, kRootIno)->keep_cache);
  fs_->RemoteChanged("/other", false);
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
