#include "cache/item.h"

#include <array>

namespace outboxfs::cache {
namespace {

constexpr unsigned Bit(State state) { return 1U << static_cast<unsigned>(state); }

// Where a sealed generation may stand on its way to the remote.
constexpr unsigned kOnTheWay = Bit(State::kWaiting) | Bit(State::kUploading) |
                               Bit(State::kVerifying) | Bit(State::kPlacing) | Bit(State::kParked) |
                               Bit(State::kClean);
// Left by every item: written again, changed behind our back, deleted.
constexpr unsigned kAlways = Bit(State::kOpen) | Bit(State::kSealing) | Bit(State::kRemoving);

constexpr unsigned Successors(State from) {
  switch (from) {
    case State::kOpen:  // closed; reverted to what it was; found at start
      return Bit(State::kSealing) | Bit(State::kInterrupted) | Bit(State::kWaiting) |
             Bit(State::kParked) | Bit(State::kClean) | Bit(State::kRemoving) |
             Bit(State::kHydrating);
    case State::kInterrupted:
      return kAlways | Bit(State::kParked) | Bit(State::kHydrating);
    case State::kSealing:  // kClean: same bytes as the remote has; kInterrupted: power was cut
      return kAlways | Bit(State::kWaiting) | Bit(State::kClean) | Bit(State::kParked) |
             Bit(State::kInterrupted);
    case State::kWaiting:
    case State::kUploading:
    case State::kVerifying:
    case State::kPlacing:
      return kAlways | kOnTheWay;
    case State::kParked:
      return kAlways | kOnTheWay | Bit(State::kHydrating);
    case State::kClean:
      return kAlways | Bit(State::kParked);
    case State::kRemoving:
      return 0;
    case State::kHydrating:  // kSealing: nothing is missing any more
      return kAlways | Bit(State::kParked) | Bit(State::kInterrupted);
  }
  return 0;
}

}  // namespace

std::string_view ToString(State state) {
  static constexpr std::array<std::string_view, 11> kNames = {
      "open",    "interrupted", "sealing", "waiting",  "uploading", "verifying",
      "placing", "parked",      "clean",   "removing", "hydrating"};
  const auto index = static_cast<size_t>(state);
  return index < kNames.size() ? kNames[index] : "?";
}

bool IsLegal(State from, State to) { return from == to || (Successors(from) & Bit(to)) != 0; }

bool SameVersion(const Identity& a, const Identity& b) {
  if (a.size != b.size) return false;
  bool comparable = false;
  for (const auto& [type, hex] : a.digests) {
    const auto other = b.digests.find(type);
    if (other == b.digests.end()) continue;
    if (other->second != hex) return false;
    comparable = true;
  }
  if (comparable) return true;
  if (!a.id.empty() && !b.id.empty() && a.id != b.id) return false;
  constexpr int64_t kSecond = 1'000'000'000;
  return a.mtime_ns == 0 || b.mtime_ns == 0 || a.mtime_ns / kSecond == b.mtime_ns / kSecond;
}

}  // namespace outboxfs::cache
