#include "server/push_hub.h"

#include <algorithm>

namespace outboxfs::server {

std::shared_ptr<Stream<PushHub::Message>> PushHub::Open() {
  auto stream = Stream<Message>::Create(true);
  MutexLock lock(mu_);
  std::erase_if(streams_, [](const auto& other) { return !other->open(); });
  streams_.push_back(stream);
  return stream;
}

void PushHub::Send(const Message& message) {
  MutexLock lock(mu_);
  std::erase_if(streams_, [&](const auto& stream) { return !stream->Send(message); });
}

void PushHub::CloseAll(const grpc::Status& status) {
  MutexLock lock(mu_);
  for (const auto& stream : streams_) stream->End(status, true);
  streams_.clear();
}

size_t PushHub::open_streams() const {
  MutexLock lock(mu_);
  return static_cast<size_t>(std::count_if(streams_.begin(), streams_.end(),
                                           [](const auto& stream) { return stream->open(); }));
}

}  // namespace outboxfs::server
