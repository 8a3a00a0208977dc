// Directories that are renamed while uploads are under way in them: at once here, later there.
#include <future>

#include "filesystem_fixture.h"

namespace outboxfs::fs {
namespace {

class DeferredTest : public FilesystemTest {
 protected:
  void SetUp() override { Begin("/cloud"); }
  void Begin(const std::string& folder) {
    Open({.remote_folder = folder});
    names_.AddDir("/cloud");
    AddDir("/d");
    AddFile("/d/remote");
    MakeClosed("up", "uploading");
    ASSERT_TRUE(fs_->Rename(call_, kRootIno, "up", Ino("d"), "up", 0));
    file_ = AwaitState("/d/up", State::kWaiting);
    StartUpload(file_, "/cloud/d/up");
  }
  void TearDown() override {
    EndSettler();
    Close();
  }
  void AddDir(const std::string& path) { names_.AddDir("/cloud" + path); }
  void AddFile(const std::string& path) { names_.AddFile("/cloud" + path, 4); }
  size_t CountThere(const std::string& path) { return names_.Content("/cloud" + path).size(); }
  Status Rename(const std::string& from, const std::string& to) {
    return fs_->Rename(call_, kRootIno, from, kRootIno, to, 0);
  }
  // As the mount session does.
  void StartSettler() {
    settler_ = std::jthread([this](const std::stop_token& stop) { fs_->SettleLoop(stop); });
  }
  void EndSettler() {
    settler_.request_stop();
    if (settler_.joinable()) settler_.join();
  }
  void EndUpload() {
    names_.AddFile("/cloud/d/up", file_.size);
    ASSERT_TRUE(store_->MarkVerifying(file_.id, file_.generation));
    const std::string path = store_->Get(file_.id)->path;
    ASSERT_TRUE(store_->MarkDone(file_.id, file_.generation, path, {.size = file_.size}));
  }
  bool AwaitNoneDeferred() {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    while (store_->AnyDeferred() && CondVar::Clock::now() < deadline) std::this_thread::yield();
    return !store_->AnyDeferred();
  }
  bool AwaitFreed(const std::string& path) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    while (IsThere(path) && CondVar::Clock::now() < deadline) std::this_thread::yield();
    return !IsThere(path);
  }
  bool IsThere(const std::string& path) {
    const auto entries = names_.Content("/cloud");
    return std::any_of(entries.begin(), entries.end(),
                       [&](const auto& entry) { return "/" + entry.name == path; });
  }
  bool AwaitTrouble() {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    while (store_->Intents().at(0).trouble.empty() && CondVar::Clock::now() < deadline) {
      std::this_thread::yield();
    }
    return !store_->Intents().at(0).trouble.empty();
  }
  void ExpectShown() {
    EXPECT_EQ(0U, Ino("d"));
    const cache::Ino dir = Ino("e");
    ASSERT_NE(0U, dir);
    EXPECT_EQ((std::vector<std::string>{"remote", "up"}), List(dir));
    EXPECT_EQ(4, fs_->GetAttr(call_, Ino("remote", dir))->st.st_size);
    EXPECT_EQ(std::vector<std::string>{"e"}, List(kRootIno));
  }

  cache::Item file_;
  std::jthread settler_;
};

TEST_F(DeferredTest, ItShowsAtOnceAndTheServerFollowsTheUpload) {
  const cache::Ino before = Ino("d");
  ASSERT_TRUE(Rename("d", "e"));
  EXPECT_EQ(0, names_.Count("Rename"));
  EXPECT_EQ(before, Ino("e"));
  ExpectShown();
  StartSettler();
  EndUpload();
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(1, names_.Count("Rename"));
  EXPECT_EQ(2U, CountThere("/e"));
  EXPECT_EQ(before, Ino("e"));
  ExpectShown();
  ListAnew();
  ExpectShown();
}

TEST_F(DeferredTest, WhatTheServerHasInItIsChangedWhereItIs) {
  ASSERT_TRUE(Rename("d", "e"));
  const cache::Ino dir = Ino("e");
  ASSERT_TRUE(fs_->Rename(call_, dir, "remote", dir, "renamed", 0));
  EXPECT_EQ(1, names_.Count("Rename"));
  EXPECT_EQ((std::vector<std::string>{"renamed", "up"}), List(dir));
  ASSERT_TRUE(fs_->Unlink(call_, dir, "renamed"));
  EXPECT_EQ(0U, CountThere("/d"));
  EXPECT_EQ(std::vector<std::string>{"up"}, List(dir));
}

TEST_F(DeferredTest, TheOldNameIsFreeAndShowsNothingOfTheServers) {
  ASSERT_TRUE(Rename("d", "e"));
  const int listings = names_.Count("List");
  const auto made = fs_->MakeDir(call_, kRootIno, "d", 0755);
  ASSERT_TRUE(made) << made.error().text;
  EXPECT_TRUE(List(made->ino).empty());
  const auto created = fs_->Create(call_, made->ino, "remote", 0644, O_RDWR);
  ASSERT_TRUE(created) << created.error().text;
  Write(created->opened.handle, "mine");
  CloseHandle(created->opened.handle);
  EXPECT_EQ("mine", Read(Ino("remote", made->ino)));
  EXPECT_EQ(listings, names_.Count("List"));
  ASSERT_TRUE(fs_->Unlink(call_, made->ino, "remote"));
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "d"));
  ExpectShown();
  ListAnew();
  ExpectShown();
  EXPECT_EQ(0, names_.Count("Delete"));
}

