#include "server/read_waiters.h"

#include <algorithm>
#include <limits>

namespace outboxfs::server {

bool ReadWaiters::Fits(const ReadAsk& ask, ByteRange piece, bool lazy) {
  return ask.lazy == lazy && ask.range.Contains(piece) && piece.empty() == ask.range.empty();
}

void ReadWaiters::Ask(const ReadAsk& ask, uint64_t channel_serial) {
  for (Waiter& waiter : waiting_) {
    if (waiter.ask == ask) {
      ++waiter.asked;
      waiter.serial = channel_serial;
      return;
    }
  }
  waiting_.push_back({ask, channel_serial, 1, {}});
}

bool ReadWaiters::Waits(ByteRange piece, bool lazy) const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [&](const Waiter& waiter) { return Fits(waiter.ask, piece, lazy); }) ||
         std::any_of(answered_twice_asked_.begin(), answered_twice_asked_.end(),
                     [&](const ReadAsk& ask) { return Fits(ask, piece, lazy); });
}

void ReadWaiters::Fill(ByteRange piece, bool lazy) {
  auto waiter = std::find_if(waiting_.begin(), waiting_.end(), [&](const Waiter& candidate) {
    return Fits(candidate.ask, piece, lazy) && (piece.empty() || !candidate.covered.Covers(piece));
  });
  if (waiter == waiting_.end()) return;
  waiter->covered.Add(piece);
  if (!waiter->covered.Covers(waiter->ask.range)) return;
  if (waiter->asked > 1) answered_twice_asked_.push_back(waiter->ask);
  waiting_.erase(waiter);
}

std::vector<ReadAsk> ReadWaiters::TakeUnsent(uint64_t serial, bool never_sent_only) {
  std::vector<ReadAsk> list;
  for (Waiter& waiter : waiting_) {
    if (waiter.serial >= serial || (never_sent_only && waiter.serial != 0)) continue;
    waiter.serial = serial;
    list.push_back(waiter.ask);
  }
  return list;
}

std::vector<ReadAsk> ReadWaiters::all() const {
  std::vector<ReadAsk> list;
  for (const Waiter& waiter : waiting_) list.push_back(waiter.ask);
  return list;
}

void ReadWaiters::Resent(const ReadAsk& ask, uint64_t channel_serial) {
  for (Waiter& waiter : waiting_) {
    if (waiter.ask == ask) waiter.serial = channel_serial;
  }
}

}  // namespace outboxfs::server
