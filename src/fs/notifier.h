// Tells the kernel which of its cached entries and attributes are no longer true, from a thread of
// its own: a notification can wait for an inode lock that a request holds, so no request may send
// one. A coalescing set: producers never wait. Thread-safe.
#pragma once

#include <set>
#include <string>
#include <thread>
#include <utility>

#include "cache/item.h"
#include "common/mutex.h"

namespace outboxfs::fs {

// The kernel's side; called by the notifier thread only, and may block.
class KernelCache {
 public:
  virtual ~KernelCache() = default;
  // The name is looked up again at its next use.
  virtual void ExpireEntry(cache::Ino parent, const std::string& name) = 0;
  virtual void DropAttributes(cache::Ino ino) = 0;
  // Cached pages too: the bytes of a file, the cached listing of a directory.
  virtual void DropContent(cache::Ino ino) = 0;
};

class Notifier {
 public:
  explicit Notifier(KernelCache& kernel);
  ~Notifier();  // as Stop and Join
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  void ExpireEntry(cache::Ino parent, const std::string& name) ABSL_LOCKS_EXCLUDED(mu_);
  void DropAttributes(cache::Ino ino) ABSL_LOCKS_EXCLUDED(mu_);
  void DropContent(cache::Ino ino) ABSL_LOCKS_EXCLUDED(mu_);

  // No further notification begins; what is pending is dropped. Does not wait.
  void Stop();
  // True when the thread is not, and will not be, in the kernel; false at the deadline. After Stop.
  bool WaitIdle(CondVar::Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Work {
    std::set<std::pair<cache::Ino, std::string>> entries;
    std::set<cache::Ino> attributes;
    std::set<cache::Ino> contents;
    bool empty() const { return entries.empty() && attributes.empty() && contents.empty(); }
  };
  void Run(const std::stop_token& stop);
  void Send(const Work& work, const std::stop_token& stop);

  KernelCache& kernel_;
  Mutex mu_;
  CondVar changed_;
  Work work_ ABSL_GUARDED_BY(mu_);
  bool sending_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;  // last: uses the above
};

}  // namespace outboxfs::fs
