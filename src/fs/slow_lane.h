// Admission to everything that may last: remote calls, downloads, long local work. At most
// workers - 2 operations are inside at once, or the mount would stop answering (ROOMS 4.4).
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

// One operation's way into the lane: nothing until the first Enter, left by the destructor. Used by
// one thread.
class SlowLane {
 public:
  // `exit` is requested when the mount is about to end.
  SlowLane(Permits& permits, std::stop_token exit, Call& call)
      : permits_(permits), exit_(std::move(exit)), call_(call) {}
  SlowLane(const SlowLane&) = delete;
  SlowLane& operator=(const SlowLane&) = delete;

  // Waits for a place; once inside it costs nothing. What is done inside must end when the token is
  // requested. ETIMEDOUT: no place came free in time; EINTR: the caller was interrupted, or the
  // mount ends.
  Result<std::stop_token> Enter();
  // An error of work inside, as the caller should see it: an ended wait is EINTR.
  Error Explain(Error error) const;

 private:
  using Callback = std::stop_callback<std::function<void()>>;

  Permits& permits_;
  const std::stop_token exit_;
  Call& call_;
  std::stop_source stop_;
  std::optional<Callback> on_exit_;
  std::optional<Callback> on_interrupt_;
  std::optional<Permit> permit_;
};

}  // namespace outboxfs::fs
