// Which byte ranges of a file are present locally, and of what kind. Pure; not thread-safe: the
// owner's lock guards it.
//
// Invariants: extents are not empty, do not overlap, are sorted, and neighbours that touch differ
// in kind.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "common/range.h"

namespace outboxfs::cache {

enum class ExtentKind : uint8_t {
  kDirty,  // written here; must not be lost
  kClean,  // equals the remote file; may be dropped
  kZero,   // a hole made here (truncate, punch): zeros that count as written
};

struct Extent {
  ByteRange range;
  ExtentKind kind = ExtentKind::kDirty;
  bool operator==(const Extent&) const = default;
};

class ExtentMap {
 public:
  // `range` is of `kind` now, whatever was there.
  void Set(const ByteRange& range, ExtentKind kind);
  // Only what is missing in `range` becomes `kind`: fetched bytes never replace what was written.
  void Fill(const ByteRange& range, ExtentKind kind);
  // Nothing of `range` is present any more.
  void Erase(const ByteRange& range);
  void Clear() { extents_.clear(); }

  bool Covers(const ByteRange& range) const;
  std::vector<ByteRange> Missing(const ByteRange& range) const;
  // What is present in `range`, cut to it, in order.
  std::vector<Extent> Present(const ByteRange& range) const;
  std::vector<Extent> All() const;
  uint64_t Bytes(ExtentKind kind) const;
  bool empty() const { return extents_.empty(); }
  size_t count() const { return extents_.size(); }

  // False when an invariant is broken: a bug. For tests.
  bool CheckInvariants() const;
  bool operator==(const ExtentMap& other) const = default;

 private:
  struct Piece {
    uint64_t end = 0;
    ExtentKind kind = ExtentKind::kDirty;
    bool operator==(const Piece&) const = default;
  };
  using Pieces = std::map<uint64_t, Piece>;  // by begin

  // The first extent that ends behind `offset`.
  Pieces::const_iterator FirstEndingAfter(uint64_t offset) const;
  void MergeWithNeighbours(Pieces::iterator piece);

  Pieces extents_;
};

}  // namespace outboxfs::cache
