// The first half of an exit: no new writers, uploads go on for a bounded time, what is left is
// counted, then the mount is asked to end. Begun by a signal, by `outboxfs unmount`, or after
// somebody else unmounted; whoever is first counts.
//
// Owns one thread, which does the waiting. All functions are thread-safe.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <thread>

#include "common/clock.h"
#include "common/mutex.h"
#include "status/snapshot.h"

namespace outboxfs::cli {

// What leaving does to the rooms, in this order. Called on the leaving thread, once each.
struct LeavingSteps {
  std::function<void()> refuse_writers;
  // Returns when nothing is left, at the deadline, or on stop.
  std::function<void(SteadyTime deadline, const std::stop_token& stop)> drain;
  std::function<status::Summary()> look;
  std::function<void()> exit;
};

class Leaving {
 public:
  Leaving(LeavingSteps steps, std::chrono::nanoseconds default_timeout, const Clock& clock);
  // Does not leave: only ends the thread.
  ~Leaving() = default;
  Leaving(const Leaving&) = delete;
  Leaving& operator=(const Leaving&) = delete;

  // Starts to leave; a second call with a timeout of 0 is Hurry, any other one changes nothing.
  void Begin(std::optional<std::chrono::nanoseconds> timeout) ABSL_LOCKS_EXCLUDED(mu_);
  // Ends the wait for uploads.
  void Hurry();
  bool begun() const ABSL_LOCKS_EXCLUDED(mu_);
  // Waits until the drain is over: what was left then. nullopt on stop.
  std::optional<status::Summary> Await(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);
  std::chrono::nanoseconds AwaitBegin(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);

  const LeavingSteps steps_;
  const std::chrono::nanoseconds default_timeout_;
  const Clock& clock_;
  std::stop_source hurry_;  // self-synchronised
  mutable Mutex mu_;
  CondVar changed_;
  std::optional<std::chrono::nanoseconds> begun_ ABSL_GUARDED_BY(mu_);
  std::optional<status::Summary> left_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;  // last: it uses everything above
};

}  // namespace outboxfs::cli
