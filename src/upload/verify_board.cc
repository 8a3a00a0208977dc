#include "upload/verify_board.h"

#include <algorithm>
#include <utility>

namespace outboxfs::upload {
namespace {

// The first gap is this part of the interval; it doubles while the stream lasts.
constexpr int kFirstGapPart = 8;
// A directory may be listed for at most this part of the time.
constexpr int kMaxShare = 10;

}  // namespace

std::optional<SteadyTime> VerifyBoard::Directory::Due() const {
  if (out || waiting.empty()) return std::nullopt;
  const auto first = std::min_element(waiting.begin(), waiting.end(),
                                      [](auto& a, auto& b) { return a.second < b.second; });
  return std::max(first->second, begun + gap);
}

void VerifyBoard::Add(const std::string& dir, RunKey key, SteadyTime not_before) {
  Directory& state = directories_[dir];
  state.waiting[key] = not_before;
  state.earliest = std::min(state.earliest, not_before);
}

std::vector<VerifyBoard::Batch> VerifyBoard::TakeDue(SteadyTime now) {
  std::vector<std::pair<SteadyTime, decltype(directories_)::iterator>> due;
  for (auto it = directories_.begin(); it != directories_.end();) {
    const Directory& dir = it->second;
    if (const auto when = dir.Due(); when && *when <= now) due.emplace_back(*when, it);
    const bool forgotten = !dir.out && dir.waiting.empty() && now - dir.begun > 2 * interval_;
    it = forgotten ? directories_.erase(it) : std::next(it);
  }
  std::stable_sort(due.begin(), due.end(), [](auto& a, auto& b) { return a.first < b.first; });
  std::vector<Batch> batches;
  for (const auto& [when, it] : due) {
    if (now < next_) break;
    next_ = now + gap_;
    batches.push_back(Take(it->first, it->second, now));
  }
  return batches;
}

VerifyBoard::Batch VerifyBoard::Take(const std::string& name, Directory& dir,
                                     SteadyTime now) const {
  Batch batch{name, {}};
  for (const auto& [key, not_before] : dir.waiting) {
    if (not_before <= now) batch.keys.push_back(key);
  }
  for (const RunKey key : batch.keys) dir.waiting.erase(key);
  dir.earliest = SteadyTime::max();
  for (const auto& [key, not_before] : dir.waiting) {
    dir.earliest = std::min(dir.earliest, not_before);
  }
  const bool steady = now - dir.begun <= 2 * interval_;
  dir.gap = steady ? std::min(dir.gap * 2, interval_) : interval_ / kFirstGapPart;
  dir.begun = now;
  dir.out = true;
  return batch;
}

void VerifyBoard::Done(const std::string& dir, std::chrono::nanoseconds took) {
  Directory& state = directories_[dir];
  state.out = false;
  state.gap = std::max(state.gap, took * kMaxShare);
}

std::optional<SteadyTime> VerifyBoard::NextDue() const {
  std::optional<SteadyTime> next;
  for (const auto& [name, dir] : directories_) {
    const std::optional<SteadyTime> due = dir.Due();
    if (due && (!next || *due < *next)) next = due;
  }
  return next ? std::max(*next, next_) : next;
}

}  // namespace outboxfs::upload
