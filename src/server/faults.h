// Injected failures and delays per RPC, and counts of what was called. Every handler passes here
// first, so any status code can be had from any call.
//
// Thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "common/result.h"
#include "server/knobs.h"

namespace outboxfs::server {

// What the server did so far.
struct Counters {
  std::map<std::string, uint64_t> calls;  // by RPC name, refused and failed ones included
  uint64_t bytes_received = 0;            // payload of accepted read answers
  uint64_t bytes_downloaded = 0;          // sent by the HTTP side
  uint64_t downloads = 0;                 // HTTP requests
  uint64_t reads_asked = 0;
  uint64_t hashes_asked = 0;
  uint64_t channels_opened = 0;
  uint64_t uploads_finished = 0;  // terminal status Finish or Skipped
  uint64_t rapid_uploads = 0;
  uint64_t uploads_failed = 0;  // any other terminal status
};

// When an injected failure takes effect: instead of the work, or after it was done (the answer is
// lost: "failed" calls may have worked).
enum class FailWhen { kInstead, kAfter };

class Faults {
 public:
  // Name of every RPC, for the parameters called `rpc`.
  static constexpr const char* kAnyRpc = "*";

  // The next `count` calls of `rpc` fail with `grpc_code` and `text`. grpc_code 0 on a namespace
  // call: it answers success=false with `text`, the second level of failure.
  void FailNext(const std::string& rpc, int count, int grpc_code, const std::string& text,
                FailWhen when = FailWhen::kInstead);
  // After `calls` further calls of any RPC nothing gets through until Clear: UNAVAILABLE. The first
  // one that fails may have been carried out (`when`).
  void CutAfter(int calls, FailWhen when);
  // Whether a call has failed by it.
  bool is_cut() const;
  // From now on every answer of `rpc` is held back for `delay`; zero ends it.
  void Delay(const std::string& rpc, Millis delay);
  // Removes all failures and delays.
  void Clear();

  struct Failure {
    int grpc_code = 0;
    std::string text;
    FailWhen when = FailWhen::kInstead;
  };
  // For handlers: counts the call, and tells whether it is to fail.
  struct Verdict {
    Millis delay{0};
    bool fail = false;
    Failure failure;
  };
  Verdict OnCall(const std::string& rpc);

  // Adds to one counter: `counters.Count(&Counters::reads_asked)`.
  void Count(uint64_t Counters::*counter, uint64_t amount = 1);
  Counters counters() const;

 private:
  struct Planned {
    std::string rpc;
    int left = 0;
    Failure failure;
  };

  mutable Mutex mu_;
  Counters counters_ ABSL_GUARDED_BY(mu_);
  std::vector<Planned> planned_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Millis> delays_ ABSL_GUARDED_BY(mu_);
  std::optional<int> until_cut_ ABSL_GUARDED_BY(mu_);
  FailWhen cut_when_ ABSL_GUARDED_BY(mu_) = FailWhen::kInstead;
  bool cut_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace outboxfs::server
