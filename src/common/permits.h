// A counted resource (slow-lane places, bytes of a window) that is waited for with a stop token
// and a deadline, and given back by a destructor. Thread-safe. A Permits must outlive its Permit.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "common/mutex.h"

namespace outboxfs {

class Permits;

// Holds `count` units until destroyed. Movable; an empty one holds nothing.
class Permit {
 public:
  Permit() = default;
  Permit(Permit&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), count_(other.count_) {}
  Permit& operator=(Permit&& other) noexcept;
  ~Permit() { Release(); }
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;

  void Release();

 private:
  friend class Permits;
  Permit(Permits* owner, uint64_t count) : owner_(owner), count_(count) {}

  Permits* owner_ = nullptr;
  uint64_t count_ = 0;
};

class Permits {
 public:
  explicit Permits(uint64_t capacity) : capacity_(capacity) {}
  ~Permits() = default;
  Permits(const Permits&) = delete;
  Permits& operator=(const Permits&) = delete;

  // A request for more than the capacity is granted when nothing else is out, so that one huge
  // request cannot wait for ever.
  std::optional<Permit> TryTake(uint64_t count = 1) ABSL_LOCKS_EXCLUDED(mu_);
  // nullopt at the deadline or on stop.
  std::optional<Permit> Take(uint64_t count, const std::stop_token& stop,
                             CondVar::Clock::time_point deadline) ABSL_LOCKS_EXCLUDED(mu_);

  uint64_t capacity() const { return capacity_; }
  uint64_t in_use() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Permit;
  bool FitsLocked(uint64_t count) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return in_use_ == 0 || (count <= capacity_ && in_use_ <= capacity_ - count);
  }
  void Return(uint64_t count) ABSL_LOCKS_EXCLUDED(mu_);

  const uint64_t capacity_;
  mutable Mutex mu_;
  CondVar returned_;
  uint64_t in_use_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace outboxfs
