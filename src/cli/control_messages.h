// What goes over the control socket: one JSON object per line, a request and its reply. Both ends
// are this program; unknown members are ignored, so that versions can differ by a little.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "common/result.h"
#include "status/snapshot.h"

namespace outboxfs::cli {

enum class ControlCommand {
  kStatus,   // -> body
  kSummary,  // of `paths` -> summary
  kRetry,    // `paths`, `accept` -> count
  kUnmount,  // drains, answers when that is over -> summary of what is left; then unmounts
};

enum class StatusFormat { kText, kJson, kMetrics };

struct ControlRequest {
  ControlCommand command = ControlCommand::kStatus;
  StatusFormat format = StatusFormat::kText;
  size_t limit = 0;                                       // lines of status; 0 all
  std::vector<std::string> paths;                         // mount paths; none means everything
  bool accept = false;                                    // kRetry: only what is unproven
  std::optional<std::chrono::nanoseconds> drain_timeout;  // kUnmount; else what mount was told
};

struct ControlReply {
  std::string error;  // empty: it worked
  std::string body;
  status::Summary summary;
  uint64_t count = 0;
};

// Longest request that the daemon reads. A reply may be as long as the list of files makes it.
inline constexpr size_t kMaxRequest = 256 << 10;
inline constexpr size_t kMaxReply = 256 << 20;

// One line each, without its line end.
std::string Encode(const ControlRequest& request);
std::string Encode(const ControlReply& reply);
// EPROTO for anything that is not such a message.
Result<ControlRequest> DecodeRequest(const std::string& line);
Result<ControlReply> DecodeReply(const std::string& line);

}  // namespace outboxfs::cli