TEST_F(DeferredTest, RenamedBackTheServerHasNothingToDo) {
  ASSERT_TRUE(Rename("d", "e"));
  ASSERT_TRUE(Rename("e", "d"));
  EXPECT_EQ((std::vector<std::string>{"remote", "up"}), List(Ino("d")));
  StartSettler();
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(0, names_.Count("Rename"));
  EXPECT_EQ(std::vector<std::string>{"d"}, List(kRootIno));
  EndUpload();
  EXPECT_EQ((std::vector<std::string>{"remote", "up"}), List(Ino("d")));
}

TEST_F(DeferredTest, OntoAnEmptyDirectoryOfTheServers) {
  AddDir("/e");
  ListAnew();
  ASSERT_TRUE(Rename("d", "e"));
  ExpectShown();
  StartSettler();
  EndUpload();
  ASSERT_TRUE(AwaitNoneDeferred());
  ExpectShown();
  EXPECT_EQ(2U, CountThere("/e"));
}

TEST_F(DeferredTest, IntoAnotherDirectoryUnderAnotherName) {
  ASSERT_TRUE(fs_->MakeDir(call_, kRootIno, "x", 0755));
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "d", Ino("x"), "e", 0));
  EXPECT_EQ((std::vector<std::string>{"remote", "up"}), List(Ino("e", Ino("x"))));
  StartSettler();
  EndUpload();
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(2U, CountThere("/x/e"));
  EXPECT_EQ(std::vector<std::string>{"x"}, List(kRootIno));
}

TEST_F(DeferredTest, NamesThatAreSwappedEndSwapped) {
  AddDir("/b");
  AddFile("/b/of b");
  ListAnew();
  ASSERT_TRUE(Rename("d", "t"));
  ASSERT_TRUE(Rename("b", "d"));
  ASSERT_TRUE(Rename("t", "b"));
  const auto check = [this] {
    EXPECT_EQ(std::vector<std::string>{"of b"}, List(Ino("d")));
    EXPECT_EQ((std::vector<std::string>{"remote", "up"}), List(Ino("b")));
  };
  check();
  StartSettler();
  EndUpload();
  ASSERT_TRUE(AwaitNoneDeferred());
  check();
  EXPECT_EQ(1U, CountThere("/d"));
  EXPECT_EQ(2U, CountThere("/b"));
}

// Its mkdir has reached the server under the name that the other one is to get.
TEST_F(DeferredTest, SwappedWithADirectoryThatIsBeingMadeItMakesRoom) {
  ASSERT_TRUE(fs_->MakeDir(call_, kRootIno, "m", 0755));
  const cache::Item made = AwaitState("/m", State::kWaiting);
  ASSERT_TRUE(store_->MarkStarting(made.id, made.generation, "/cloud/m", std::nullopt));
  AddDir("/m");
  ASSERT_TRUE(Rename("d", "t"));
  ASSERT_TRUE(Rename("m", "d"));
  ASSERT_TRUE(Rename("t", "m"));
  StartSettler();
  EndUpload();
  ASSERT_TRUE(AwaitFreed("/d"));
  EXPECT_EQ((std::vector<std::string>{"d", "m"}), List(kRootIno));
  ASSERT_TRUE(names_.Rename("/cloud/m", "d", {}));
  ASSERT_TRUE(store_->SetUploadPath(made.id, made.generation, "/cloud/d"));
  ASSERT_TRUE(store_->MarkDone(made.id, made.generation, "/d", {}));
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(0U, CountThere("/d"));
  EXPECT_EQ(2U, CountThere("/m"));
  EXPECT_EQ((std::vector<std::string>{"remote", "up"}), List(Ino("m")));
}

