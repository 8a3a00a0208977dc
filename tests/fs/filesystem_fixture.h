// The operations without FUSE: a real store, a remote in memory, a kernel that only takes notes.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fs/filesystem.h"
#include "support/fake_clock.h"
#include "support/fake_downloader.h"
#include "support/fake_namespace_api.h"
#include "support/temp_dir.h"

namespace outboxfs::fs {

using cache::Overlay;
using cache::State;

class NotedKernel final : public Backings, public KernelCache {
 public:
  Result<int> Open(int) override {
    MutexLock lock(mu_);
    if (refuse_ != 0) return FailErrno(refuse_, "backing file");
    open_.insert(++last_);
    return last_;
  }
  void Close(int id) override {
    MutexLock lock(mu_);
    open_.erase(id);
  }
  void ExpireEntry(cache::Ino, const std::string& name) override { Note("entry " + name); }
  void DropAttributes(cache::Ino) override { Note("attributes"); }
  void DropContent(cache::Ino) override { Note("content"); }

  void Refuse(int code) {
    MutexLock lock(mu_);
    refuse_ = code;
  }
  size_t open() {
    MutexLock lock(mu_);
    return open_.size();
  }
  // Each note is awaited once.
  bool Await(const std::string& note) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (notes_.erase(note) == 0) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }
  bool Sent(const std::string& note) {
    MutexLock lock(mu_);
    return notes_.contains(note);
  }

 private:
  void Note(const std::string& note) {
    MutexLock lock(mu_);
    notes_.insert(note);
    changed_.NotifyAll();
  }
  Mutex mu_;
  CondVar changed_;
  int refuse_ ABSL_GUARDED_BY(mu_) = 0;
  int last_ ABSL_GUARDED_BY(mu_) = 0;
  std::set<int> open_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> notes_ ABSL_GUARDED_BY(mu_);
};

class UserCall final : public Call {
 public:
  explicit UserCall(uid_t user = 0) : Call(user, 0) {}
  std::stop_token Interrupted() override { return stop_.get_token(); }
  void Interrupt() { stop_.request_stop(); }

 private:
  std::stop_source stop_;
};

class FilesystemTest : public ::testing::Test {
 protected:
  void SetUp() override { Open({}); }
  void TearDown() override { Close(); }

  void Open(const MountOptions& options) {
    Close();
    auto store = cache::Store::Open({.directory = dir_ / "cache"}, clock_);
    ASSERT_TRUE(store) << store.error().text;
    store_ = std::move(*store);
    dirs_ = std::make_unique<remote::DirCache>(names_, clock_, std::chrono::minutes(5));
    passthrough_ = std::make_unique<Passthrough>(kernel_, options.passthrough ? "" : "off");
    notifier_ = std::make_unique<Notifier>(kernel_);
    fs_ = std::make_unique<Filesystem>(options, Rooms{*store_, names_, *dirs_, downloads_, clock_},
                                       *passthrough_, *notifier_);
  }
  void Close() {
    if (fs_) fs_->CloseAll();
    fs_.reset();
    notifier_.reset();
    passthrough_.reset();
    dirs_.reset();
    store_.reset();
  }

