// The upload room as it runs in the daemon, over a real Store in a directory of its own and any
// remote. Needs upload_dep.
//
//   UploadRoom room(server.uploads(), server.names());
//   const cache::ItemId id = room.Write("/a", "content");
//   EXPECT_TRUE(room.AwaitGone(id));   // verified and evicted
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "cache/store.h"
#include "remote/dir_cache.h"
#include "support/temp_dir.h"
#include "upload/uploader.h"

namespace outboxfs::test {

inline constexpr auto kPatience = std::chrono::seconds(30);

// Settings for tests: nothing waits without need.
inline upload::UploadOptions QuickOptions() {
  upload::UploadOptions options;
  options.write_back = std::chrono::nanoseconds(0);
  options.backoff_first = std::chrono::milliseconds(20);
  options.backoff_max = std::chrono::milliseconds(200);
  options.verify_interval = std::chrono::milliseconds(40);
  options.verify_patience = std::chrono::seconds(3);
  // Silence is of those tests' doing that set it: a slow machine must not be taken for it.
  options.silence = options.first_word = std::chrono::hours(1);
  return options;
}

class UploadRoom {
 public:
  UploadRoom(remote::UploadApi& uploads, remote::NamespaceApi& names,
             upload::UploadOptions options = QuickOptions(), const Clock& clock = RealClock())
      : uploads_(uploads), names_(names), options_(std::move(options)), clock_(clock) {
    Open();
  }

  cache::Store& store() { return *store_; }
  upload::Uploader& uploader() { return *uploader_; }
  remote::DirCache& dirs() { return *dirs_; }
  upload::UploadOptions& options() { return options_; }

  // As a daemon that stops and starts again.
  void Close() {
    uploader_.reset();
    dirs_.reset();
    watch_.reset();
    store_.reset();
  }
  void Open() {
    auto store = cache::Store::Open({cache_dir_.path()}, RealClock());
    if (!store) {
      ADD_FAILURE() << store.error().text;
      std::abort();
    }
    store_ = std::move(*store);
    watch_ = store_->feed().Subscribe();
    StartUploader();
  }
  void StopUploader() { uploader_.reset(); }
  void StartUploader() {
    dirs_ = std::make_unique<remote::DirCache>(names_, RealClock(), std::chrono::minutes(5));
    uploader_ = upload::Uploader::Start(*store_, uploads_, names_, *dirs_, clock_, options_);
  }

  cache::ItemId MakeDir(const std::string& path) {
    const auto item = store_->MakeDir(path, store_->NewIno(), {});
    EXPECT_TRUE(item) << item.error().text;
    return item ? item->id : 0;
  }
  // A new file, written and closed.
  cache::ItemId Write(const std::string& path, const std::string& content) {
    const auto item = store_->CreateFile(path, store_->NewIno(), {});
    EXPECT_TRUE(item) << item.error().text;
    if (!item) return 0;
    Fill(item->id, content);
    return item->id;
  }
  // Other bytes for a file that is still staged.
  void Rewrite(cache::ItemId id, const std::string& content) {
    const Status begun = store_->BeginWrite(id);
    EXPECT_TRUE(begun) << begun.error().text;
    Fill(id, content);
  }
  // A file of `size` zero bytes, sparse.
  cache::ItemId WriteSparse(const std::string& path, uint64_t size) {
    const auto item = store_->CreateFile(path, store_->NewIno(), {});
    EXPECT_TRUE(item);
    auto pin = store_->PinFile(item->id, true);
    EXPECT_TRUE(pin && (**pin).Truncate(size));
    pin->Reset();
    EXPECT_TRUE(store_->EndWrite(item->id, true));
    return item->id;
  }

  // Waits until `done` says so of the item (nullopt: it left the store).
  bool Await(cache::ItemId id, const std::function<bool(const std::optional<cache::Item>&)>& done,
             std::chrono::nanoseconds patience = kPatience) {
    const SteadyTime deadline = RealClock().Now() + patience;
    while (!done(store_->Get(id))) {
      if (RealClock().Now() >= deadline) {
        Explain(id);
        return false;
      }
      watch_->Take({}, std::min(deadline, RealClock().Now() + std::chrono::milliseconds(200)));
    }
    return true;
  }
  // Until it is uploaded, verified and evicted (or forgotten).
  bool AwaitGone(cache::ItemId id) {
    return Await(id, [](const std::optional<cache::Item>& item) { return !item; });
  }
  bool AwaitState(cache::ItemId id, cache::State state) {
    return Await(id, [state](const auto& item) { return item && item->state == state; });
  }
  bool AwaitParked(cache::ItemId id) { return AwaitState(id, cache::State::kParked); }
  // Until the uploader's status satisfies `done`.
  bool AwaitStatus(const std::function<bool(const upload::UploaderStatus&)>& done) {
    const SteadyTime deadline = RealClock().Now() + kPatience;
    while (!done(uploader_->Snapshot())) {
      if (RealClock().Now() >= deadline) return false;
      watch_->Take({}, RealClock().Now() + std::chrono::milliseconds(5));
    }
    return true;
  }
  std::string ReasonOf(cache::ItemId id) {
    const auto item = store_->Get(id);
    return item ? item->reason : "";
  }

 private:
  void Fill(cache::ItemId id, const std::string& content) {
    auto pin = store_->PinFile(id, true);
    ASSERT_TRUE(pin) << pin.error().text;
    ASSERT_TRUE((**pin).Truncate(0));
    ASSERT_TRUE((**pin).Write(std::as_bytes(std::span(content)), 0));
    pin->Reset();
    ASSERT_TRUE(store_->EndWrite(id, true));
  }
  void Explain(cache::ItemId id) {
    const auto item = store_->Get(id);
    std::string text = item ? std::string(ToString(item->state)) + " " + item->reason : "gone";
    for (const upload::Progress& p : uploader_->Snapshot().items) {
      if (p.id == id) text += " / " + std::string(ToString(p.phase)) + " " + p.note;
    }
    ADD_FAILURE() << "item " << id << " is still " << text
                  << "; channel: " << uploader_->Snapshot().channel_error;
  }

  TempDir cache_dir_;
  remote::UploadApi& uploads_;
  remote::NamespaceApi& names_;
  upload::UploadOptions options_;
  const Clock& clock_;  // the uploader's
  std::unique_ptr<cache::Store> store_;
  std::unique_ptr<cache::Feed::Reader> watch_;
  std::unique_ptr<remote::DirCache> dirs_;
  std::unique_ptr<upload::Uploader> uploader_;
};

}  // namespace outboxfs::test
