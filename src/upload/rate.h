// A token bucket for --bwlimit: who takes more than is there owes the rest and waits for it, so
// pieces of any size pass and the mean is exact. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>

#include "common/clock.h"
#include "common/mutex.h"

namespace outboxfs::upload {

class TokenBucket {
 public:
  // 0: no limit. Holds at most a quarter of a second of tokens.
  explicit TokenBucket(uint64_t bytes_per_second) : rate_(bytes_per_second) {}

  // Takes `bytes`; how long the caller must wait before it may send them.
  std::chrono::nanoseconds Take(uint64_t bytes, SteadyTime now) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const uint64_t rate_;
  Mutex mu_;
  SteadyTime paid_until_ ABSL_GUARDED_BY(mu_);  // everything taken is paid for at this time
};

}  // namespace outboxfs::upload
