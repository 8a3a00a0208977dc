#include "fs/interrupt.h"

#include <charconv>
#include <csignal>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

namespace outboxfs::fs {
namespace {

constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }

// Their default is not to end the process.
constexpr uint64_t kHarmless = Bit(SIGCHLD) | Bit(SIGCONT) | Bit(SIGURG) | Bit(SIGWINCH) |
                               Bit(SIGSTOP) | Bit(SIGTSTP) | Bit(SIGTTIN) | Bit(SIGTTOU);
constexpr uint64_t kMeantToEnd = Bit(SIGHUP) | Bit(SIGINT) | Bit(SIGQUIT) | Bit(SIGTERM);

std::optional<uint64_t> MaskOf(std::string_view status, std::string_view key) {
  const size_t at = status.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view rest = status.substr(at + key.size());
  uint64_t mask = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), mask, 16);
  return parsed.ec == std::errc() ? std::optional(mask) : std::nullopt;
}

}  // namespace

bool GivesUp(std::string_view process_status) {
  const auto own = MaskOf(process_status, "\nSigPnd:\t");
  const auto shared = MaskOf(process_status, "\nShdPnd:\t");
  const auto blocked = MaskOf(process_status, "\nSigBlk:\t");
  const auto ignored = MaskOf(process_status, "\nSigIgn:\t");
  const auto caught = MaskOf(process_status, "\nSigCgt:\t");
  if (!own || !shared || !blocked || !ignored || !caught) return true;
  const uint64_t waiting = (*own | *shared) & ~*blocked & ~*ignored;
  return (waiting & ~*caught & ~kHarmless) != 0 || (waiting & kMeantToEnd) != 0;
}

bool GivesUp(pid_t caller) {
  std::ifstream file("/proc/" + std::to_string(caller) + "/status");
  return GivesUp(std::string(std::istreambuf_iterator<char>(file), {}));
}

}  // namespace outboxfs::fs
