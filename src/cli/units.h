// Sizes, durations, numbers and permissions as users of rclone write them. Pure.
// Each function fails with EINVAL and a text that shows what is expected.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <string>

#include "common/result.h"

namespace outboxfs::cli {

// "16M", "1.5G", "512Ki", "100B"; a bare number counts KiB, as in rclone. "off" and "0" are 0.
Result<uint64_t> ParseSize(const std::string& text);
// "500ms", "1s", "1h30m", "2d"; a bare number counts seconds. "off" is the longest duration.
Result<std::chrono::nanoseconds> ParseDuration(const std::string& text);
// A whole decimal number from `least` to `most`.
Result<int64_t> ParseNumber(const std::string& text, int64_t least, int64_t most);
// Octal permissions: "022", "0644".
Result<mode_t> ParseMode(const std::string& text);
// true, yes, on, 1 and their opposites.
Result<bool> ParseSwitch(const std::string& text);

}  // namespace outboxfs::cli
