// The bearer token: a given one, which is read again from its file once the server refuses it, or
// one that is fetched with user and password and renewed. There is no refresh call in the protocol.
// Thread-safe.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/mutex.h"
#include "common/result.h"

namespace outboxfs::remote {

struct Token {
  std::string text;
  std::optional<int64_t> expires_wall_ns;  // since 1970 UTC, by the server's clock
};

class TokenSource {
 public:
  // Called without a lock, by one thread at a time.
  using Fetch = std::function<Result<Token>(const std::stop_token&)>;

  // Where a given token came from, once more. Called without a lock; short.
  using Reread = std::function<Result<std::string>()>;

  // An API token, or "" for calls without authorization.
  explicit TokenSource(std::string given, Reread reread = {});
  // `clock` must outlive the source.
  TokenSource(Fetch fetch, const Clock& clock);

  // The current token; fetches when there is none or it is about to expire. A refused password
  // (EACCES) is remembered for a while, so that nobody's account gets locked by our repetitions.
  // Those who wait for a fetch of somebody else share its result, a failure too.
  Result<std::string> Get(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);
  // The server did not accept `token`. True: Get may bring a better one.
  bool Refused(const std::string& token) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool RefusedGiven(const std::string& token) ABSL_LOCKS_EXCLUDED(mu_);
  bool UsableLocked(SteadyTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TakeLocked(Result<Token> fetched) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Fetch fetch_;
  const Reread reread_;
  const Clock& clock_;
  Mutex mu_;
  CondVar fetched_;
  std::string text_ ABSL_GUARDED_BY(mu_);
  SteadyTime no_renewal_before_ ABSL_GUARDED_BY(mu_){};
  SteadyTime renew_at_ ABSL_GUARDED_BY(mu_){};
  SteadyTime expires_at_ ABSL_GUARDED_BY(mu_){};
  SteadyTime not_again_before_ ABSL_GUARDED_BY(mu_){};
  std::optional<Error> error_ ABSL_GUARDED_BY(mu_);
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t fetches_ ABSL_GUARDED_BY(mu_) = 0;  // that have ended
};

}  // namespace outboxfs::remote
