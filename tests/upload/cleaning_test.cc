// Uploads that nobody wants any more, and files that are renamed or deleted while these are cleaned
// up.
#include <gtest/gtest.h>

#include <cerrno>

#include "support/fake_namespace_api.h"
#include "support/fake_upload_api.h"
#include "support/upload_room.h"
#include "upload/paths.h"

namespace outboxfs::test {
namespace {

using cache::Intent;
using cache::State;
using remote::ReadRequest;
using remote::UploadStatus;

class CleaningTest : public ::testing::Test {
 protected:
  UploadRoom& room() {
    if (!room_) room_ = std::make_unique<UploadRoom>(api_, names_);
    return *room_;
  }
  // "/f", whose content has gone up and stands at `temp_`, beside the old version.
  cache::ItemId Overwritten() {
    names_.AddFile("/f", 3);
    const auto id = room().Write("/f", "content");
    EXPECT_TRUE(api_.AwaitCount("Start", 1));
    temp_ = api_.Starts().front().path;
    EXPECT_NE(temp_, "/f");
    api_.Send({"u1", ReadRequest{0, 7, false}});
    EXPECT_TRUE(api_.Await([&] { return api_.Answers().size() == 1; }));
    names_.AddFile(temp_, 7);
    return id;
  }
  // What fs does about an unlink. Between the two the server deletes.
  Intent BeginRemoval(cache::ItemId id) {
    Intent intent;
    intent.what = cache::ItemKind::kFile;
    intent.folder = "/";
    intent.from = "/f";
    intent.source_item = id;
    const auto begun = room().store().BeginIntent(intent);
    EXPECT_TRUE(begun);
    return begun ? *begun : intent;
  }
  void EndRemoval(const Intent& intent) {
    EXPECT_TRUE(room().store().FinishIntent(intent.id, cache::Store::Caller::kWaits));
  }
  // What fs does first: the upload is to end, the names are as they were.
  void Hold(cache::ItemId id) { EXPECT_TRUE(room().store().BeginWrite(id)); }
  std::vector<std::string> Names() {
    std::vector<std::string> names;
    for (const auto& entry : names_.Content("/")) names.push_back(entry.name);
    std::sort(names.begin(), names.end());
    return names;
  }

  FakeUploadApi api_;
  FakeNamespaceApi names_;
  std::string temp_;
  std::unique_ptr<UploadRoom> room_;
};

using Strings = std::vector<std::string>;

TEST_F(CleaningTest, WhatIsDeletedWhileItsUploadIsCancelledIsNotPutInPlace) {
  const auto id = Overwritten();
  api_.Hold("ControlUpload");
  const Intent removal = BeginRemoval(id);
  Hold(id);
  ASSERT_TRUE(api_.AwaitCount("ControlUpload", 1));
  names_.Remove("/f");
  EndRemoval(removal);
  api_.Release("ControlUpload");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings());
}

TEST_F(CleaningTest, WhatIsDeletedWhileItIsPutInPlaceIsDeletedThere) {
  const auto id = Overwritten();
  names_.Remove("/f");
  names_.Hold("Rename");
  Hold(id);
  ASSERT_TRUE(names_.AwaitCount("Rename", 1));
  EndRemoval(BeginRemoval(id));
  names_.Release("Rename");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings());
}

TEST_F(CleaningTest, WhatIsBeingDeletedWhenItIsPutInPlaceIsDeletedThere) {
  const auto id = Overwritten();
  names_.Remove("/f");
  names_.Hold("Rename");
  Hold(id);
  ASSERT_TRUE(names_.AwaitCount("Rename", 1));
  const Intent removal = BeginRemoval(id);
  names_.Release("Rename");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->upload_path == "/f"; }));
  EndRemoval(removal);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings());
}

TEST_F(CleaningTest, WhatWasPutInPlaceIsDeletedThereAfterARestartToo) {
  const auto id = Overwritten();
  names_.Remove("/f");
  Hold(id);
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->kept; }));
  EXPECT_EQ(Names(), Strings{"f"});
  room().Close();
  api_.SetQueue({});  // and forgotten
  api_.FailNext("ControlUpload", {ENOENT, Retry::kBackoff, "unknown"}, 10);
  room().Open();
  ASSERT_TRUE(room().store().Remove("/f", true));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings());
}

