#include "cli/leaving.h"

#include <algorithm>
#include <utility>

#include "common/thread.h"

namespace outboxfs::cli {

using std::chrono::nanoseconds;

namespace {
// "off" means for ever, which no clock can add to now.
constexpr nanoseconds kLongest = std::chrono::hours(24 * 365);
}  // namespace

Leaving::Leaving(LeavingSteps steps, nanoseconds default_timeout, const Clock& clock)
    : steps_(std::move(steps)), default_timeout_(default_timeout), clock_(clock) {
  thread_ = StartThread("leaving", [this](const std::stop_token& stop) { Run(stop); });
}

void Leaving::Begin(std::optional<nanoseconds> timeout) {
  bool again = false;
  {
    MutexLock lock(mu_);
    again = begun_.has_value();
    if (!again) begun_ = timeout.value_or(default_timeout_);
  }
  if (again && timeout == nanoseconds(0)) Hurry();
  changed_.NotifyAll();
}

void Leaving::Hurry() { hurry_.request_stop(); }

bool Leaving::begun() const {
  MutexLock lock(mu_);
  return begun_.has_value();
}

std::optional<status::Summary> Leaving::Await(const std::stop_token& stop) {
  MutexLock lock(mu_);
  while (!left_ && !stop.stop_requested()) changed_.Wait(mu_, stop);
  return left_;
}

nanoseconds Leaving::AwaitBegin(const std::stop_token& stop) {
  MutexLock lock(mu_);
  while (!begun_ && !stop.stop_requested()) changed_.Wait(mu_, stop);
  return begun_.value_or(nanoseconds(0));
}

void Leaving::Run(const std::stop_token& stop) {
  const nanoseconds timeout = AwaitBegin(stop);
  if (stop.stop_requested()) return;
  const std::stop_callback hurry_on_stop(stop, [this] { Hurry(); });
  steps_.refuse_writers();
  if (timeout > nanoseconds(0)) {
    steps_.drain(clock_.Now() + std::min(timeout, kLongest), hurry_.get_token());
  }
  status::Summary left = steps_.look();
  {
    MutexLock lock(mu_);
    left_ = std::move(left);
  }
  changed_.NotifyAll();
  steps_.exit();
}

}  // namespace outboxfs::cli
