#include "upload/rate.h"

#include <algorithm>

namespace outboxfs::upload {

std::chrono::nanoseconds TokenBucket::Take(uint64_t bytes, SteadyTime now) {
  if (rate_ == 0) return std::chrono::nanoseconds(0);
  const std::chrono::duration<double> cost(static_cast<double>(bytes) / static_cast<double>(rate_));
  MutexLock lock(mu_);
  const SteadyTime start = std::max(paid_until_, now - std::chrono::milliseconds(250));
  paid_until_ = start + std::chrono::duration_cast<SteadyTime::duration>(cost);
  return std::max(SteadyTime::duration(0), paid_until_ - now);
}

}  // namespace outboxfs::upload
