// Removals and renames of what the server has: nothing is lost when they fail, every crash in their
// middle is settled, and what a name shows follows the server.
#include <future>

#include "filesystem_fixture.h"
#include "remote/temp_names.h"

namespace outboxfs::fs {
namespace {

using cache::Intent;
using ChangesTest = FilesystemTest;

const Error kRefused{.code = EACCES, .text = "no"};

// ---- Failures -----------------------------------------------------------------------------

TEST_F(ChangesTest, AFailedRenameOverAPendingFileKeepsItsBytes) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "precious");
  AwaitState("/doc", State::kWaiting);
  names_.FailNext("Rename", kRefused);
  EXPECT_EQ(EACCES, Code(fs_->Rename(call_, kRootIno, "remote", kRootIno, "doc", 0)));
  EXPECT_EQ("precious", Read(Ino("doc")));
  EXPECT_NE(0U, Ino("remote"));
  AwaitState("/doc", State::kWaiting);  // and will be uploaded
  EXPECT_TRUE(store_->Intents().empty());
}

TEST_F(ChangesTest, AFailedUnlinkOfAPendingOverwriteKeepsTheNewerBytes) {
  names_.AddFile("/a", 3);
  MakePendingOverwrite("a", "newer");
  names_.FailNext("Delete", kRefused);
  EXPECT_EQ(EACCES, Code(fs_->Unlink(call_, kRootIno, "a")));
  EXPECT_EQ("newer", Read(Ino("a")));
  AwaitState("/a", State::kWaiting);
}

TEST_F(ChangesTest, ASuccessfulRenameOverAPendingFileReplacesIt) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "replaced");
  const cache::Item item = AwaitState("/doc", State::kWaiting);
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "remote", kRootIno, "doc", 0));
  EXPECT_EQ(std::vector<std::string>{"doc"}, List(kRootIno));
  EXPECT_EQ(4, fs_->GetAttr(call_, Ino("doc"))->st.st_size);
  EXPECT_FALSE(store_->Get(item.id));
}

TEST_F(ChangesTest, TheUploadOfAReplacedFileIsEndedFirst) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "text");
  const cache::Item item = AwaitState("/doc", State::kWaiting);
  StartUpload(item, "/doc");
  std::jthread renaming([&] {
    UserCall call;
    EXPECT_TRUE(fs_->Rename(call, kRootIno, "remote", kRootIno, "doc", 0));
  });
  AwaitState("/doc", State::kOpen);
  EXPECT_EQ(0, names_.Count("Rename"));
  ASSERT_TRUE(store_->MarkUploadGone(item.id));  // as the uploader does
  renaming.join();
  EXPECT_EQ(std::vector<std::string>{"doc"}, List(kRootIno));
}

TEST_F(ChangesTest, AnUploadThatDoesNotEndRefusesTheRename) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "text");
  StartUpload(AwaitState("/doc", State::kWaiting), "/doc");
  auto renaming = std::async(std::launch::async, [&] {
    UserCall call;
    return Code(fs_->Rename(call, kRootIno, "remote", kRootIno, "doc", 0));
  });
  while (renaming.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    clock_.Advance(std::chrono::seconds(1));
  }
  EXPECT_EQ(ETIMEDOUT, renaming.get());
  EXPECT_EQ(0, names_.Count("Rename"));
  EXPECT_EQ("text", Read(Ino("doc")));
  AwaitState("/doc", State::kWaiting);
}

// What comes to the new name must not be overwritten, or taken for a leftover, by an upload that
// was begun under that name.
class OldUploadTest : public FilesystemTest {
 protected:
  void ExpectRenameToWait(const std::string& from, const std::string& to) {
    auto renaming = std::async(std::launch::async, [&] {
      UserCall call;
      return Code(fs_->Rename(call, kRootIno, from, kRootIno, to, 0));
    });
    while (renaming.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
      clock_.Advance(std::chrono::seconds(1));
    }
    EXPECT_EQ(ETIMEDOUT, renaming.get());
    EXPECT_EQ(0, names_.Count("Rename"));
    EXPECT_NE(0U, Ino(from));
    EXPECT_TRUE(store_->Intents().empty());
  }
};

