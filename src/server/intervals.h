// A set of bytes of a file as disjoint, non-touching ranges. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "common/range.h"

namespace outboxfs::server {

class Intervals {
 public:
  void Add(ByteRange range);
  bool Covers(ByteRange range) const { return range.empty() || RunEnd(range.begin) >= range.end; }
  bool Overlaps(ByteRange range) const;
  // End of the run that holds the byte at `offset`; `offset` itself when that byte is missing.
  uint64_t RunEnd(uint64_t offset) const;
  uint64_t total() const { return total_; }
  std::vector<ByteRange> ranges() const;
  // What of [0, size) is not in the set.
  std::vector<ByteRange> Missing(uint64_t size) const;

 private:
  std::map<uint64_t, uint64_t> runs_;  // begin -> end
  uint64_t total_ = 0;
};

}  // namespace outboxfs::server
