#include "cache/extent_map.h"

#include <iterator>
#include <limits>

namespace outboxfs::cache {

ExtentMap::Pieces::const_iterator ExtentMap::FirstEndingAfter(uint64_t offset) const {
  auto it = extents_.upper_bound(offset);
  if (it == extents_.begin()) return it;
  const auto before = std::prev(it);
  return before->second.end > offset ? before : it;
}

void ExtentMap::Erase(const ByteRange& range) {
  if (range.empty()) return;
  auto it = FirstEndingAfter(range.begin);
  while (it != extents_.end() && it->first < range.end) {
    const ByteRange old{it->first, it->second.end};
    const ExtentKind kind = it->second.kind;
    it = extents_.erase(it);
    if (old.begin < range.begin) extents_.emplace(old.begin, Piece{range.begin, kind});
    if (old.end > range.end) {
      extents_.emplace(range.end, Piece{old.end, kind});
      return;
    }
  }
}

void ExtentMap::MergeWithNeighbours(Pieces::iterator piece) {
  const auto next = std::next(piece);
  if (next != extents_.end() && next->first == piece->second.end &&
      next->second.kind == piece->second.kind) {
    piece->second.end = next->second.end;
    extents_.erase(next);
  }
  if (piece == extents_.begin()) return;
  const auto before = std::prev(piece);
  if (before->second.end == piece->first && before->second.kind == piece->second.kind) {
    before->second.end = piece->second.end;
    extents_.erase(piece);
  }
}

void ExtentMap::Set(const ByteRange& range, ExtentKind kind) {
  if (range.empty()) return;
  Erase(range);
  MergeWithNeighbours(extents_.emplace(range.begin, Piece{range.end, kind}).first);
}

void ExtentMap::Fill(const ByteRange& range, ExtentKind kind) {
  for (const ByteRange& gap : Missing(range)) Set(gap, kind);
}

bool ExtentMap::Covers(const ByteRange& range) const {
  uint64_t at = range.begin;
  for (auto it = FirstEndingAfter(at); at < range.end; ++it) {
    if (it == extents_.end() || it->first > at) return false;
    at = it->second.end;
  }
  return true;
}

std::vector<ByteRange> ExtentMap::Missing(const ByteRange& range) const {
  std::vector<ByteRange> gaps;
  uint64_t at = range.begin;
  for (auto it = FirstEndingAfter(at); it != extents_.end() && it->first < range.end; ++it) {
    if (it->first > at) gaps.push_back({at, it->first});
    at = it->second.end;
  }
  if (at < range.end) gaps.push_back({at, range.end});
  return gaps;
}

std::vector<Extent> ExtentMap::Present(const ByteRange& range) const {
  std::vector<Extent> found;
  if (range.empty()) return found;
  auto it = FirstEndingAfter(range.begin);
  for (; it != extents_.end() && it->first < range.end; ++it) {
    found.push_back({ByteRange{it->first, it->second.end}.Intersect(range), it->second.kind});
  }
  return found;
}

std::vector<Extent> ExtentMap::All() const {
  return Present({0, std::numeric_limits<uint64_t>::max()});
}

uint64_t ExtentMap::Bytes(ExtentKind kind) const {
  uint64_t sum = 0;
  for (const auto& [begin, piece] : extents_) {
    if (piece.kind == kind) sum += piece.end - begin;
  }
  return sum;
}

bool ExtentMap::CheckInvariants() const {
  const Piece* last = nullptr;
  for (const auto& [begin, piece] : extents_) {
    if (begin >= piece.end) return false;
    if (last != nullptr && last->end > begin) return false;
    if (last != nullptr && last->end == begin && last->kind == piece.kind) return false;
    last = &piece;
  }
  return true;
}

}  // namespace outboxfs::cache
