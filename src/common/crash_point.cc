#include "common/crash_point.h"

#ifdef OUTBOXFS_CRASH_POINTS
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdlib>
#include <string>

namespace outboxfs {
namespace {

struct Plan {
  Plan() {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
    const char* const text = std::getenv("OUTBOXFS_CRASH");
    if (text == nullptr) return;
    place = text;
    const size_t colon = place.rfind(':');
    if (colon == std::string::npos) return;
    left = std::strtoll(place.c_str() + colon + 1, nullptr, 10);
    place.resize(colon);
  }
  std::string place;
  std::atomic<int64_t> left{1};
};

bool IsAt(std::string_view place, std::string_view name, std::string_view detail) {
  if (!place.starts_with(name)) return false;
  place.remove_prefix(name.size());
  if (detail.empty()) return place.empty();
  return place.starts_with(' ') && place.substr(1) == detail;
}

}  // namespace

void CrashPoint(std::string_view name, std::string_view detail) {
  static Plan plan;
  if (plan.place.empty() || !IsAt(plan.place, name, detail)) return;
  if (--plan.left == 0) ::kill(::getpid(), SIGKILL);
}

}  // namespace outboxfs
#endif
