#include "server/background.h"

#include <utility>

#include "common/thread.h"

namespace outboxfs::server {

Background::Background(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.push_back(StartThread("srv-work", [this](const std::stop_token& stop) { Run(stop); }));
  }
}

void Background::PostAt(SteadyTime due, Job job) {
  {
    MutexLock lock(mu_);
    jobs_.emplace(due, std::move(job));
  }
  changed_.NotifyOne();
}

void Background::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    Job job;
    {
      MutexLock lock(mu_);
      if (jobs_.empty()) {
        changed_.Wait(mu_, stop);
        continue;
      }
      const auto first = jobs_.begin();
      if (first->first > RealClock().Now()) {
        changed_.WaitUntil(mu_, stop, first->first);
        continue;
      }
      job = std::move(first->second);
      jobs_.erase(first);
    }
    job();
  }
}

void Background::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  threads_.clear();
  // Jobs hold uploads alive; they are destroyed outside the lock.
  std::multimap<SteadyTime, Job> dropped;
  MutexLock lock(mu_);
  dropped.swap(jobs_);
}

}  // namespace outboxfs::server
