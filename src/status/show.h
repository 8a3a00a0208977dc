// Figures and names as people read them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace outboxfs::status {

// "1.5 MiB", "17 B".
std::string ShowSize(uint64_t bytes);
// "1h30m", "12s", "250ms"; at most two units, never negative.
std::string ShowDuration(std::chrono::nanoseconds duration);
// A name for one line of a terminal: control characters as "\n" or "\x1b".
std::string ShowPath(const std::string& path);

}  // namespace outboxfs::status