TEST_F(CleaningTest, WhatALostCancelLeftGoesWithTheNextUploadInItsDirectory) {
  const std::string tag = upload::DeviceTag(room().store().device_id());
  const std::string passing = remote::PassingName(tag, 7, "f");
  const std::string somebodys = upload::TempName("01234567", 0x77777777, "f");
  names_.AddFile("/" + upload::TempName(tag, 0x77777777, "f"), 3);
  names_.AddFile("/" + passing, 3);
  names_.AddFile("/" + somebodys, 3);
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(api_.AwaitCount("Start", 1));
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.Await([&] { return api_.Answers().size() == 1; }));
  names_.AddFile("/f", 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitGone(id));
  ASSERT_TRUE(names_.AwaitCount("Delete", 1));
  Strings left{"f", passing, somebodys};
  std::sort(left.begin(), left.end());
  EXPECT_EQ(Names(), left);
}

TEST_F(CleaningTest, ADirectoryOfTheSameNameWaitsUntilTheResultIsGone) {
  const auto id = Overwritten();
  api_.Hold("ControlUpload");
  const Intent removal = BeginRemoval(id);
  Hold(id);
  ASSERT_TRUE(api_.AwaitCount("ControlUpload", 1));
  names_.Remove("/f");
  EndRemoval(removal);
  const auto dir = room().MakeDir("/f");
  api_.Release("ControlUpload");
  ASSERT_TRUE(room().AwaitGone(dir));
  ASSERT_EQ(names_.Content("/").size(), 1U);
  EXPECT_TRUE(names_.Content("/").front().is_dir);
}

TEST_F(CleaningTest, WhereADirectoryBecameAFileNothingIsLeft) {
  names_.AddDir("/d");
  const auto id = room().Write("/d/f", "content");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->upload_id == "u1"; }));
  api_.FailNext("ControlUpload", {ENOENT, Retry::kBackoff, "unknown"}, 10);
  names_.FailNext("List", {ENOTDIR, Retry::kPark, "List: not a folder"}, 1000);
  ASSERT_TRUE(room().store().Remove("/d/f", false));
  ASSERT_TRUE(room().AwaitGone(id));
}

// "/f" was new: its first version is uploaded, but not proven, when it is written again.
class KeptTest : public CleaningTest {
 protected:
  cache::ItemId Kept() {
    const auto id = room().Write("/f", "content");
    EXPECT_TRUE(api_.AwaitCount("Start", 1));
    api_.Send({"u1", ReadRequest{0, 7, false}});
    EXPECT_TRUE(api_.Await([&] { return api_.Answers().size() == 1; }));
    // What has finished cannot be cancelled.
    api_.SetQueue({{"u1", "/f", 7, UploadStatus::kFinish, ""}});
    api_.FailNext("ControlUpload", {ENOENT, Retry::kBackoff, "unknown"}, 10);
    Hold(id);
    EXPECT_TRUE(room().Await(id, [](const auto& item) { return item && item->kept; }));
    return id;
  }
};

TEST_F(KeptTest, ItIsOverwrittenByTheNextUpload) {
  const auto id = Kept();
  names_.AddFile("/f", 7);
  room().Rewrite(id, "newer content");
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(Names(), Strings{"f"});
  EXPECT_EQ(api_.Count("ControlUpload"), 1);
}

TEST_F(KeptTest, ItGoesWhenItShowsUpAfterTheFileWasRenamed) {
  const auto id = Kept();
  ASSERT_TRUE(room().store().Rename("/f", "/g", true));
  EXPECT_FALSE(room().store().Get(id)->kept);
  names_.AddFile("/f", 7);
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->upload_path.empty(); }));
  EXPECT_EQ(Names(), Strings());
  room().Rewrite(id, "newer content");
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(api_.Starts().back().path, "/g");
}

TEST_F(KeptTest, ItGoesWhenItShowsUpAfterTheFileWasDeleted) {
  const auto id = Kept();
  ASSERT_TRUE(room().store().Remove("/f", true));
  names_.AddFile("/f", 7);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings());
}

TEST_F(KeptTest, ItGoesWhenTheFileIsRenamedAndWrittenJustBeforeTheNextStart) {
  const auto id = Kept();
  names_.AddFile("/f", 7);
  names_.Hold("List");
  const int lists = names_.Count("List");
  room().Rewrite(id, "newer content");
  ASSERT_TRUE(names_.AwaitCount("List", lists + 1));
  ASSERT_TRUE(room().store().Rename("/f", "/g", true));
  Hold(id);
  names_.Release("List");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->upload_path.empty(); }));
  EXPECT_EQ(Names(), Strings());
}

TEST_F(KeptTest, ItIsKnownAfterARestart) {
  const auto id = Kept();
  room().Close();
  room().Open();
  ASSERT_TRUE(room().store().Get(id)->kept);
  ASSERT_TRUE(room().store().Remove("/f", true));
  names_.AddFile("/f", 7);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings());
}

}  // namespace
}  // namespace outboxfs::test
