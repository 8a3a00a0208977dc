#include "server/intervals.h"

#include <algorithm>

namespace outboxfs::server {

void Intervals::Add(ByteRange range) {
  if (range.empty()) return;
  auto next = runs_.upper_bound(range.begin);
  if (next != runs_.begin()) {
    const auto before = std::prev(next);
    if (before->second >= range.begin) next = before;
  }
  while (next != runs_.end() && next->first <= range.end) {
    range.begin = std::min(range.begin, next->first);
    range.end = std::max(range.end, next->second);
    total_ -= next->second - next->first;
    next = runs_.erase(next);
  }
  runs_[range.begin] = range.end;
  total_ += range.size();
}

bool Intervals::Overlaps(ByteRange range) const {
  if (range.empty()) return false;
  if (RunEnd(range.begin) > range.begin) return true;
  const auto next = runs_.lower_bound(range.begin);
  return next != runs_.end() && next->first < range.end;
}

uint64_t Intervals::RunEnd(uint64_t offset) const {
  const auto next = runs_.upper_bound(offset);
  if (next == runs_.begin()) return offset;
  return std::max(offset, std::prev(next)->second);
}

std::vector<ByteRange> Intervals::ranges() const {
  std::vector<ByteRange> list;
  for (const auto& [begin, end] : runs_) list.push_back({begin, end});
  return list;
}

std::vector<ByteRange> Intervals::Missing(uint64_t size) const {
  std::vector<ByteRange> list;
  uint64_t at = 0;
  for (const auto& [begin, end] : runs_) {
    if (begin > at) list.push_back({at, begin});
    at = end;
  }
  if (at < size) list.push_back({at, size});
  return list;
}

}  // namespace outboxfs::server
