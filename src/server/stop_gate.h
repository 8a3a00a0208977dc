// Sleeping in a call's thread, cut short when the server stops. Thread-safe.
#pragma once

#include <chrono>
#include <stop_token>

#include "common/mutex.h"

namespace outboxfs::server {

class StopGate {
 public:
  void SleepFor(std::chrono::milliseconds time) ABSL_LOCKS_EXCLUDED(mu_) {
    const auto deadline = CondVar::Clock::now() + time;
    MutexLock lock(mu_);
    while (!source_.stop_requested() && CondVar::Clock::now() < deadline) {
      changed_.WaitUntil(mu_, source_.get_token(), deadline);
    }
  }
  void Stop() { source_.request_stop(); }
  bool stopped() const { return source_.stop_requested(); }

 private:
  Mutex mu_;
  CondVar changed_;
  std::stop_source source_;
};

}  // namespace outboxfs::server