TEST_F(OldUploadTest, OfAFileThatWasRenamedAway) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "text");
  const cache::Item item = AwaitState("/doc", State::kWaiting);
  StartUpload(item, "/doc");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "doc", kRootIno, "doc.1", 0));
  ExpectRenameToWait("remote", "doc");
  ASSERT_TRUE(store_->MarkUploadGone(item.id));
  EXPECT_TRUE(fs_->Rename(call_, kRootIno, "remote", kRootIno, "doc", 0));
}

TEST_F(OldUploadTest, OfADeletedFile) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "text");
  const cache::Item item = AwaitState("/doc", State::kWaiting);
  StartUpload(item, "/doc");
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "doc"));
  ExpectRenameToWait("remote", "doc");
  ASSERT_TRUE(store_->ForgetRemoved(item.id));
  EXPECT_TRUE(fs_->Rename(call_, kRootIno, "remote", kRootIno, "doc", 0));
}

TEST_F(OldUploadTest, OfADeletedFileInADeletedDirectory) {
  names_.AddFile("/old/f", 4);
  names_.AddDir("/new");
  const cache::Ino dir = Ino("new");
  const Created created = Make("f", dir);
  Write(created.opened.handle, "text");
  CloseHandle(created.opened.handle);
  const cache::Item item = AwaitState("/new/f", State::kWaiting);
  StartUpload(item, "/new/f");
  ASSERT_TRUE(fs_->Unlink(call_, dir, "f"));
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "new"));
  // Here at once; on the server both wait for the end of the upload.
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "old", kRootIno, "new", 0));
  EXPECT_EQ(std::vector<std::string>{"f"}, List(Ino("new")));
  const std::jthread settler([this](const std::stop_token& stop) { fs_->SettleLoop(stop); });
  EXPECT_EQ(0, names_.Count("Delete"));
  ASSERT_TRUE(store_->ForgetRemoved(item.id));
  while (store_->AnyDeferred()) std::this_thread::yield();
  EXPECT_EQ(1, names_.Count("Delete"));
  ASSERT_EQ(1U, names_.Content("/new").size());
  EXPECT_EQ(4U, names_.Content("/new")[0].size);
}

TEST_F(ChangesTest, AReplacedFileThatIsHeldOpenIsNotWaitedFor) {
  names_.AddFile("/remote", 4);
  MakeClosed("doc", "text");
  AwaitState("/doc", State::kWaiting);
  const auto opened = fs_->Open(call_, Ino("doc"), O_RDONLY);
  ASSERT_TRUE(opened);
  const auto begun = CondVar::Clock::now();
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "remote", kRootIno, "doc", 0));
  EXPECT_LT(CondVar::Clock::now() - begun, std::chrono::seconds(5));
  EXPECT_TRUE(fs_->Read(call_, opened->handle, 4, 0));
  fs_->Release(opened->handle);
}

TEST_F(ChangesTest, AnyEntryOfTheNameIsNoSuccessOfAReplacement) {
  names_.AddFile("/x/a", 4);
  names_.AddFile("/y/a", 7);
  const cache::Ino x = Ino("x");
  const cache::Ino y = Ino("y");
  List(x);
  List(y);
  const int listings = names_.Count("List");
  names_.FailNext("Move", kRefused);
  names_.Hold("List");
  std::jthread renaming([&] {
    UserCall call;
    EXPECT_EQ(EACCES, Code(fs_->Rename(call, x, "a", y, "a", 0)));
  });
  ASSERT_TRUE(names_.AwaitCount("List", listings + 1));
  names_.AddFile("/y/a", 5);  // somebody else's
  names_.Release("List");
  renaming.join();
  EXPECT_EQ(1U, names_.Content("/x").size());
  ASSERT_EQ(2U, names_.Content("/y").size());  // nothing is lost, and nothing hidden
  for (const std::string& name : List(y)) EXPECT_TRUE(name.starts_with("a")) << name;
  EXPECT_EQ(2U, List(y).size());
}