  cache::Ino Ino(const std::string& name, cache::Ino parent = kRootIno) {
    const auto entry = fs_->Lookup(call_, parent, name);
    return entry ? entry->ino : 0;
  }
  int Code(const Status& status) { return status ? 0 : status.error().code; }
  Created Make(const std::string& name, cache::Ino parent = kRootIno, mode_t mode = 0644) {
    auto created = fs_->Create(call_, parent, name, mode, O_RDWR);
    EXPECT_TRUE(created) << created.error().text;
    return created ? *created : Created{};
  }
  void Write(uint64_t handle, const std::string& text) {
    EXPECT_TRUE(fs_->Write(handle, std::as_bytes(std::span(text)), 0));
  }
  void CloseHandle(uint64_t handle) {
    EXPECT_TRUE(fs_->Flush(handle));
    fs_->Release(handle);
  }
  std::string ReadAll(uint64_t handle, size_t size = 100, uint64_t offset = 0) {
    const auto reply = fs_->Read(call_, handle, size, offset);
    if (!reply) return "error: " + reply.error().text;
    if (reply->fd < 0) {
      return {reinterpret_cast<const char*>(reply->bytes.data()), reply->bytes.size()};
    }
    std::string text(reply->size, '\0');
    const ssize_t got =
        ::pread(reply->fd, text.data(), text.size(), static_cast<off_t>(reply->offset));
    text.resize(got < 0 ? 0 : static_cast<size_t>(got));
    return text;
  }
  // A later listing tells what happened before.
  void ListAnew() {
    clock_.Advance(std::chrono::seconds(1));
    dirs_->InvalidateAll();
  }
  std::string Read(cache::Ino ino) {
    const auto opened = fs_->Open(call_, ino, O_RDONLY);
    if (!opened) return opened.error().text;
    std::string text = ReadAll(opened->handle);
    fs_->Release(opened->handle);
    return text;
  }
  // A remote file that was overwritten here and is not uploaded yet.
  void MakePendingOverwrite(const std::string& name, const std::string& text) {
    const auto opened = fs_->Open(call_, Ino(name), O_WRONLY | O_TRUNC);
    ASSERT_TRUE(opened) << opened.error().text;
    Write(opened->handle, text);
    CloseHandle(opened->handle);
    AwaitState("/" + name, State::kWaiting);
  }
  cache::Ino MakeClosed(const std::string& name, const std::string& text) {
    const Created created = Make(name);
    Write(created.opened.handle, text);
    CloseHandle(created.opened.handle);
    return created.entry.ino;
  }
  std::vector<std::string> List(cache::Ino ino, Status* status = nullptr) {
    std::vector<std::string> names;
    const auto dir = fs_->OpenDir(call_, ino);
    if (!dir) {
      if (status != nullptr) *status = Fail(dir.error());
      return names;
    }
    Status read;
    for (uint64_t offset = 0, last = 1; read && offset != last;) {
      last = offset;
      read = fs_->ReadDir(call_, dir->handle, offset, false, [&](const DirEntry& entry) {
        if (entry.name != "." && entry.name != "..") names.push_back(entry.name);
        offset = entry.offset;
        return true;
      });
    }
    if (status != nullptr) *status = read;
    fs_->ReleaseDir(dir->handle);
    return names;
  }
  cache::Item AwaitState(const std::string& path, State state) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    const auto news = store_->feed().Subscribe();
    for (;;) {
      const Overlay overlay = store_->Lookup(path);
      if (overlay.kind == Overlay::Kind::kItem && overlay.item.state == state) return overlay.item;
      if (CondVar::Clock::now() > deadline) {
        ADD_FAILURE() << path << " never was " << ToString(state);
        return {};
      }
      news->Take({}, CondVar::Clock::now() + std::chrono::milliseconds(20));
    }
  }
  // What the uploader does, without it.
  void StartUpload(const cache::Item& item, const std::string& upload_path) {
    const auto marked = store_->MarkStarting(item.id, item.generation, upload_path, std::nullopt);
    ASSERT_TRUE(marked) << marked.error().text;
    ASSERT_TRUE(store_->MarkStarted(item.id, item.generation, "upload"));
  }
  void Upload(const std::string& path) {
    const cache::Item item = AwaitState(path, State::kWaiting);
    StartUpload(item, path);
    names_.AddFile(path, item.size);
    ASSERT_TRUE(store_->MarkVerifying(item.id, item.generation));
    cache::Identity identity;
    identity.size = item.size;
    const auto done = store_->MarkDone(item.id, item.generation, path, identity);
    ASSERT_TRUE(done) << done.error().text;
  }

  test::TempDir dir_;
  test::FakeClock clock_;
  test::FakeNamespaceApi names_;
  test::FakeDownloader downloads_;
  NotedKernel kernel_;
  UserCall call_;
  std::unique_ptr<cache::Store> store_;
  std::unique_ptr<remote::DirCache> dirs_;
  std::unique_ptr<Passthrough> passthrough_;
  std::unique_ptr<Notifier> notifier_;
  std::unique_ptr<Filesystem> fs_;
};

}  // namespace outboxfs::fs
