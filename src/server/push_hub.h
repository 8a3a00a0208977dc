// The open push streams: events go to all of them, nothing is kept for later ones. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "common/mutex.h"
#include "server/stream.h"

namespace outboxfs::server {

class PushHub {
 public:
  using Message = clouddrive::CloudDrivePushMessage;

  std::shared_ptr<Stream<Message>> Open();
  void Send(const Message& message);
  void CloseAll(const grpc::Status& status);
  size_t open_streams() const;

 private:
  mutable Mutex mu_;
  std::vector<std::shared_ptr<Stream<Message>>> streams_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::server
