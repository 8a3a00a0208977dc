// A real mount over a store and whatever remote a test gives it, gone with the test. Needs fs_dep.
//
//   TempMount mount({.names = &names, .downloads = &downloads});
//   ASSERT_TRUE(mount.ok()) << mount.error();
//   std::ofstream(mount / "file") << "text";
//
// The session runs in a thread of the test's own process, so the test thread may block in the
// mount, but may not fork and go on in the child.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "cache/store.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/thread.h"
#include "fs/mount_session.h"
#include "remote/dir_cache.h"
#include "remote/remote.h"
#include "support/temp_dir.h"

namespace outboxfs::test {

struct TempMountParts {
  remote::NamespaceApi* names = nullptr;
  remote::Downloader* downloads = nullptr;
  fs::MountOptions options;  // the mountpoint is set here
  std::chrono::nanoseconds dir_ttl = std::chrono::minutes(5);
  const Clock* clock = &RealClock();
  std::string cache_dir;  // empty: one that goes with the mount
};

// Everything of one mount. Not thread-safe, except for what it hands out.
class TempMount {
 public:
  explicit TempMount(TempMountParts parts) : parts_(std::move(parts)) { Begin(); }
  ~TempMount() { End(); }
  TempMount(const TempMount&) = delete;
  TempMount& operator=(const TempMount&) = delete;

  bool ok() const { return session_ != nullptr; }
  const std::string& error() const { return error_; }
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  std::string path() const { return dir_ / "mnt"; }
  cache::Store& store() { return *store_; }
  remote::DirCache& dirs() { return *dirs_; }
  fs::MountSession& session() { return *session_; }

  // Unmounts; the store and its directory stay. True when the loop ended well.
  bool Unmount() {
    if (!session_) return true;
    session_->RequestExit();
    thread_.join();
    session_.reset();
    return fine_;
  }
  // As after a restart of the daemon, over the same cache directory.
  void Remount() {
    End();
    Begin();
  }

 private:
  void Begin() {
    std::filesystem::create_directories(path());
    cache::StoreOptions options;
    options.directory = parts_.cache_dir.empty() ? dir_ / "cache" : parts_.cache_dir;
    auto store = cache::Store::Open(options, *parts_.clock);
    if (!store) {
      error_ = store.error().text;
      return;
    }
    store_ = std::move(*store);
    dirs_ = std::make_unique<remote::DirCache>(*parts_.names, *parts_.clock, parts_.dir_ttl);
    parts_.options.mountpoint = path();
    auto session = fs::MountSession::Mount(
        parts_.options, {*store_, *parts_.names, *dirs_, *parts_.downloads, *parts_.clock});
    if (!session) {
      error_ = session.error().text;
      return;
    }
    session_ = std::move(*session);
    ready_ = false;
    thread_ = StartThread("test-mount", [this](const std::stop_token&) {
      const auto ended = session_->Run([this] {
        MutexLock lock(mu_);
        ready_ = true;
        changed_.NotifyAll();
      });
      fine_ = ended.has_value();
    });
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (!ready_ && changed_.WaitUntil(mu_, {}, deadline)) {
    }
    if (!ready_) ADD_FAILURE() << "the mount was not ready in time";
  }
  void End() {
    EXPECT_TRUE(Unmount());
    dirs_.reset();
    store_.reset();
  }

  TempMountParts parts_;
  TempDir dir_;
  std::string error_;
  std::unique_ptr<cache::Store> store_;
  std::unique_ptr<remote::DirCache> dirs_;
  std::unique_ptr<fs::MountSession> session_;
  std::jthread thread_;
  bool fine_ = false;  // written by the thread, read after its join
  Mutex mu_;
  CondVar changed_;
  bool ready_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace outboxfs::test
