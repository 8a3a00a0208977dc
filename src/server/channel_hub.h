// The open upload channels, by device id. Every opened channel gets a serial number, counted up;
// a message remembers the number that was the newest when it was sent, so that a later channel
// knows what its client cannot have seen.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "common/mutex.h"
#include "server/knob_store.h"
#include "server/stream.h"

namespace outboxfs::server {

// Thread-safe; its lock is a leaf but for the streams' own.
class ChannelHub {
 public:
  using Reply = clouddrive::RemoteUploadChannelReply;

  explicit ChannelHub(const KnobStore& knobs) : knobs_(knobs) {}

  struct Opened {
    std::shared_ptr<Stream<Reply>> stream;
    uint64_t serial = 0;
  };
  // Replaces the channel of the same device. Terminal statuses that were kept for it are sent
  // first.
  Opened Open(const std::string& device);
  // Device of the newest channel that is still open; empty when there is none.
  std::string NewestDevice() const;
  // Sends to the channel that the binding knob names for `device`. Returns the newest serial, or 0
  // when nothing was open to send to. A terminal status that finds no channel is kept for the
  // device when the knob says so.
  uint64_t Send(const std::string& device, const Reply& reply, bool terminal = false);
  // Ends all channels, after what is queued in them.
  void CloseAll(const grpc::Status& status);
  // Breaks the channels as a network would: queued messages are lost.
  void DropAll();

 private:
  struct Channel {
    std::shared_ptr<Stream<Reply>> stream;
    uint64_t serial = 0;
    uint32_t sent = 0;
  };

  bool SendLocked(Channel* channel, const Reply& reply) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const KnobStore& knobs_;
  mutable Mutex mu_;
  uint64_t last_serial_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, Channel> channels_ ABSL_GUARDED_BY(mu_);
  // Terminal statuses nobody heard of.
  std::map<std::string, std::vector<Reply>> kept_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::server
