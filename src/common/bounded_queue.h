// A queue of at most `capacity` elements between threads. Thread-safe.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "common/mutex.h"

namespace outboxfs {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}
  ~BoundedQueue() = default;
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  // False when full or closed; never waits.
  bool TryPush(T value) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(mu_);
      if (closed_ || items_.size() >= capacity_) return false;
      items_.push_back(std::move(value));
    }
    changed_.NotifyAll();
    return true;
  }
  // Waits while full. False when closed or stopped.
  bool Push(T value, const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(mu_);
      while (!closed_ && items_.size() >= capacity_) {
        if (stop.stop_requested()) return false;
        changed_.Wait(mu_, stop);
      }
      if (closed_) return false;
      items_.push_back(std::move(value));
    }
    changed_.NotifyAll();
    return true;
  }
  // Waits while empty. nullopt when stopped, or closed and drained.
  std::optional<T> Pop(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_) {
    std::optional<T> value;
    {
      MutexLock lock(mu_);
      while (items_.empty()) {
        if (closed_ || stop.stop_requested()) return std::nullopt;
        changed_.Wait(mu_, stop);
      }
      value.emplace(std::move(items_.front()));
      items_.pop_front();
    }
    changed_.NotifyAll();
    return value;
  }
  // No more pushes; what is inside can still be popped.
  void Close() ABSL_LOCKS_EXCLUDED(mu_) {
    {
      MutexLock lock(mu_);
      closed_ = true;
    }
    changed_.NotifyAll();
  }
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable Mutex mu_;
  CondVar changed_;
  std::deque<T> items_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace outboxfs
