// When an item may go, and what a failure means. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cache/item.h"
#include "common/error.h"
#include "remote/upload_api.h"
#include "upload/uploader.h"

namespace outboxfs::upload {

// Files above this size may not take the last transfer place, so that small ones always move.
inline constexpr uint64_t kSmallFile = 64 << 20;

bool IsHeldName(std::string_view name, const std::vector<std::string>& patterns);

// When a waiting item may start, as a pause from now, and why it waits until then.
struct Due {
  std::chrono::nanoseconds pause{0};
  Phase phase = Phase::kQueued;
};
struct Haste {
  bool no_quiet_time = false;  // drain
  bool no_hold = false;        // Hurry
  bool no_backoff = false;     // Hurry, or the server is back
};
Due DueTime(const cache::Item& item, int64_t wall_ns, const UploadOptions& options,
            const Haste& haste);

// Doubles from `first` to `max` with the number of failures so far (0 for the first); the last
// quarter is chance. `chance` is in [0, 1).
std::chrono::nanoseconds Backoff(int failures, std::chrono::nanoseconds first,
                                 std::chrono::nanoseconds max, double chance);
// A thread-safe source of `chance`.
double Chance();

// Finish and Skipped; to be verified.
bool IsSuccess(remote::UploadStatus status);
// What a terminal status that is no success means, in the server's words. `path`: of the upload; in
// the words it means nothing.
Error FromStatus(const remote::StatusChange& change, std::string_view path);
// Quota, throttling, account and plan come through as text only (docs/PROTOCOL.md, rule 11): they
// concern the whole queue.
bool ConcernsEverything(std::string_view text);
// The server could not be reached, or a call broke off: such items go again as soon as it is back.
// What the server itself reports as failed is EREMOTEIO.
bool IsConnectionError(int code);

}  // namespace outboxfs::upload