TEST_F(ChangesTest, WhatFollowsTheFirstStepIsNotEndedByAnUnmount) {
  names_.AddFile("/x/a", 4);
  names_.AddDir("/y");
  const cache::Ino x = Ino("x");
  const cache::Ino y = Ino("y");
  ASSERT_NE(0U, Ino("a", x));
  List(y);
  names_.Hold("Move");
  std::jthread renaming([&] {
    UserCall call;
    EXPECT_TRUE(fs_->Rename(call, x, "a", y, "b", 0));
  });
  ASSERT_TRUE(names_.AwaitCount("Move", 1));
  fs_->StopWaits();
  names_.Release("Move");
  renaming.join();
  ASSERT_EQ(1U, names_.Content("/y").size());
  EXPECT_EQ("b", names_.Content("/y")[0].name);
}

// ---- Undecided outcomes -------------------------------------------------------------------

TEST_F(ChangesTest, AnUnknownOutcomeIsSettledWhenTheServerAnswersAgain) {
  names_.AddFile("/a", 4);
  ASSERT_NE(0U, Ino("a"));
  names_.FailNext("Rename", {.code = ETIMEDOUT, .text = "late"});
  names_.FailNext("List", {.code = EIO, .text = "unavailable"}, 3);
  EXPECT_EQ(ETIMEDOUT, Code(fs_->Rename(call_, kRootIno, "a", kRootIno, "b", 0)));
  EXPECT_EQ(1U, store_->Intents().size());
  EXPECT_EQ(std::vector<std::string>{"a"}, List(kRootIno));  // as before
  names_.Remove("/a");
  names_.AddFile("/b", 4);  // it had worked
  EXPECT_FALSE(fs_->SettleChanges({}));
  EXPECT_TRUE(fs_->SettleChanges({}));
  EXPECT_EQ(std::vector<std::string>{"b"}, List(kRootIno));
  EXPECT_EQ(0U, Ino("a"));
}

TEST_F(ChangesTest, ACallThatWasGivenUpMayStillBeCarriedOut) {
  names_.AddFile("/a", 4);
  ASSERT_NE(0U, Ino("a"));
  names_.FailNext("Rename", {.code = ETIMEDOUT, .text = "late"});
  EXPECT_EQ(ETIMEDOUT, Code(fs_->Rename(call_, kRootIno, "a", kRootIno, "b", 0)));
  EXPECT_FALSE(fs_->SettleChanges({}));
  EXPECT_EQ(std::vector<std::string>{"a"}, List(kRootIno));
  names_.Remove("/a");
  names_.AddFile("/b", 4);  // here it comes
  clock_.Advance(std::chrono::seconds(5));
  EXPECT_TRUE(fs_->SettleChanges({}));
  EXPECT_EQ(std::vector<std::string>{"b"}, List(kRootIno));
}

TEST_F(ChangesTest, WhatIsWrittenAfterAFailedUnlinkOutlivesTheLateRemoval) {
  names_.AddFile("/a", 3);
  MakePendingOverwrite("a", "newer");
  names_.FailNext("Delete", {.code = ETIMEDOUT, .text = "late"});
  EXPECT_EQ(ETIMEDOUT, Code(fs_->Unlink(call_, kRootIno, "a")));
  MakePendingOverwrite("a", "newest");
  names_.Remove("/a");  // here it comes
  EXPECT_TRUE(fs_->SettleChanges({}));
  EXPECT_TRUE(store_->Intents().empty());
  EXPECT_EQ("newest", Read(Ino("a")));
  EXPECT_EQ(std::vector<std::string>{"a"}, List(kRootIno));
}

TEST_F(ChangesTest, TheNextChangeOfTheNameSettlesAnEarlierOne) {
  names_.AddFile("/a", 4);
  ASSERT_NE(0U, Ino("a"));
  names_.FailNext("Delete", {.code = ETIMEDOUT, .text = "late"});
  names_.FailNext("List", {.code = EIO, .text = "unavailable"});
  EXPECT_EQ(ETIMEDOUT, Code(fs_->Unlink(call_, kRootIno, "a")));
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_TRUE(fs_->Unlink(call_, kRootIno, "a"));
  EXPECT_TRUE(names_.Content("/").empty());
  EXPECT_TRUE(store_->Intents().empty());
}

