// A clock that stands still until a test moves it. Thread-safe.
#pragma once

#include <atomic>
#include <chrono>

#include "common/clock.h"

namespace outboxfs::test {

class FakeClock final : public Clock {
 public:
  SteadyTime Now() const override { return SteadyTime(std::chrono::nanoseconds(steady_ns_)); }
  int64_t WallNs() const override { return wall_ns_; }

  // Both clocks.
  void Advance(std::chrono::nanoseconds time) {
    steady_ns_ += time.count();
    wall_ns_ += time.count();
  }
  // The wall clock alone, as when somebody sets it.
  void SetWallNs(int64_t ns) { wall_ns_ = ns; }

 private:
  // Far from zero, so that differences to "never" stay sane.
  std::atomic<int64_t> steady_ns_{3'600'000'000'000};
  std::atomic<int64_t> wall_ns_{1'700'000'000'000'000'000};
};

}  // namespace outboxfs::test
