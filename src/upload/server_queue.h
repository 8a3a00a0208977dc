// The server's own list of uploads, one call shared by all who ask at the same time. Thread-safe.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "remote/upload_api.h"

namespace outboxfs::upload {

class ServerQueue {
 public:
  using Uploads = std::vector<remote::QueuedUpload>;
  // Both must outlive it.
  ServerQueue(remote::UploadApi& api, const Clock& clock) : api_(api), clock_(clock) {}

  // A list whose call was begun at or after `not_before`; or the error of such a call.
  Result<std::shared_ptr<const Uploads>> Refresh(SteadyTime not_before, const std::stop_token& stop)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  remote::UploadApi& api_;
  const Clock& clock_;
  Mutex mu_;
  CondVar ended_;
  bool running_ ABSL_GUARDED_BY(mu_) = false;
  // The last call that ended.
  bool asked_ ABSL_GUARDED_BY(mu_) = false;
  SteadyTime begun_ ABSL_GUARDED_BY(mu_);
  Result<std::shared_ptr<const Uploads>> last_ ABSL_GUARDED_BY(mu_);
};

// The token may not be allowed to look into the queue: for good, not only now.
bool IsForbidden(const Error& error);

// The entry whose key is `upload_id` (if that is known), else one that goes to `path` and is not,
// by its key, another item's of ours; nullptr if there is none. Entries that still run win over
// finished ones.
const remote::QueuedUpload* FindUpload(const ServerQueue::Uploads& uploads,
                                       const std::string& upload_id, const std::string& path,
                                       const std::function<bool(const std::string&)>& is_anothers);

}  // namespace outboxfs::upload