// As a killed daemon leaves it: the intent is journalled, the server stands somewhere on the way.
class CutShortTest : public FilesystemTest {
 protected:
  // The steps that were taken before the end.
  void Cut(const std::string& from, const std::string& to, int steps, bool replace) {
    Intent intent{.kind = Intent::Kind::kRename, .folder = "/", .from = from, .to = to};
    intent.source = cache::Identity{.size = 4};
    intent.passing = ".obx-00000000-80000001";
    if (replace) intent.aside = ".obx-00000000-80000002";
    const auto begun = store_->BeginIntent(intent);
    ASSERT_TRUE(begun);
    for (const ChangeStep& step : StepsOf(*begun)) {
      if (steps-- == 0) break;
      const bool move = step.kind == ChangeStep::Kind::kMove;
      ASSERT_TRUE(move ? names_.Move(step.path, step.argument, {})
                       : names_.Rename(step.path, step.argument, {}));
    }
    Open({});  // the next start
    clock_.Advance(std::chrono::minutes(1));
  }
  std::string Tree() {
    std::string tree;
    for (const std::string dir : {"/x", "/y"}) {
      for (const remote::Entry& entry : names_.Content(dir)) {
        tree += dir + "/" + entry.name + ":" + std::to_string(entry.size) + " ";
      }
    }
    return tree;
  }
};

TEST_F(CutShortTest, AMoveEndsWhollyOnOneSideOrTheOther) {
  const char* expected[] = {"/x/a:4 ", "/x/a:4 ", "/y/b:4 ", "/y/b:4 "};
  for (int steps = 0; steps <= 3; ++steps) {
    names_.Remove("/x");
    names_.Remove("/y");
    names_.AddFile("/x/a", 4);
    names_.AddDir("/y");
    Cut("/x/a", "/y/b", steps, false);
    EXPECT_TRUE(fs_->SettleChanges({}));
    EXPECT_EQ(expected[steps], Tree()) << steps;
    EXPECT_EQ(steps < 2, Ino("a", Ino("x")) != 0) << steps;
    EXPECT_EQ(steps >= 2, Ino("b", Ino("y")) != 0) << steps;
    EXPECT_TRUE(store_->Intents().empty());
  }
}

TEST_F(CutShortTest, AReplacementEndsWithTheOldTargetOrTheNew) {
  const std::string before = "/x/a:4 /y/b:7 ";
  for (int steps = 0; steps <= 4; ++steps) {
    names_.Remove("/x");
    names_.Remove("/y");
    names_.AddFile("/x/a", 4);
    names_.AddFile("/y/b", 7);
    Cut("/x/a", "/y/b", steps, true);
    EXPECT_TRUE(fs_->SettleChanges({}));
    EXPECT_EQ(steps < 3 ? before : "/y/b:4 ", Tree()) << steps;
    EXPECT_TRUE(store_->Intents().empty());
  }
}

// Neither a source on its way nor a target that made room vanishes before the outcome is known.
TEST_F(ChangesTest, BothNamesShowAsBeforeUntilTheOutcomeIsKnown) {
  names_.AddFile("/x/a", 4);
  names_.AddFile("/y/b", 7);
  const cache::Ino x = Ino("x");
  const cache::Ino y = Ino("y");
  names_.Hold("Move");
  std::jthread renaming([&] {
    UserCall call;
    EXPECT_TRUE(fs_->Rename(call, x, "a", y, "b", 0));
  });
  ASSERT_TRUE(names_.AwaitCount("Move", 1));
  for (int listing = 0; listing < 3; ++listing) {
    clock_.Advance(std::chrono::minutes(2));
    ListAnew();
    EXPECT_EQ(std::vector<std::string>{"a"}, List(x));
    EXPECT_EQ(std::vector<std::string>{"b"}, List(y));
    EXPECT_EQ(7, fs_->GetAttr(call_, Ino("b", y))->st.st_size);
  }
  names_.Release("Move");
  renaming.join();
  EXPECT_TRUE(List(x).empty());
  EXPECT_EQ(4, fs_->GetAttr(call_, Ino("b", y))->st.st_size);
}

