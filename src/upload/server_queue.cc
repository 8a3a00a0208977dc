#include "upload/server_queue.h"

#include <cerrno>
#include <utility>

namespace outboxfs::upload {

Result<std::shared_ptr<const ServerQueue::Uploads>> ServerQueue::Refresh(
    SteadyTime not_before, const std::stop_token& stop) {
  SteadyTime begun;
  {
    MutexLock lock(mu_);
    while (running_ || (asked_ && begun_ >= not_before)) {
      if (asked_ && begun_ >= not_before) return last_;
      if (stop.stop_requested()) return Fail(ECANCELED, "stopped");
      ended_.Wait(mu_, stop);
    }
    running_ = true;
    begun = clock_.Now();
  }
  Result<Uploads> uploads = api_.ListUploads(stop);
  Result<std::shared_ptr<const Uploads>> outcome;
  if (uploads) {
    outcome = std::make_shared<const Uploads>(std::move(*uploads));
  } else {
    outcome = Fail(uploads.error().Prepend("upload queue"));
  }
  {
    MutexLock lock(mu_);
    running_ = false;
    asked_ = true;
    begun_ = begun;
    last_ = outcome;
  }
  ended_.NotifyAll();
  return outcome;
}

bool IsForbidden(const Error& error) {
  return error.retry == Retry::kPark &&
         (error.code == EACCES || error.code == EPERM || error.code == EOPNOTSUPP);
}

const remote::QueuedUpload* FindUpload(const ServerQueue::Uploads& uploads,
                                       const std::string& upload_id, const std::string& path,
                                       const std::function<bool(const std::string&)>& is_anothers) {
  const remote::QueuedUpload* by_path = nullptr;
  for (const remote::QueuedUpload& upload : uploads) {
    if (!upload_id.empty() && upload.key == upload_id) return &upload;
    if (upload.path != path || is_anothers(upload.key)) continue;
    if (by_path == nullptr || !remote::IsTerminal(upload.status)) by_path = &upload;
  }
  return by_path;
}

}  // namespace outboxfs::upload
