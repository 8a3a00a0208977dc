// Bytes of remote files out of memory. Thread-safe.
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "common/mutex.h"
#include "remote/remote.h"

namespace outboxfs::test {

class FakeDownloader final : public remote::Downloader {
 public:
  // The content at a server path.
  void Put(const std::string& path, std::string content) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    files_[path] = std::move(content);
  }
  void FailNext(Error error) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    failures_.push_back(std::move(error));
  }
  // From now on Fetch waits until Release or its stop token.
  void Hold() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    held_ = true;
  }
  void Release() ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    held_ = false;
    changed_.NotifyAll();
  }
  // Until Fetch was called `count` times in all. False after 10 s.
  bool AwaitFetches(int count) ABSL_LOCKS_EXCLUDED(mu_) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (fetches_ < count) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }
  int fetches() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return fetches_;
  }

  Status Fetch(const std::string& path, uint64_t offset, std::span<std::byte> out,
               const std::stop_token& stop) override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    ++fetches_;
    changed_.NotifyAll();
    while (held_ && !stop.stop_requested()) changed_.Wait(mu_, stop);
    if (stop.stop_requested()) return FailErrno(ECANCELED, path);
    if (!failures_.empty()) {
      Error error = std::move(failures_.front());
      failures_.pop_front();
      return Fail(std::move(error));
    }
    const auto found = files_.find(path);
    if (found == files_.end()) return Fail(ENOENT, path);
    const std::string& content = found->second;
    if (offset + out.size() > content.size()) return Fail(EIO, "range past the end");
    if (!out.empty()) std::memcpy(out.data(), content.data() + offset, out.size());
    return {};
  }
  void Forget(const std::string& path) override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    forgotten_.insert(path);
  }
  bool WasForgotten(const std::string& path) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return forgotten_.contains(path);
  }

 private:
  mutable Mutex mu_;
  CondVar changed_;
  std::map<std::string, std::string> files_ ABSL_GUARDED_BY(mu_);
  std::set<std::string> forgotten_ ABSL_GUARDED_BY(mu_);
  std::deque<Error> failures_ ABSL_GUARDED_BY(mu_);
  bool held_ ABSL_GUARDED_BY(mu_) = false;
  int fetches_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace outboxfs::test
