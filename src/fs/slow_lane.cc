#include "fs/slow_lane.h"

#include <cerrno>

namespace outboxfs::fs {
namespace {

constexpr std::chrono::seconds kLongestWait{20};

}  // namespace

Result<std::stop_token> SlowLane::Enter() {
  if (permit_) return stop_.get_token();
  if (!on_exit_) {
    on_exit_.emplace(lane_.exit.get_token(), [this] { stop_.request_stop(); });
    on_interrupt_.emplace(call_.Interrupted(), [this] { stop_.request_stop(); });
  }
  if (stop_.stop_requested()) return FailErrno(EINTR, "waiting for the remote");
  permit_ = lane_.places.TryTake();
  if (permit_) return stop_.get_token();
  const auto seat = lane_.waiting.TryTake();
  if (!seat) return Fail(ETIMEDOUT, "too many operations are waiting for the remote");
  permit_ = lane_.places.Take(1, stop_.get_token(), CondVar::Clock::now() + kLongestWait);
  if (permit_) return stop_.get_token();
  if (stop_.stop_requested()) return FailErrno(EINTR, "waiting for the remote");
  return Fail(ETIMEDOUT, "too many operations are waiting for the remote");
}

Error SlowLane::Explain(Error error) const {
  if (stop_.stop_requested() || error.code == ECANCELED) error.code = EINTR;
  return error;
}

}  // namespace outboxfs::fs
