// The knobs in force: many readers, changed as a whole.
#pragma once

#include <memory>
#include <utility>

#include "common/mutex.h"
#include "server/knobs.h"

namespace outboxfs::server {

// Thread-safe.
class KnobStore {
 public:
  explicit KnobStore(Knobs knobs) : knobs_(std::make_shared<const Knobs>(std::move(knobs))) {}

  std::shared_ptr<const Knobs> Get() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return knobs_;
  }
  void Set(Knobs knobs) ABSL_LOCKS_EXCLUDED(mu_) {
    auto next = std::make_shared<const Knobs>(std::move(knobs));
    MutexLock lock(mu_);
    knobs_.swap(next);
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<const Knobs> knobs_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::server
