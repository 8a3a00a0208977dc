#include "upload/placing.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <thread>

#include "support/fake_namespace_api.h"
#include "support/fake_upload_api.h"
#include "support/upload_room.h"

namespace outboxfs::test {
namespace {

using cache::Identity;
using cache::Item;
using cache::State;

// A file that was verified at its upload path; the test is the scheduler.
class PlacingTest : public ::testing::Test {
 protected:
  void SetUp() override { room_.StopUploader(); }

  Item Verified(const std::string& path, const std::string& content,
                const std::optional<Identity>& replaced = std::nullopt) {
    const auto id = room_.Write(path, content);
    EXPECT_TRUE(room_.AwaitState(id, State::kWaiting));
    EXPECT_TRUE(room_.store().MarkStarting(id, 1, path, replaced));
    EXPECT_TRUE(room_.store().MarkVerifying(id, 1));
    return room_.store().Get(id).value_or(Item());
  }
  Status Place(const Item& item) {
    remote::DirCache dirs(names_, RealClock(), std::chrono::minutes(5));
    upload::ServerQueue queue(uploads_, RealClock());
    upload::NameCases cases;
    const upload::Rooms rooms{room_.store(), uploads_,    names_,          dirs, queue,
                              cases,         RealClock(), room_.options(), "tag"};
    std::string step_to;
    return upload::Place(rooms, {item.id, item.generation}, step_to, {});
  }

  FakeUploadApi uploads_;
  FakeNamespaceApi names_;
  UploadRoom room_{uploads_, names_};
};

TEST_F(PlacingTest, ARenamedFileMovesOntoWhateverStandsThere) {
  const Item item = Verified("/f", "content");
  names_.AddFile("/f", 7);
  names_.AddFile("/g", 3);
  ASSERT_TRUE(room_.store().Rename("/f", "/g", false));
  ASSERT_TRUE(Place(item));
  ASSERT_EQ(1U, names_.Content("/").size());
  EXPECT_EQ(7U, names_.Content("/")[0].size);
  EXPECT_FALSE(room_.store().Get(item.id));
}

// The result stands under its new path already, and nowhere else.
TEST_F(PlacingTest, WhatWentAlongWithItsDirectoryIsNotDeletedAsAnOldVersion) {
  const Item item = Verified("/d/f", "content");
  ASSERT_TRUE(room_.store().Rename("/d", "/e", true));
  names_.AddFile("/e/f", 7);
  const Status placed = Place(item);
  ASSERT_FALSE(placed);
  EXPECT_EQ(Retry::kBackoff, placed.error().retry);  // the next try finds it there
  ASSERT_EQ(1U, names_.Content("/e").size());
  EXPECT_EQ(0, names_.Count("Delete"));
}

TEST_F(PlacingTest, AStrangersFileInARenamedDirectoryStays) {
  const Item item = Verified("/d/f", "content");
  names_.AddFile("/d/f", 7);
  names_.AddFile("/e/f", 3);
  ASSERT_TRUE(room_.store().Rename("/d", "/e", true));
  const Status placed = Place(item);
  ASSERT_FALSE(placed);
  EXPECT_EQ(Retry::kPark, placed.error().retry);
  EXPECT_EQ(0, names_.Count("Delete"));
}

// The old version is as large as the new one, and the server shows it although it was deleted.
TEST_F(PlacingTest, AnOldVersionThatDoesNotGoIsNotTakenForTheNewOne) {
  remote::Entry old;
  old.name = "f";
  old.size = 7;
  old.id = "old";
  names_.AddEntry("/", old);
  names_.AddFile("/.obx-1-1", 7);
  const Item item = Verified("/f", "content", Identity{7, 0, "old", {}});
  ASSERT_TRUE(room_.store().SetUploadPath(item.id, 1, "/.obx-1-1"));
  names_.Hold("Rename");
  std::jthread placing([&] { EXPECT_FALSE(Place(item)); });
  ASSERT_TRUE(names_.AwaitCount("Rename", 1));
  names_.AddEntry("/", old);
  names_.Release("Rename");
  placing.join();
  EXPECT_TRUE(room_.store().Get(item.id));
  EXPECT_EQ(2U, names_.Content("/").size());
}

TEST_F(PlacingTest, AFileThatIsDeletedMeanwhileTakesNothingWithIt) {
  names_.AddFile("/f", 3);
  names_.AddFile("/.obx-1-1", 7);
  const Item item = Verified("/f", "content", Identity{3, 0, "", {}});
  ASSERT_TRUE(room_.store().SetUploadPath(item.id, 1, "/.obx-1-1"));
  names_.Hold("List");
  std::jthread placing([&] { EXPECT_FALSE(Place(item)); });
  ASSERT_TRUE(names_.AwaitCount("List", 1));
  ASSERT_TRUE(room_.store().Remove("/f", true));
  names_.Release("List");
  placing.join();
  EXPECT_EQ(0, names_.Count("Delete"));
}

TEST_F(PlacingTest, TheOldVersionInARenamedDirectoryGoes) {
  names_.AddFile("/d/f", 3);
  const Item item = Verified("/d/f", "content", Identity{3, 0, "", {}});
  ASSERT_TRUE(room_.store().SetUploadPath(item.id, 1, "/d/.obx-1-1"));
  names_.AddFile("/d/.obx-1-1", 7);
  ASSERT_TRUE(names_.Rename("/d", "e", {}));
  ASSERT_TRUE(room_.store().Rename("/d", "/e", true));
  ASSERT_TRUE(room_.store().SetUploadPath(item.id, 1, "/e/.obx-1-1"));
  ASSERT_TRUE(Place(item));
  ASSERT_EQ(1U, names_.Content("/e").size());
  EXPECT_EQ(7U, names_.Content("/e")[0].size);
}

}  // namespace
}  // namespace outboxfs::test