// Its upload makes room for the newer version, and may leave an older one, while the rename waits.
TEST_F(ChangesTest, ATargetWhoseUploadIsUnderWayIsPutAside) {
  names_.AddFile("/remote", 4);
  names_.AddFile("/doc", 3);
  MakePendingOverwrite("doc", "newer");
  const cache::Item item = store_->Lookup("/doc").item;
  StartUpload(item, "/.obx-00000000-00000001");
  names_.Remove("/doc");
  ListAnew();
  std::jthread renaming([&] {
    UserCall call;
    EXPECT_TRUE(fs_->Rename(call, kRootIno, "remote", kRootIno, "doc", 0));
  });
  AwaitState("/doc", State::kOpen);
  names_.AddFile("/doc", 5);  // as the uploader does when it cancels
  ASSERT_TRUE(store_->MarkUploadGone(item.id));
  renaming.join();
  ASSERT_EQ(1U, names_.Content("/").size());
  EXPECT_EQ(4U, names_.Content("/")[0].size);
}

TEST_F(CutShortTest, ADeletionShowsWhatTheServerHas) {
  names_.AddFile("/a", 4);
  names_.AddFile("/b", 4);
  for (const char* path : {"/a", "/b"}) {
    Intent intent{.folder = "/", .from = path};
    intent.source = cache::Identity{.size = 4};
    ASSERT_TRUE(store_->BeginIntent(intent));
  }
  names_.Remove("/b");
  Open({});
  EXPECT_FALSE(fs_->SettleChanges({}));  // a call of the earlier run may come yet
  ASSERT_EQ(1U, store_->Intents().size());
  EXPECT_EQ("/a", store_->Intents()[0].from);
  clock_.Advance(std::chrono::minutes(1));
  EXPECT_TRUE(fs_->SettleChanges({}));
  EXPECT_EQ(std::vector<std::string>{"a"}, List(kRootIno));
}

TEST_F(CutShortTest, AFileMadeMeanwhileKeepsItsName) {
  names_.AddFile("/b", 4);  // was "a"
  Intent intent{.kind = Intent::Kind::kRename, .folder = "/", .from = "/a", .to = "/b"};
  intent.source = cache::Identity{.size = 4};
  ASSERT_TRUE(store_->BeginIntent(intent));
  Open({});
  const cache::Ino mine = MakeClosed("b", "mine");
  EXPECT_TRUE(fs_->SettleChanges({}));
  EXPECT_EQ("mine", Read(mine));
  EXPECT_EQ(mine, Ino("b"));
}

TEST_F(CutShortTest, AnIntentOfAnotherFolderIsLeftAlone) {
  Intent intent{.folder = "/elsewhere", .from = "/a"};
  ASSERT_TRUE(store_->BeginIntent(intent));
  EXPECT_TRUE(fs_->SettleChanges({}));
  EXPECT_EQ(1U, store_->Intents().size());
}

// ---- Names --------------------------------------------------------------------------------

TEST_F(ChangesTest, ADeletedNameThatSomebodyMadeAnewIsShown) {
  names_.AddFile("/file", 4);
  names_.AddDir("/dir");
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "file"));
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "dir"));
  EXPECT_TRUE(List(kRootIno).empty());
  names_.AddFile("/file", 9);
  remote::Entry dir;
  dir.name = "dir";
  dir.is_dir = true;
  dir.mtime_ns = clock_.WallNs();
  names_.AddDir("/dir");
  ListAnew();
  EXPECT_EQ(9, fs_->GetAttr(call_, Ino("file"))->st.st_size);
  // Nothing tells this directory from the old one but that it stays.
  for (int i = 0; i < 3; ++i) {
    clock_.Advance(std::chrono::minutes(6));
    List(kRootIno);
  }
  EXPECT_EQ((std::vector<std::string>{"dir", "file"}), List(kRootIno));
}

TEST_F(ChangesTest, AnUploadedFileThatSomebodyRemovedIsNotShownForEver) {
  MakeClosed("a", "text");
  List(kRootIno);
  Upload("/a");
  names_.Remove("/a");  // before any listing has shown it
  ListAnew();
  EXPECT_EQ(std::vector<std::string>{"a"}, List(kRootIno));  // a lag, as far as we know
  for (int i = 0; i < 2; ++i) {
    clock_.Advance(std::chrono::minutes(6));
    List(kRootIno);
  }
  EXPECT_TRUE(List(kRootIno).empty());
  EXPECT_EQ(0U, Ino("a"));
}

