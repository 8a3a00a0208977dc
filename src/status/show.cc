#include "status/show.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace outboxfs::status {

std::string ShowSize(uint64_t bytes) {
  constexpr std::array<const char*, 6> kNames = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  size_t power = 0;
  double value = static_cast<double>(bytes);
  while (value >= 1024 && power + 1 < kNames.size()) {
    value /= 1024;
    ++power;
  }
  return fmt::format("{:.{}f} {}", value, power == 0 ? 0 : 1, kNames.at(power));
}

std::string ShowDuration(std::chrono::nanoseconds duration) {
  const int64_t milliseconds = std::max<int64_t>(0, duration.count() / 1'000'000);
  if (milliseconds < 1000) return fmt::format("{}ms", milliseconds);
  const int64_t seconds = milliseconds / 1000;
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{:02}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h{:02}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{:02}h", seconds / 86400, seconds / 3600 % 24);
}

std::string ShowPath(const std::string& path) {
  std::string shown;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\n') {
      shown += "\\n";
    } else if (byte < 0x20 || byte == 0x7f) {
      shown += fmt::format("\\x{:02x}", byte);
    } else {
      shown += c;
    }
  }
  return shown;
}

}  // namespace outboxfs::status
