#include "remote/token_source.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/log.h"

namespace outboxfs::remote {
namespace {

using std::chrono::nanoseconds;

constexpr std::chrono::minutes kRenewBefore{5};
constexpr std::chrono::hours kLongest{24 * 365};  // keeps the arithmetic away from its limits
constexpr std::chrono::seconds kRefusedPause{30};
constexpr std::chrono::seconds kRenewalPause{10};  // after a refusal

}  // namespace

TokenSource::TokenSource(std::string given, Reread reread)
    : reread_(std::move(reread)), clock_(RealClock()), text_(std::move(given)) {
  RegisterSecret(text_);
}

TokenSource::TokenSource(Fetch fetch, const Clock& clock)
    : fetch_(std::move(fetch)), clock_(clock) {}

bool TokenSource::UsableLocked(SteadyTime now) const { return !text_.empty() && now < expires_at_; }

Result<std::string> TokenSource::Get(const std::stop_token& stop) {
  MutexLock lock(mu_);
  if (!fetch_) return text_;
  for (;;) {
    const SteadyTime now = clock_.Now();
    if (UsableLocked(now) && now < renew_at_) return text_;
    if (fetching_ || now < not_again_before_) {
      if (UsableLocked(now)) return text_;  // good for some minutes still
      if (!fetching_) return Fail(*error_);
      if (stop.stop_requested()) return Fail(ECANCELED, "GetToken: stopped");
      const uint64_t before = fetches_;
      fetched_.Wait(mu_, stop);
      // Not one after another: a server that swallows everything would cost each its own timeout.
      // Only a fetch that its own caller stopped says nothing about the next.
      const bool failed = fetches_ != before && error_ && error_->code != ECANCELED;
      if (failed && !UsableLocked(clock_.Now())) return Fail(*error_);
      continue;
    }
    fetching_ = true;
    mu_.unlock();
    Result<Token> token = fetch_(stop);
    mu_.lock();
    fetching_ = false;
    ++fetches_;
    fetched_.NotifyAll();
    TakeLocked(std::move(token));
    if (error_ && !UsableLocked(clock_.Now())) return Fail(*error_);
    return text_;
  }
}

void TokenSource::TakeLocked(Result<Token> fetched) {
  const SteadyTime now = clock_.Now();
  if (!fetched) {
    error_ = fetched.error();
    if (error_->code == EACCES) not_again_before_ = now + kRefusedPause;
    return;
  }
  error_.reset();
  text_ = std::move(fetched->text);
  RegisterSecret(text_);
  nanoseconds left = kLongest;
  if (fetched->expires_wall_ns) {
    const int64_t wall = clock_.WallNs();
    // An expiry in the past is a server with another clock: then only a refusal ends the token.
    if (*fetched->expires_wall_ns > wall) {
      left = std::min(left, nanoseconds(*fetched->expires_wall_ns - wall));
    }
  }
  expires_at_ = now + left;
  renew_at_ = expires_at_ - std::min<nanoseconds>(kRenewBefore, left / 2);
}

bool TokenSource::RefusedGiven(const std::string& token) {
  if (!reread_) return false;
  Result<std::string> fresh = reread_();
  if (!fresh) Log::Warning("token: {}", fresh.error().text);
  MutexLock lock(mu_);
  if (text_ != token) return true;
  if (!fresh || *fresh == token) return false;
  text_ = *std::move(fresh);
  RegisterSecret(text_);
  return true;
}

bool TokenSource::Refused(const std::string& token) {
  if (!fetch_) return RefusedGiven(token);
  MutexLock lock(mu_);
  if (text_ != token) return true;  // somebody renewed it meanwhile
  const SteadyTime now = clock_.Now();
  if (now < no_renewal_before_) return false;  // one more will fare no better
  no_renewal_before_ = now + kRenewalPause;
  text_.clear();
  return true;
}

}  // namespace outboxfs::remote
