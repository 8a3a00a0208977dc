// Files of the server's that are deleted or replaced while they are open: their readers go on.
#include "filesystem_fixture.h"
#include "remote/temp_names.h"

namespace outboxfs::fs {
namespace {

class HoldsTest : public FilesystemTest {
 protected:
  void SetUp() override {
    Open({.remote_folder = "/cloud"});
    names_.AddDir("/cloud");
    names_.AddFile("/cloud/f", 4);
    const auto opened = fs_->Open(call_, Ino("f"), O_RDONLY);
    ASSERT_TRUE(opened) << opened.error().text;
    handle_ = opened->handle;
    settler_ = std::jthread([this](const std::stop_token& stop) { fs_->SettleLoop(stop); });
  }
  void TearDown() override {
    settler_.request_stop();
    settler_.join();
    Close();
  }
  void ExpectReadFrom(const std::string& path) {
    downloads_.Put(path, "old!");
    EXPECT_EQ("old!", ReadAll(handle_)) << path;
  }
  std::string HiddenName() {
    for (const auto& entry : names_.Content("/cloud")) {
      if (remote::IsPassingName(entry.name)) return entry.name;
    }
    return "";
  }
  bool AwaitNoHidden() {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    const auto done = [&] { return HiddenName().empty() && !store_->AnyDeferred(); };
    while (!done() && CondVar::Clock::now() < deadline) std::this_thread::yield();
    return done();
  }

  uint64_t handle_ = 0;
  std::jthread settler_;
};

TEST_F(HoldsTest, ADeletedFileIsReadOnAndGoesWithItsLastHandle) {
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "f"));
  EXPECT_TRUE(List(kRootIno).empty());
  ListAnew();
  EXPECT_TRUE(List(kRootIno).empty());
  ASSERT_NE("", HiddenName());
  ExpectReadFrom("/cloud/" + HiddenName());
  EXPECT_EQ(0, names_.Count("Delete"));
  fs_->Release(handle_);
  EXPECT_TRUE(AwaitNoHidden());
  EXPECT_TRUE(names_.Content("/cloud").empty());
}

TEST_F(HoldsTest, AFailedDeletionLeavesTheReaderWhereItWas) {
  names_.FailNext("Rename", {.code = EACCES, .text = "no"});
  EXPECT_EQ(EACCES, Code(fs_->Unlink(call_, kRootIno, "f")));
  ExpectReadFrom("/cloud/f");
  EXPECT_FALSE(store_->AnyDeferred());
  fs_->Release(handle_);
  EXPECT_NE(0U, Ino("f"));
}

TEST_F(HoldsTest, AReplacedFileIsReadOn) {
  names_.AddFile("/cloud/newer", 7);
  ListAnew();
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "newer", kRootIno, "f", 0));
  EXPECT_EQ(7, fs_->GetAttr(call_, Ino("f"))->st.st_size);
  ASSERT_NE("", HiddenName());
  ExpectReadFrom("/cloud/" + HiddenName());
  fs_->Release(handle_);
  EXPECT_TRUE(AwaitNoHidden());
  EXPECT_EQ(1U, names_.Content("/cloud").size());
}

TEST_F(HoldsTest, AFailedReplacementLeavesTheReaderWhereItWas) {
  names_.AddDir("/cloud/d");
  names_.AddFile("/cloud/d/newer", 7);
  ListAnew();
  names_.FailNext("Move", {.code = EACCES, .text = "no"});
  EXPECT_EQ(EACCES, Code(fs_->Rename(call_, Ino("d"), "newer", kRootIno, "f", 0)));
  ExpectReadFrom("/cloud/f");
  EXPECT_EQ("", HiddenName());
  EXPECT_FALSE(store_->AnyDeferred());
  fs_->Release(handle_);
}

TEST_F(HoldsTest, WhatAStagedFileReplacesIsReadWhereItIs) {
  MakeClosed("newer", "staged");
  ASSERT_TRUE(fs_->Rename(call_, kRootIno, "newer", kRootIno, "f", 0));
  ExpectReadFrom("/cloud/f");
  EXPECT_TRUE(store_->IsHeld("/f"));  // as the uploader asks
  fs_->Release(handle_);
  EXPECT_FALSE(store_->IsHeld("/f"));
}

TEST_F(HoldsTest, AKilledDaemonsLeftoverGoesAtTheNextStart) {
  ASSERT_TRUE(fs_->Unlink(call_, kRootIno, "f"));
  ASSERT_NE("", HiddenName());
  settler_.request_stop();
  settler_.join();
  Open({.remote_folder = "/cloud"});  // nobody reads it any more
  settler_ = std::jthread([this](const std::stop_token& stop) { fs_->SettleLoop(stop); });
  EXPECT_TRUE(AwaitNoHidden());
}

TEST_F(HoldsTest, ItsDirectoryIsRemovedWithIt) {
  names_.AddFile("/cloud/d/g", 4);
  ListAnew();
  const cache::Ino dir = Ino("d");
  const auto opened = fs_->Open(call_, Ino("g", dir), O_RDONLY);
  ASSERT_TRUE(opened);
  ASSERT_TRUE(fs_->Unlink(call_, dir, "g"));
  ASSERT_TRUE(fs_->RemoveDir(call_, kRootIno, "d"));
  EXPECT_EQ(std::vector<std::string>{"f"}, List(kRootIno));
  downloads_.Put("/cloud/d/" + names_.Content("/cloud/d").at(0).name, "old!");
  EXPECT_EQ("old!", ReadAll(opened->handle));
  fs_->Release(opened->handle);
  fs_->Release(handle_);
  const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
  while (store_->AnyDeferred() && CondVar::Clock::now() < deadline) std::this_thread::yield();
  EXPECT_EQ(1U, names_.Content("/cloud").size());
}

}  // namespace
}  // namespace outboxfs::fs
