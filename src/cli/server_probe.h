// One short look at the server before mounting: a refused token or a missing folder is said at once
// instead of in the log of a mount that can do nothing.
#pragma once

#include <chrono>
#include <string>

#include "remote/namespace_api.h"

namespace outboxfs::cli {

inline constexpr std::chrono::seconds kProbeTime{2};

struct ProbeResult {
  Status refused;           // an error: the server answered, and mounting makes no sense
  std::string unreachable;  // not empty: no answer, and why; mount all the same
};

// Returns after `longest` at the latest (plus what the api needs to obey a stop).
ProbeResult ProbeServer(remote::NamespaceApi& names, const std::string& folder,
                        std::chrono::milliseconds longest);

}  // namespace outboxfs::cli