// An upload of a file that was begun under the new name, and has to leave it first.
TEST_F(DeferredTest, ItWaitsForAnUploadThatHasYetToLeaveTheName) {
  MakeClosed("m", "text");
  const cache::Item other = AwaitState("/m", State::kWaiting);
  StartUpload(other, "/cloud/m");
  names_.AddFile("/cloud/m", 4);
  ASSERT_TRUE(Rename("m", "n"));
  ASSERT_TRUE(Rename("d", "m"));
  AddDir("/z");
  ListAnew();
  MakeClosed("second", "text");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "second", Ino("z"), "second", 0));
  const cache::Item second = AwaitState("/z/second", State::kWaiting);
  StartUpload(second, "/cloud/z/second");
  ASSERT_TRUE(Rename("z", "y"));
  ASSERT_TRUE(store_->MarkUploadGone(second.id));
  StartSettler();
  EndUpload();
  ASSERT_TRUE(AwaitFreed("/z"));  // tried after the first one
  EXPECT_EQ("", store_->Intents().at(0).trouble);
  names_.Remove("/cloud/m");
  ASSERT_TRUE(store_->MarkUploadGone(other.id));
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(2U, CountThere("/m"));
}

// Nothing of ours: that is for a person.
TEST_F(DeferredTest, ANameThatSomebodyElseHasTakenIsTrouble) {
  ASSERT_TRUE(Rename("d", "e"));
  AddDir("/e");
  EndUpload();
  StartSettler();
  ASSERT_TRUE(AwaitTrouble());
  ExpectShown();
  names_.Remove("/cloud/e");
  store_->NoteTrouble(store_->Intents()[0].id, "");
  ASSERT_TRUE(AwaitNoneDeferred());
  ExpectShown();
}

TEST_F(DeferredTest, ADirectoryIsRemovedWhenEverythingHasLeftIt) {
  AddDir("/x");
  AddDir("/x/in");
  ListAnew();
  MakeClosed("second", "text");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "second", Ino("in", Ino("x")), "second", 0));
  StartUpload(AwaitState("/x/in/second", State::kWaiting), "/cloud/x/in/second");
  ASSERT_TRUE(fs_->Rename(call_, Ino("x"), "in", kRootIno, "out", 0));
  EXPECT_TRUE(List(Ino("x")).empty());
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "x"));
  EXPECT_EQ((std::vector<std::string>{"d", "out"}), List(kRootIno));
  EXPECT_EQ(std::vector<std::string>{"second"}, List(Ino("out")));
  EXPECT_EQ(0, names_.Count("Delete"));
  StartSettler();
  names_.AddFile("/cloud/x/in/second", 4);
  const cache::Item second = store_->Lookup("/out/second").item;
  ASSERT_TRUE(store_->MarkVerifying(second.id, second.generation));
  ASSERT_TRUE(store_->MarkDone(second.id, second.generation, "/out/second", {.size = 4}));
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(1, names_.Count("Delete"));
  EXPECT_EQ(2U, CountThere(""));
  EXPECT_EQ(1U, CountThere("/out"));
}

TEST_F(DeferredTest, ADirectoryThatSomebodyFilledMeanwhileStays) {
  ASSERT_TRUE(fs_->Unlink(call_, Ino("d"), "remote"));
  ASSERT_TRUE(fs_->Rename(call_, Ino("d"), "up", kRootIno, "up", 0));
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "d"));
  EXPECT_EQ(0U, Ino("d"));
  EXPECT_EQ(1, names_.Count("Delete"));
  AddFile("/d/somebody's");
  clock_.Advance(std::chrono::seconds(1));
  ASSERT_TRUE(store_->SetUploadPath(file_.id, file_.generation, "/cloud/up"));
  StartSettler();
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(1, names_.Count("Delete"));
  ListAnew();
  EXPECT_EQ(std::vector<std::string>{"somebody's"}, List(Ino("d")));
}

