// The reads of one upload that are asked and not yet answered. An answer is a piece: offset, length
// and lazy flag; it belongs to a request with the same flag that contains it, and several pieces
// may fill one request. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "server/intervals.h"
#include "server/read_plan.h"

namespace outboxfs::server {

class ReadWaiters {
 public:
  // The same request asked twice is answered by one answer; a second answer is then accepted too.
  void Ask(const ReadAsk& ask, uint64_t channel_serial);
  // Whether somebody waits for this piece.
  bool Waits(ByteRange piece, bool lazy) const;
  // The piece has been stored.
  void Fill(ByteRange piece, bool lazy);
  bool empty() const { return waiting_.empty(); }
  size_t size() const { return waiting_.size(); }
  // Requests that were last sent before channel `serial`, marked as sent on it now.
  std::vector<ReadAsk> TakeUnsent(uint64_t serial, bool never_sent_only);
  std::vector<ReadAsk> all() const;
  // `ask`, which is waiting, was sent once more.
  void Resent(const ReadAsk& ask, uint64_t channel_serial);

 private:
  struct Waiter {
    ReadAsk ask;
    uint64_t serial = 0;  // newest channel when it was sent; 0: never sent
    uint32_t asked = 1;
    Intervals covered;
  };

  static bool Fits(const ReadAsk& ask, ByteRange piece, bool lazy);

  std::vector<Waiter> waiting_;
  std::vector<ReadAsk> answered_twice_asked_;
};

}  // namespace outboxfs::server
