#include "server/channel_hub.h"

#include <utility>

namespace outboxfs::server {
namespace {

grpc::Status ReplacedStatus(ChannelEnd end) {
  switch (end) {
    case ChannelEnd::kAborted:
      return {grpc::StatusCode::ABORTED, "channel replaced"};
    case ChannelEnd::kCancelled:
      return {grpc::StatusCode::CANCELLED, "channel replaced"};
    case ChannelEnd::kOk:
      break;
  }
  return grpc::Status::OK;
}

}  // namespace

ChannelHub::Opened ChannelHub::Open(const std::string& device) {
  const auto knobs = knobs_.Get();
  Opened opened{Stream<Reply>::Create(knobs->headers_at_once), 0};
  std::shared_ptr<Stream<Reply>> old;
  {
    MutexLock lock(mu_);
    opened.serial = ++last_serial_;
    std::erase_if(channels_, [&](const auto& item) {
      return item.first != device && !item.second.stream->open();
    });
    Channel& channel = channels_[device];
    old = std::exchange(channel, {opened.stream, opened.serial, 0}).stream;
    for (const Reply& reply : kept_[device]) SendLocked(&channel, reply);
    kept_.erase(device);
  }
  if (old) old->End(ReplacedStatus(knobs->replaced_end));
  return opened;
}

std::string ChannelHub::NewestDevice() const {
  MutexLock lock(mu_);
  std::string device;
  uint64_t newest = 0;
  for (const auto& [name, channel] : channels_) {
    if (channel.serial > newest && channel.stream->open()) {
      device = name;
      newest = channel.serial;
    }
  }
  return device;
}

bool ChannelHub::SendLocked(Channel* channel, const Reply& reply) {
  if (!channel->stream->Send(reply)) return false;
  const uint32_t every = knobs_.Get()->drop_channel_every;
  if (every > 0 && ++channel->sent >= every) {
    channel->stream->End({grpc::StatusCode::UNAVAILABLE, "connection lost"}, true);
  }
  return true;
}

uint64_t ChannelHub::Send(const std::string& device, const Reply& reply, bool terminal) {
  const auto knobs = knobs_.Get();
  MutexLock lock(mu_);
  bool sent = false;
  for (auto& [name, channel] : channels_) {
    if (knobs->binding == Binding::kBroadcast || name == device) {
      sent = SendLocked(&channel, reply) || sent;
    }
  }
  if (sent) return last_serial_;
  if (terminal && knobs->replay_terminal) kept_[device].push_back(reply);
  return 0;
}

void ChannelHub::CloseAll(const grpc::Status& status) {
  MutexLock lock(mu_);
  for (auto& [name, channel] : channels_) channel.stream->End(status, true);
}

void ChannelHub::DropAll() {
  MutexLock lock(mu_);
  const grpc::Status lost(grpc::StatusCode::UNAVAILABLE, "connection lost");
  for (auto& [name, channel] : channels_) channel.stream->End(lost);
}

}  // namespace outboxfs::server
