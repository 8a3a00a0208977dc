#include "cli/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

namespace outboxfs::cli {
namespace {

using std::chrono::nanoseconds;

struct Unit {
  std::string_view name;
  double factor;
};

constexpr double kSecond = 1e9;
// Longer names first: "ms" before "m".
constexpr std::array<Unit, 9> kTimeUnits = {{{"ms", 1e6},
                                             {"us", 1e3},
                                             {"ns", 1},
                                             {"s", kSecond},
                                             {"m", 60 * kSecond},
                                             {"h", 3600 * kSecond},
                                             {"d", 86400 * kSecond},
                                             {"w", 7 * 86400 * kSecond},
                                             {"y", 365 * 86400 * kSecond}}};

// Takes a non-negative decimal number off the front of `text`.
bool TakeNumber(std::string_view& text, double& value) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  if (digits == 0) return false;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + digits, value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  return true;
}

// The factor of a size suffix; negative when there is no such suffix.
double SizeFactor(std::string_view suffix) {
  if (suffix.empty()) return 1024;
  if (suffix == "B" || suffix == "b") return 1;
  constexpr std::string_view kPrefixes = "KMGTP";
  const size_t power = kPrefixes.find(suffix.front() == 'k' ? 'K' : suffix.front());
  const std::string_view rest = suffix.substr(1);
  if (power == std::string_view::npos || !(rest.empty() || rest == "i" || rest == "iB")) return -1;
  return std::pow(1024.0, static_cast<double>(power) + 1);
}

tl::unexpected<Error> BadSize(const std::string& text) {
  return Fail(EINVAL, fmt::format("'{}' is not a size (examples: 512K, 16M, 1G, off)", text));
}

tl::unexpected<Error> BadDuration(const std::string& text) {
  return Fail(EINVAL, fmt::format("'{}' is not a duration (examples: 500ms, 1s, 5m, 1h30m)", text));
}

}  // namespace

Result<uint64_t> ParseSize(const std::string& text) {
  if (text == "off") return 0;
  std::string_view rest = text;
  double number = 0;
  if (!TakeNumber(rest, number)) return BadSize(text);
  const double factor = SizeFactor(rest);
  if (factor < 0 || number * factor > 1e18) return BadSize(text);
  return static_cast<uint64_t>(number * factor);
}

Result<nanoseconds> ParseDuration(const std::string& text) {
  if (text == "off") return nanoseconds::max();
  std::string_view rest = text;
  double total = 0;
  double number = 0;
  if (!TakeNumber(rest, number)) return BadDuration(text);
  if (rest.empty()) {
    total = number * kSecond;
  } else {
    rest = text;
    while (!rest.empty()) {
      if (!TakeNumber(rest, number)) return BadDuration(text);
      const Unit* unit = nullptr;
      for (const Unit& candidate : kTimeUnits) {
        if (unit == nullptr && rest.starts_with(candidate.name)) unit = &candidate;
      }
      if (unit == nullptr) return BadDuration(text);
      total += number * unit->factor;
      rest.remove_prefix(unit->name.size());
    }
  }
  if (total > 9e18) return BadDuration(text);
  return nanoseconds(static_cast<int64_t>(total));
}

Result<int64_t> ParseNumber(const std::string& text, int64_t least, int64_t most) {
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < least || value > most) {
    return Fail(EINVAL, fmt::format("'{}' is not a number from {} to {}", text, least, most));
  }
  return value;
}

Result<mode_t> ParseMode(const std::string& text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (error != std::errc() || end != text.data() + text.size() || value > 07777) {
    return Fail(EINVAL, fmt::format("'{}' are not octal permissions (example: 0644)", text));
  }
  return static_cast<mode_t>(value);
}

Result<bool> ParseSwitch(const std::string& text) {
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"false", "no", "off", "0"}) {
    if (text == no) return false;
  }
  return Fail(EINVAL, fmt::format("'{}' is neither true nor false", text));
}

}  // namespace outboxfs::cli
