// Time as a seam: everything that decides by time takes a Clock, so that tests move it by hand.
#pragma once

#include <chrono>
#include <cstdint>

namespace outboxfs {

using SteadyTime = std::chrono::steady_clock::time_point;

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  // For intervals and deadlines.
  virtual SteadyTime Now() const = 0;
  // For what is stored or shown: nanoseconds since 1970 UTC.
  virtual int64_t WallNs() const = 0;
};

// The machine's clock; lives for ever.
const Clock& RealClock();

}  // namespace outboxfs
