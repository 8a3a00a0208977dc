// Whether files are opened in passthrough mode, and the kernel's names of their backing files.
// Thread-safe.
#pragma once

#include <atomic>
#include <string>

#include "common/mutex.h"
#include "common/result.h"

namespace outboxfs::fs {

// The kernel's registry of backing files.
class Backings {
 public:
  virtual ~Backings() = default;
  // A backing id (> 0) for an open descriptor; the kernel keeps the file open itself.
  virtual Result<int> Open(int fd) = 0;
  virtual void Close(int backing_id) = 0;
};

class Passthrough {
 public:
  // `reason` says why it is off from the start; empty: it may be tried.
  Passthrough(Backings& backings, std::string reason);

  // Turns it off for good; the first reason stays and is logged once.
  void Disable(const std::string& reason) ABSL_LOCKS_EXCLUDED(mu_);
  // A backing id for the staged file open as `fd`; 0: this one goes through the daemon.
  int Open(int fd);
  void Close(int backing_id) { backings_.Close(backing_id); }

  bool on() const { return on_.load(std::memory_order_relaxed); }
  std::string reason() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Backings& backings_;
  std::atomic<bool> on_;
  mutable Mutex mu_;
  std::string reason_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::fs
