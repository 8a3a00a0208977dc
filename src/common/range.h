// Half-open byte ranges [begin, end) with arithmetic that cannot overflow.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

namespace outboxfs {

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;  // >= begin

  uint64_t size() const { return end - begin; }
  bool empty() const { return begin == end; }
  bool Contains(const ByteRange& other) const { return begin <= other.begin && other.end <= end; }
  bool Overlaps(const ByteRange& other) const { return begin < other.end && other.begin < end; }
  ByteRange Intersect(const ByteRange& other) const {
    const uint64_t b = std::max(begin, other.begin);
    return {b, std::max(b, std::min(end, other.end))};
  }
  bool operator==(const ByteRange&) const = default;

  // nullopt when offset + length does not fit 64 bits: such a request never names real bytes.
  static std::optional<ByteRange> FromOffset(uint64_t offset, uint64_t length) {
    if (length > std::numeric_limits<uint64_t>::max() - offset) return std::nullopt;
    return ByteRange{offset, offset + length};
  }
};

}  // namespace outboxfs
