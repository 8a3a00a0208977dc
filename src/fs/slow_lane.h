// Admission to everything that may last: remote calls, downloads, long local work. At most
// workers - 2 operations are inside at once (docs/LOCKS.md, "Threads"). Who waits for a place holds
// a FUSE thread too; so there are more threads than workers, and when the waiting room is full the
// next is refused at once: the mount always has threads left to answer what needs no waiting.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <stop_token>

#include "common/clock.h"
#include "common/permits.h"
#include "common/result.h"
#include "fs/call.h"

namespace outboxfs::fs {

// How many operations may wait for a place, beside those inside.
constexpr int kWaitingRoom = 64;

// The places of one mount. Thread-safe.
struct Lane {
  explicit Lane(uint64_t capacity) : places(capacity), waiting(kWaitingRoom) {}
  Permits places;
  Permits waiting;
  std::stop_source exit;  // requested when the mount is about to end
};

// One operation's way into the lane: nothing until the first Enter, left by the destructor. Used by
// one thread.
class SlowLane {
 public:
  SlowLane(Lane& lane, Call& call) : lane_(lane), call_(call) {}
  ~SlowLane() = default;
  SlowLane(const SlowLane&) = delete;
  SlowLane& operator=(const SlowLane&) = delete;

  // Waits for a place; once inside it costs nothing. What is done inside must end when the token is
  // requested. ETIMEDOUT: no place came free in time; EINTR: the caller was interrupted, or the
  // mount ends.
  Result<std::stop_token> Enter();
  bool entered() const { return permit_.has_value(); }
  // An error of work inside, as the caller should see it: an ended wait is EINTR.
  Error Explain(Error error) const;

 private:
  using Callback = std::stop_callback<std::function<void()>>;

  Lane& lane_;
  Call& call_;
  std::stop_source stop_;
  std::optional<Callback> on_exit_;
  std::optional<Callback> on_interrupt_;
  std::optional<Permit> permit_;
};

}  // namespace outboxfs::fs
