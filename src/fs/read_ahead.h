// A few threads that fetch ahead of readers. What does not find a place in the queue is not done:
// the reader will fetch it itself. Thread-safe.
#pragma once

#include <functional>
#include <thread>
#include <vector>

#include "common/bounded_queue.h"

namespace outboxfs::fs {

class ReadAhead {
 public:
  using Job = std::function<void(const std::stop_token&)>;

  explicit ReadAhead(int threads);
  ~ReadAhead() { Stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // False: there is no place, or it was stopped.
  bool Post(Job job) { return jobs_.TryPush(std::move(job)); }
  // What is under way is asked to end; nothing new begins. Returns at once.
  void Stop();

 private:
  static constexpr size_t kQueue = 64;
  BoundedQueue<Job> jobs_{kQueue};
  std::vector<std::jthread> threads_;
};

}  // namespace outboxfs::fs
