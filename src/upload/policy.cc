#include "upload/policy.h"

#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <random>

#include "remote/server_text.h"
#include "upload/paths.h"

namespace outboxfs::upload {
namespace {

using remote::UploadStatus;
using std::chrono::nanoseconds;

// `at_ns + pause` seen from `now_ns`, at most `pause` away: a wall clock that was set back may not
// make a file wait for longer than its pause.
nanoseconds Rest(int64_t at_ns, nanoseconds pause, int64_t now_ns) {
  return std::clamp(nanoseconds(at_ns - now_ns) + pause, nanoseconds(0), pause);
}

std::string Without(std::string_view text, std::string_view part) {
  std::string out(text);
  if (part.empty()) return out;
  for (size_t at = 0; (at = out.find(part, at)) != std::string::npos;) {
    out.replace(at, part.size(), " ");
  }
  return out;
}

}  // namespace

const std::vector<std::string>& DefaultHoldPatterns() {
  static const std::vector<std::string> patterns = {
      // rsync's ".name.XXXXXX"
      ".?*.[a-zA-Z0-9][a-zA-Z0-9][a-zA-Z0-9][a-zA-Z0-9][a-zA-Z0-9][a-zA-Z0-9]",
      "*.part",
      "*.partial",
      "*.tmp",
      "*~",
      ".goutputstream-*",
      "*.crdownload",
      "*.!qB",
      ".~lock.*#",
      ".nfs*",
      ".fuse_hidden*",
      ".*.sw?",
  };
  return patterns;
}

std::string_view ToString(Phase phase) {
  switch (phase) {
    case Phase::kSettling:
      return "settling";
    case Phase::kHeld:
      return "held";
    case Phase::kQueued:
      return "queued";
    case Phase::kStarting:
      return "starting";
    case Phase::kServing:
      return "serving";
    case Phase::kPaused:
      return "paused";
    case Phase::kVerifying:
      return "verifying";
    case Phase::kPlacing:
      return "placing";
    case Phase::kBackoff:
      return "backoff";
  }
  return "?";
}

bool IsHeldName(std::string_view name, const std::vector<std::string>& patterns) {
  const std::string text(name);
  return std::any_of(patterns.begin(), patterns.end(), [&text](const std::string& pattern) {
    return fnmatch(pattern.c_str(), text.c_str(), 0) == 0;
  });
}

Due DueTime(const cache::Item& item, int64_t wall_ns, const UploadOptions& options,
            const Haste& haste) {
  Due due;
  const auto wait = [&due](nanoseconds pause, Phase phase) {
    if (pause > due.pause) due = Due{pause, phase};
  };
  if (!haste.no_backoff && item.not_before_ns > wall_ns) {
    wait(std::min(nanoseconds(item.not_before_ns - wall_ns), options.backoff_max), Phase::kBackoff);
  }
  // After a mkdir nothing follows that would be worth waiting for.
  if (item.kind == cache::ItemKind::kDir) return due;
  if (!haste.no_quiet_time) {
    wait(Rest(std::max(item.sealed_ns, item.changed_ns), options.write_back, wall_ns),
         Phase::kSettling);
  }
  if (!haste.no_hold && IsHeldName(NameOf(item.path), options.hold_patterns)) {
    wait(Rest(item.sealed_ns, options.temp_hold, wall_ns), Phase::kHeld);
  }
  return due;
}

nanoseconds Backoff(int failures, nanoseconds first, nanoseconds max, double chance) {
  nanoseconds pause = first;
  for (int i = 0; i < failures && pause < max; ++i) pause *= 2;
  pause = std::min(pause, max);
  return pause - std::chrono::duration_cast<nanoseconds>(pause * 0.25 * chance);
}

double Chance() {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(generator);
}

bool IsSuccess(UploadStatus status) {
  return status == UploadStatus::kFinish || status == UploadStatus::kSkipped;
}

Error FromStatus(const remote::StatusChange& change, std::string_view path) {
  std::string text = "the server says " + remote::ToString(change.status);
  if (!change.message.empty()) text += ": " + change.message;
  const std::string words = Without(Without(change.message, path), NameOf(path));
  if (ConcernsEverything(words)) return Error{EDQUOT, Retry::kPauseAll, std::move(text)};
  const Retry retry = change.status == UploadStatus::kError ? Retry::kBackoff : Retry::kPark;
  return Error{EREMOTEIO, retry, std::move(text)};
}

bool ConcernsEverything(std::string_view text) {
  return remote::FromServerText(text, "upload").retry == Retry::kPauseAll;
}

bool IsConnectionError(int code) {
  static constexpr std::array kCodes = {EIO,         ECONNREFUSED, ECONNRESET, EHOSTUNREACH,
                                        ENETUNREACH, ENETDOWN,     ENOTCONN,   ETIMEDOUT,
                                        EPIPE,       ECONNABORTED, EHOSTDOWN};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

}  // namespace outboxfs::upload
