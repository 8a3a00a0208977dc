// A few threads for calls that block (list, start, place), so that the scheduler never does.
#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

#include "common/mutex.h"

namespace outboxfs::upload {

class Workers {
 public:
  using Job = std::function<void(const std::stop_token&)>;

  explicit Workers(size_t threads);
  // Asks running jobs to stop, drops the others, joins.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  // Never waits. The queue has no limit of its own: the scheduler has at most one job per running
  // item and per directory out. Thread-safe.
  void Post(Job job) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  CondVar posted_;
  std::deque<Job> jobs_ ABSL_GUARDED_BY(mu_);
  std::vector<std::jthread> threads_;  // last: joined before anything above goes
};

}  // namespace outboxfs::upload
