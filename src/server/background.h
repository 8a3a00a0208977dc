// Work that must not run in a call's own thread: finishing uploads, and whatever is due later.
// Thread-safe. The queue is bounded by its users: each upload has a handful of entries at most.
#pragma once

#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"

namespace outboxfs::server {

class Background {
 public:
  using Job = std::function<void()>;

  explicit Background(int threads);
  ~Background() { Stop(); }
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  void Post(Job job) { PostAt(SteadyTime(), std::move(job)); }
  // Runs `job` at `due` or soon after. Dropped when the server stops before.
  void PostAt(SteadyTime due, Job job) ABSL_LOCKS_EXCLUDED(mu_);
  // Waits for running jobs; the others are dropped. Safe to call twice, not from a job.
  void Stop();

 private:
  void Run(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  CondVar changed_;
  std::multimap<SteadyTime, Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::vector<std::jthread> threads_;  // last: they use the fields above
};

}  // namespace outboxfs::server
