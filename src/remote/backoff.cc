#include "remote/backoff.h"

#include <algorithm>
#include <random>

#include "common/mutex.h"

namespace outboxfs::remote {

Backoff::Duration Backoff::Next() {
  thread_local std::minstd_rand random(std::random_device{}());
  const Duration pause = next_;
  next_ = std::min(most_, next_ * 2);
  std::uniform_real_distribution<double> jitter(0.75, 1.25);
  return Duration(static_cast<Duration::rep>(static_cast<double>(pause.count()) * jitter(random)));
}

bool PauseFor(std::chrono::nanoseconds time, const std::stop_token& stop) {
  const auto deadline = CondVar::Clock::now() + time;
  Mutex mu;
  CondVar never;
  MutexLock lock(mu);
  while (!stop.stop_requested() && never.WaitUntil(mu, stop, deadline)) {
  }
  return !stop.stop_requested();
}

}  // namespace outboxfs::remote
