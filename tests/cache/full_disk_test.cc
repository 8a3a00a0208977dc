// The cache disk is full, also for the journal: errors come back, nothing is lost, and it goes on
// when there is room again. On a small tmpfs of its own.
#include <fcntl.h>
#include <sys/mount.h>

#include "common/disk.h"
#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class FullDiskTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::mount("tmpfs", directory_.path().c_str(), "tmpfs", 0, "size=6m,mode=700") != 0) {
      GTEST_SKIP() << "needs the right to mount";
    }
    mounted_ = true;
    auto store = Store::Open({directory_.path() + "/cache"}, RealClock());
    ASSERT_OK(store);
    store_ = std::move(*store);
  }
  void TearDown() override {
    store_.reset();
    if (mounted_) ::umount(directory_.path().c_str());
  }

  // Takes all room that is left.
  void Fill() {
    const auto file = disk::Open(directory_.path() + "/filler", O_WRONLY | O_CREAT);
    ASSERT_OK(file);
    const std::string block(4096, 'x');
    uint64_t offset = static_cast<uint64_t>(disk::Stat(file->get())->st_size);
    while (disk::WriteAt(file->get(), Bytes(block), offset)) offset += block.size();
  }
  void MakeRoom() { std::filesystem::remove(directory_.path() + "/filler"); }

  // Creates files until the disk, or the journal on it, refuses.
  Error CreateUntilItFails(std::vector<std::string>& made) {
    for (int i = 0; i < 20000; ++i) {
      const std::string path = "/new" + std::to_string(i);
      const auto item = store_->CreateFile(path, store_->NewIno(), {});
      if (!item) return item.error();
      made.push_back(path);
    }
    return {};
  }

  TempDir directory_;
  bool mounted_ = false;
  std::unique_ptr<Store> store_;
};

TEST_F(FullDiskTest, WhatIsNewIsRefusedAndAllElseGoesOn) {
  const auto file = store_->CreateFile("/f", store_->NewIno(), {});
  ASSERT_OK(file);
  {
    auto pin = store_->PinFile(file->id, true);
    ASSERT_OK((*pin)->Write(Bytes("content"), 0));
  }
  ASSERT_OK(store_->EndWrite(file->id, true));
  ASSERT_TRUE(Await([&] { return store_->Get(file->id)->state == State::kWaiting; }));

  Fill();
  std::vector<std::string> made;
  const Error error = CreateUntilItFails(made);
  EXPECT_EQ(ENOSPC, error.code) << error.text;
  EXPECT_EQ(made.size() + 1, store_->All().size());
  EXPECT_ERROR(ENOSPC, store_->MakeDir("/dir", store_->NewIno(), {}));

  EXPECT_OK(store_->Rename("/f", "/g", true));
  EXPECT_OK(store_->MarkStarting(file->id, 1, "/cloud/g", std::nullopt));
  for (const std::string& path : made) EXPECT_OK(store_->Remove(path, false));

  // As after kill -9: nothing is given back, and the next start needs room itself.
  Fill();
  store_.reset();
  Fill();
  auto again = Store::Open({directory_.path() + "/cache"}, RealClock());
  ASSERT_OK(again);
  store_ = std::move(*again);
  EXPECT_EQ(State::kUploading, store_->Get(file->id)->state);
  EXPECT_OK(store_->Remove("/g", false));

  MakeRoom();
  EXPECT_OK(store_->CreateFile("/later", store_->NewIno(), {}));
}

TEST_F(FullDiskTest, AnUnchangedFileIsClosedAlsoOnAFullDisk) {
  const auto file = store_->CreateFile("/f", store_->NewIno(), {});
  ASSERT_OK(file);
  ASSERT_OK(store_->EndWrite(file->id, true));
  ASSERT_TRUE(Await([&] { return store_->Get(file->id)->state == State::kWaiting; }));
  ASSERT_OK(store_->BeginWrite(file->id));
  Fill();
  std::vector<std::string> made;
  EXPECT_EQ(ENOSPC, CreateUntilItFails(made).code);
  EXPECT_OK(store_->EndWrite(file->id, false));
  EXPECT_EQ(State::kWaiting, store_->Get(file->id)->state);
  MakeRoom();
  store_.reset();
  auto again = Store::Open({directory_.path() + "/cache"}, RealClock());
  ASSERT_OK(again);
  EXPECT_EQ(State::kWaiting, (*again)->Get(file->id)->state);
}

TEST_F(FullDiskTest, AFileClosedOnAFullDiskIsSealedWhenThereIsRoom) {
  const auto file = store_->CreateFile("/f", store_->NewIno(), {});
  ASSERT_OK(file);
  {
    auto pin = store_->PinFile(file->id, true);
    ASSERT_OK((*pin)->Write(Bytes("content"), 0));
    Fill();
    std::vector<std::string> made;
    EXPECT_EQ(ENOSPC, CreateUntilItFails(made).code);
    EXPECT_ERROR(ENOSPC, (*pin)->Write(Bytes(std::string(1 << 20, 'x')), 7));
    ASSERT_OK((*pin)->Truncate(7));
  }
  EXPECT_OK(store_->EndWrite(file->id, true));
  MakeRoom();
  EXPECT_TRUE(Await([&] { return store_->Get(file->id)->state == State::kWaiting; }));
  EXPECT_EQ(7u, store_->Get(file->id)->size);
}

}  // namespace
}  // namespace outboxfs::cache
