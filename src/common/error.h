// The one error type of the program: what failed in words, the errno that a FUSE caller gets,
// and what the scheduler should do about it. Built outside-in: each room adds its context in
// front ("upload /a/b: StartRemoteUpload: deadline exceeded").
#pragma once

#include <string>
#include <string_view>

namespace outboxfs {

// What a failed piece of remote work should do next.
enum class Retry {
  kBackoff,   // transient: this item tries again later, with growing pauses
  kPauseAll,  // provider-wide (quota, throttling, account, token): the whole queue waits
  kPark,      // permanent for this item: keep the bytes, show the reason, wait for a person
};

std::string_view ToString(Retry retry);

struct Error {
  int code = 0;  // errno value, > 0
  Retry retry = Retry::kBackoff;
  std::string text;

  // A failed system call: `what` plus strerror(code).
  static Error FromErrno(int code, std::string_view what);
  // Adds context in front of the text.
  Error& Prepend(std::string_view context);
};

}  // namespace outboxfs
