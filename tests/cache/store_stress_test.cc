// Many threads do to one Store what fs, the uploader and a reader of the status do at the same
// time. What is checked is the end: everything uploaded with its last bytes, nothing left, all sums
// zero. Under TSan also every step.
#include <atomic>
#include <map>
#include <mutex>
#include <random>

#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

constexpr int kWriters = 3;
constexpr int kFilesPerWriter = 40;
constexpr int kSteps = 250;

class StressTest : public StoreTest {
 protected:
  static std::string Path(int writer, int file) {
    return "/w" + std::to_string(writer) + "/f" + std::to_string(file);
  }

  // Each writer has names of its own, so that it knows what they should hold.
  void Write(int writer, uint32_t seed, std::map<std::string, std::string>& expected) {
    std::mt19937 random(seed);
    for (int step = 0; step < kSteps; ++step) {
      const std::string path = Path(writer, static_cast<int>(random() % kFilesPerWriter));
      switch (random() % 8) {
        case 0:
          EXPECT_OK(store_->Remove(path, false));
          expected.erase(path);
          break;
        case 1: {
          const std::string to = Path(writer, static_cast<int>(random() % kFilesPerWriter));
          if (to == path || !expected.contains(path)) break;
          const std::lock_guard lock(remote_mu_);  // no upload ends between the two
          if (store_->Lookup(path).kind != Overlay::Kind::kItem) break;  // a remote matter
          EXPECT_OK(store_->Rename(path, to, false));
          expected[to] = expected.extract(path).mapped();
          break;
        }
        default: {
          const std::string content = std::to_string(random() % 5) + path;
          PutFile(path, content);
          expected[path] = content;
        }
      }
    }
  }

  // As fs does: opens what is staged, else makes it anew.
  void PutFile(const std::string& path, const std::string& content) {
    const Overlay overlay = store_->Lookup(path);
    ItemId id = overlay.item.id;
    bool open = overlay.kind == Overlay::Kind::kItem && store_->BeginWrite(id);
    if (!open) {
      auto item = store_->CreateFile(path, store_->NewIno(), SomeAttr());
      ASSERT_OK(item);
      id = item->id;
    }
    auto pin = store_->PinFile(id, true);
    ASSERT_OK(pin);
    ASSERT_OK((*pin)->Truncate(0));
    ASSERT_OK((*pin)->Write(Bytes(content), 0));
    ASSERT_OK(store_->MarkClosed(id));
    pin->Reset();
    ASSERT_OK(store_->EndWrite(id, true));
  }

  // As the uploader does: what is sealed is read, checked and reported as done.
  void Upload(const std::stop_token& stop) {
    const auto reader = store_->feed().Subscribe();
    while (!stop.stop_requested()) {
      reader->Take(stop, RealClock().Now() + std::chrono::milliseconds(5));
      for (const Item& item : store_->All()) UploadOne(item);
    }
  }

  void UploadOne(const Item& item) {
    if (item.state == State::kRemoving) {
      EXPECT_OK(store_->ForgetRemoved(item.id));
      return;
    }
    if (item.state != State::kWaiting) return;
    if (!store_->MarkStarting(item.id, item.generation, item.path, std::nullopt)) return;
    std::string content;
    {
      auto sealed = store_->OpenSealed(item.id, item.generation);
      if (!sealed) return;
      content.resize((*sealed)->size());
      if (!(*sealed)->Read(std::as_writable_bytes(std::span(content)), 0)) return;
    }
    store_->MarkServed(item.id, item.generation, {0, content.size()});
    const std::lock_guard lock(remote_mu_);
    const auto done = store_->MarkDone(item.id, item.generation, item.path, {item.size, 0, "", {}});
    if (done) {
      remote_[item.path] = content;
    } else if (done.error().code == EAGAIN) {
      // Renamed: once more under the new name, if it was not changed besides.
      (void)store_->MarkFailed(item.id, item.generation, done.error(), 0, false).has_value();
    }
  }

  std::mutex remote_mu_;
  std::map<std::string, std::string> remote_;
};

TEST_F(StressTest, WhatWasWrittenLastIsWhatIsUploaded) {
  std::vector<std::map<std::string, std::string>> expected(kWriters);
  {
    std::jthread uploader([this](const std::stop_token& stop) { Upload(stop); });
    std::jthread watcher([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        store_->Totals();
        for (int writer = 0; writer < kWriters; ++writer) {
          const std::string dir = "/w" + std::to_string(writer);
          store_->ListDir(dir);
          store_->RecallDir(dir);
        }
        std::this_thread::yield();
      }
    });
    std::vector<std::jthread> writers;
    for (int writer = 0; writer < kWriters; ++writer) {
      writers.emplace_back([&, writer] { Write(writer, 100 + writer, expected[writer]); });
    }
    writers.clear();
    EXPECT_TRUE(Await([&] { return store_->All().empty(); }));
  }
  for (const auto& files : expected) {
    for (const auto& [path, content] : files) EXPECT_EQ(content, remote_[path]) << path;
  }
  EXPECT_TRUE(AwaitNoBytes());
  const StoreTotals totals = store_->Totals();
  EXPECT_EQ(0u, totals.files_pending + totals.files_open + totals.files_parked);
  EXPECT_EQ(0u, totals.bytes_pending + totals.bytes_not_durable + totals.files_not_durable);
  Reopen();
  EXPECT_TRUE(store_->All().empty());
  EXPECT_EQ(0u, store_->recovery().lost_found);
}

}  // namespace
}  // namespace outboxfs::cache
