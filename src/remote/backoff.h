// Pauses between attempts: growing, jittered, ended by a stop token.
#pragma once

#include <chrono>
#include <stop_token>

namespace outboxfs::remote {

// Not thread-safe.
class Backoff {
 public:
  using Duration = std::chrono::milliseconds;
  Backoff(Duration first, Duration most) : first_(first), most_(most), next_(first) {}

  // The next pause: twice the last one up to `most`, each times a random 0.75 to 1.25.
  Duration Next();
  void Reset() { next_ = first_; }

 private:
  const Duration first_;
  const Duration most_;
  Duration next_;
};

// False when stopped before the time was over.
bool PauseFor(std::chrono::nanoseconds time, const std::stop_token& stop);

}  // namespace outboxfs::remote