TEST_F(DeferredTest, ADirectoryTakesTheNameOfTheOneThatItWasIn) {
  AddDir("/x");
  AddDir("/x/in");
  ListAnew();
  MakeClosed("second", "text");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "second", Ino("in", Ino("x")), "second", 0));
  const cache::Item second = AwaitState("/x/in/second", State::kWaiting);
  StartUpload(second, "/cloud/x/in/second");
  ASSERT_TRUE(fs_->Rename(call_, Ino("x"), "in", kRootIno, "t", 0));
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "x"));
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "t", kRootIno, "x", 0));
  EXPECT_EQ(std::vector<std::string>{"second"}, List(Ino("x")));
  names_.AddFile("/cloud/x/in/second", 4);
  ASSERT_TRUE(store_->MarkVerifying(second.id, second.generation));
  ASSERT_TRUE(store_->MarkDone(second.id, second.generation, "/x/second", {.size = 4}));
  StartSettler();
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(std::vector<std::string>{"second"}, List(Ino("x")));
  ASSERT_EQ(1U, CountThere("/x"));
  EXPECT_EQ("second", names_.Content("/cloud/x")[0].name);
}

TEST_F(DeferredTest, AStagedDirectoryReplacesOneThatIsStillToBeRenamed) {
  ASSERT_TRUE(Rename("d", "e"));
  ASSERT_TRUE(fs_->Unlink(call_, Ino("e"), "remote"));
  ASSERT_TRUE(fs_->Unlink(call_, Ino("e"), "up"));
  ASSERT_TRUE(fs_->MakeDir(call_, kRootIno, "staged", 0755));
  ASSERT_TRUE(Rename("staged", "e"));
  EXPECT_EQ(std::vector<std::string>{"e"}, List(kRootIno));
  StartSettler();
  ASSERT_TRUE(store_->ForgetRemoved(file_.id));
  ASSERT_TRUE(AwaitNoneDeferred());
  EXPECT_EQ(0U, CountThere(""));
  EXPECT_EQ(std::vector<std::string>{"e"}, List(kRootIno));
}

// In vain so far: that is nothing in it, and is waited for.
TEST_F(DeferredTest, ADirectoryReplacesOneThatIsBeingMade) {
  AddDir("/r");
  ListAnew();
  ASSERT_TRUE(fs_->MakeDir(call_, kRootIno, "x", 0755));
  const cache::Item made = AwaitState("/x", State::kWaiting);
  ASSERT_TRUE(store_->MarkStarting(made.id, made.generation, "/cloud/x", std::nullopt));
  auto renaming = std::async(std::launch::async, [&] {
    UserCall call;
    return Code(fs_->Rename(call, kRootIno, "r", kRootIno, "x", 0));
  });
  EXPECT_EQ(std::future_status::timeout, renaming.wait_for(std::chrono::milliseconds(50)));
  ASSERT_TRUE(store_->MarkUploadGone(made.id));
  EXPECT_EQ(0, renaming.get());
  EXPECT_EQ((std::vector<std::string>{"d", "x"}), List(kRootIno));
}

TEST_F(DeferredTest, ARefusalIsShownAndTriedAgainOnDemand) {
  ASSERT_TRUE(Rename("d", "e"));
  names_.FailNext("Rename", {.code = EACCES, .retry = Retry::kPark, .text = "not allowed"});
  EndUpload();
  StartSettler();
  ASSERT_TRUE(AwaitTrouble());
  EXPECT_NE(std::string::npos, store_->Intents()[0].trouble.find("not allowed"));
  ExpectShown();
  store_->NoteTrouble(store_->Intents()[0].id, "");
  ASSERT_TRUE(AwaitNoneDeferred());
  ExpectShown();
}

TEST_F(DeferredTest, WhatIsNotOnTheServerAnyMoreNeedsNoRename) {
  ASSERT_TRUE(Rename("d", "e"));
  EndUpload();
  names_.Remove("/cloud/d/up");
  names_.Remove("/cloud/d/remote");
  names_.Remove("/cloud/d");
  StartSettler();
  EXPECT_TRUE(AwaitNoneDeferred());
}

TEST_F(DeferredTest, ToAnotherCloudItIsForCopyingPrograms) {
  Open({});
  names_.AddDir("/other");
  ListAnew();
  EXPECT_EQ(EXDEV, Code(fs_->Rename(call_, Ino("cloud"), "d", Ino("other"), "d", 0)));
  EXPECT_FALSE(store_->AnyDeferred());
}

}  // namespace
}  // namespace outboxfs::fs
