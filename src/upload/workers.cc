#include "upload/workers.h"

#include <utility>

#include "common/thread.h"

namespace outboxfs::upload {

Workers::Workers(size_t threads) {
  for (size_t i = 0; i < threads; ++i) {
    threads_.push_back(
        StartThread("obx-worker", [this](const std::stop_token& stop) { Run(stop); }));
  }
}

Workers::~Workers() {
  for (std::jthread& thread : threads_) thread.request_stop();
}

void Workers::Post(Job job) {
  {
    MutexLock lock(mu_);
    jobs_.push_back(std::move(job));
  }
  posted_.NotifyOne();
}

void Workers::Run(const std::stop_token& stop) {
  while (true) {
    Job job;
    {
      MutexLock lock(mu_);
      while (jobs_.empty() && !stop.stop_requested()) posted_.Wait(mu_, stop);
      if (stop.stop_requested()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    job(stop);
  }
}

}  // namespace outboxfs::upload