TEST_F(ChangesTest, APushOfItsRemovalIsBelievedWithTheNextListing) {
  MakeClosed("a", "text");
  Upload("/a");
  names_.Remove("/a");
  ListAnew();
  EXPECT_EQ(std::vector<std::string>{"a"}, List(kRootIno));
  clock_.Advance(std::chrono::seconds(1));
  fs_->RemoteChanged("/a", true);
  ListAnew();
  EXPECT_TRUE(List(kRootIno).empty());
}

// ---- Empty directories --------------------------------------------------------------------

TEST_F(ChangesTest, ADirectoryWithNamesThatCannotBeShownIsNotEmpty) {
  names_.AddDir("/dir");
  names_.SetRefused("/dir", 1);
  EXPECT_TRUE(List(Ino("dir")).empty());
  EXPECT_EQ(ENOTEMPTY, Code(fs_->RemoveDir(call_, kRootIno, "dir")));
  names_.AddDir("/other");
  ListAnew();
  EXPECT_EQ(ENOTEMPTY, Code(fs_->Rename(call_, kRootIno, "other", kRootIno, "dir", 0)));
  EXPECT_EQ(0, names_.Count("Delete"));
}

TEST_F(ChangesTest, AnotherDevicesTemporaryFilesAreContentOursAreNot) {
  const std::string ours =
      "/ours/" + remote::TempName(remote::DeviceTag(store_->device_id()), 1, "");
  names_.AddFile(ours, 4);
  names_.AddFile("/theirs/.obx-00000000-00000001", 4);
  // Somebody's file that a rename has put aside.
  names_.AddFile(
      "/aside/" + remote::PassingName(remote::DeviceTag(store_->device_id()), 1, "f.txt"), 4);
  EXPECT_EQ(ENOTEMPTY, Code(fs_->RemoveDir(call_, kRootIno, "theirs")));
  EXPECT_EQ(ENOTEMPTY, Code(fs_->RemoveDir(call_, kRootIno, "aside")));
  EXPECT_TRUE(fs_->RemoveDir(call_, kRootIno, "ours"));
}

TEST_F(ChangesTest, WhatWasDeletedLongAgoAndIsStillListedIsContent) {
  names_.AddFile("/dir/file", 4);
  const cache::Ino dir = Ino("dir");
  ASSERT_TRUE(fs_->Unlink(call_, dir, "file"));
  names_.AddFile("/dir/file", 4);  // nothing tells it from the old one
  clock_.Advance(std::chrono::seconds(10));
  EXPECT_TRUE(List(dir).empty());
  clock_.Advance(std::chrono::minutes(2));
  EXPECT_EQ(ENOTEMPTY, Code(fs_->RemoveDir(call_, kRootIno, "dir")));
}

TEST_F(ChangesTest, ADirectoryIsRenamedOverAnEmptyOne) {
  names_.AddFile("/full/file", 4);
  names_.AddDir("/empty");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "full", kRootIno, "empty", 0));
  EXPECT_EQ(1U, names_.Content("/").size());
  EXPECT_EQ(std::vector<std::string>{"file"}, List(Ino("empty")));
}

TEST_F(ChangesTest, NamesUnderARemoteRenameAreBusy) {
  names_.AddFile("/old/file", 4);
  const cache::Ino old = Ino("old");
  List(old);
  names_.Hold("Rename");
  std::jthread renaming([&] {
    UserCall call;
    EXPECT_TRUE(fs_->Rename(call, kRootIno, "old", kRootIno, "new", 0));
  });
  ASSERT_TRUE(names_.AwaitCount("Rename", 1));
  for (const char* path : {"/old", "/old/file", "/new", "/new/sub/file"}) {
    EXPECT_TRUE(store_->IsBusy(path)) << path;
  }
  EXPECT_FALSE(store_->IsBusy("/newer"));
  EXPECT_FALSE(store_->IsBusy("/"));
  names_.Release("Rename");
  renaming.join();
  EXPECT_FALSE(store_->IsBusy("/new"));
}

}  // namespace
}  // namespace outboxfs::fs
