// A Store over a directory of its own that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "cache/store.h"
#include "common/clock.h"

namespace outboxfs::cache {

// The value, or a failed test that shows the error.
#define ASSERT_OK(expression)                                                   \
  do {                                                                          \
    const auto& assert_ok_result = (expression);                                \
    ASSERT_TRUE(assert_ok_result.has_value()) << assert_ok_result.error().text; \
  } while (false)
#define EXPECT_OK(expression)                                                   \
  do {                                                                          \
    const auto& expect_ok_result = (expression);                                \
    EXPECT_TRUE(expect_ok_result.has_value()) << expect_ok_result.error().text; \
  } while (false)
// A failed expression with this errno.
#define EXPECT_ERROR(wanted, expression)                                                       \
  do {                                                                                         \
    const auto& expect_error_result = (expression);                                            \
    EXPECT_FALSE(expect_error_result.has_value());                                             \
    if (!expect_error_result) {                                                                \
      EXPECT_EQ(wanted, expect_error_result.error().code) << expect_error_result.error().text; \
    }                                                                                          \
  } while (false)

class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "outboxfs-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Waits until `condition` holds; false when it does not within ten seconds.
inline bool Await(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

inline std::span<const std::byte> Bytes(const std::string& text) {
  return std::as_bytes(std::span(text));
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { Reopen(); }

  // As after a clean end. `options`: the directory is put in.
  void Reopen(StoreOptions options = {}) {
    store_.reset();
    options.directory = directory_.path() + "/cache";
    auto opened = Store::Open(options, RealClock());
    if (!opened) throw std::runtime_error(opened.error().text);
    store_ = std::move(*opened);
  }

  // A copy of the directory as it is now, as a killed daemon would leave it.
  std::string Snapshot() {
    const std::string copy = directory_.path() + "/copy" + std::to_string(++copies_);
    const std::string command =
        "cp -a --sparse=always '" + directory_.path() + "/cache' '" + copy + "'";
    if (::system(command.c_str()) != 0) throw std::runtime_error(command);  // NOLINT
    return copy;
  }

  static Attr SomeAttr() { return {0640, 1000, 1000, 1, 2, 3}; }

  // A created, written and closed file.
  Item WriteFile(const std::string& path, const std::string& content) {
    auto item = store_->CreateFile(path, store_->NewIno(), SomeAttr());
    if (!item) throw std::runtime_error(item.error().text);
    Rewrite(item->id, content, true);
    return *store_->Get(item->id);
  }

  // Opens `id`, writes and closes as fs does.
  void Rewrite(ItemId id, const std::string& content, bool changed) {
    ASSERT_OK(store_->BeginWrite(id));
    {
      auto pin = store_->PinFile(id, true);
      ASSERT_OK(pin);
      if (changed) ASSERT_OK((*pin)->Truncate(0));
      if (changed) ASSERT_OK((*pin)->Write(Bytes(content), 0));
      if (changed) ASSERT_OK(store_->MarkClosed(id));
    }
    ASSERT_OK(store_->EndWrite(id, changed));
  }

  State StateOf(ItemId id) {
    const auto item = store_->Get(id);
    return item ? item->state : State::kRemoving;
  }

  bool AwaitState(ItemId id, State state) {
    return Await([&] { return StateOf(id) == state; });
  }

  // A file that is sealed and waits.
  Item SealedFile(const std::string& path, const std::string& content) {
    const Item item = WriteFile(path, content);
    if (!AwaitState(item.id, State::kWaiting)) ADD_FAILURE() << path << " was not sealed";
    return *store_->Get(item.id);
  }

  std::string Read(ItemId id) {
    auto pin = store_->PinFile(id, false);
    if (!pin) return "error: " + pin.error().text;
    std::string text((*pin)->Stat()->st_size, '\0');
    const auto got = (*pin)->Read(std::as_writable_bytes(std::span(text)), 0);
    return got ? text : got.error().text;
  }

  // The backing files with bytes in them.
  size_t StagedFiles() const {
    size_t count = 0;
    for (const auto& entry :
         std::filesystem::recursive_directory_iterator(directory_.path() + "/cache/staged")) {
      std::error_code gone;  // it may go while we look
      if (entry.is_regular_file(gone) && entry.file_size(gone) > 0 && !gone) ++count;
    }
    return count;
  }

  // Evicted bytes go soon, by another thread.
  bool AwaitNoBytes() {
    return Await([&] { return StagedFiles() == 0 && store_->Totals().bytes_staged == 0; });
  }

  std::string BackingPath(ItemId id) const {
    char path[64];
    snprintf(path, sizeof(path), "/cache/staged/%02x/%016llx",
             static_cast<unsigned>(id >> 8) & 0xff, static_cast<unsigned long long>(id));
    return directory_.path() + path;
  }

  TempDir directory_;
  int copies_ = 0;
  std::unique_ptr<Store> store_;
};

}  // namespace outboxfs::cache
