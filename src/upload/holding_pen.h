// Messages for upload ids that nobody has registered yet: they may outrun the reply of Start
// (docs/PROTOCOL.md, rule 3). Bounded in number and time; what stays unknown is somebody else's:
// dropped and counted, never answered. Not thread-safe: the scheduler's.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_set>
#include <vector>

#include "common/clock.h"
#include "remote/upload_api.h"

namespace outboxfs::upload {

class HoldingPen {
 public:
  HoldingPen(size_t capacity, std::chrono::nanoseconds patience)
      : capacity_(capacity), patience_(patience) {}

  // When full, the oldest makes room.
  void Hold(remote::ChannelEvent event, SteadyTime now);
  // Everything held for `upload_id`, in order of arrival.
  std::vector<remote::ChannelEvent> Take(const std::string& upload_id);
  // True when a message for this id has been dropped before: a replay has to be asked for.
  bool HasLost(const std::string& upload_id) const { return lost_.contains(upload_id); }
  void DropExpired(SteadyTime now);
  uint64_t dropped() const { return dropped_; }
  bool empty() const { return held_.empty(); }

 private:
  struct Held {
    remote::ChannelEvent event;
    SteadyTime since;
  };
  void DropFirst();

  const size_t capacity_;
  const std::chrono::nanoseconds patience_;
  std::deque<Held> held_;
  std::unordered_set<std::string> lost_;  // the ids of dropped messages, as many as kRemembered
  uint64_t dropped_ = 0;
};

}  // namespace outboxfs::upload
