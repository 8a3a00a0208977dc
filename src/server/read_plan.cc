#include "server/read_plan.h"

#include <algorithm>
#include <numeric>

namespace outboxfs::server {

ReadPlan::ReadPlan(const std::vector<ByteRange>& missing, const Knobs& knobs)
    : size_(knobs.read_size), order_(knobs.read_order), lazy_(knobs.lazy) {
  for (const ByteRange& range : missing) {
    pieces_.push_back({range, chunks_});
    chunks_ += (range.size() + size_ - 1) / size_;
  }
  if (order_ == ReadOrder::kRandom && chunks_ > 2) {
    // A walk in steps that share no factor with the count visits every chunk once, scattered,
    // without a list of them.
    stride_ = chunks_ * 5 / 8;
    while (stride_ < 2 || std::gcd(stride_, chunks_) != 1) ++stride_;
  }
}

ByteRange ReadPlan::Chunk(uint64_t index) const {
  const auto after =
      std::upper_bound(pieces_.begin(), pieces_.end(), index,
                       [](uint64_t i, const Piece& piece) { return i < piece.first_chunk; });
  const Piece& piece = *std::prev(after);
  ByteRange range;
  range.begin = piece.range.begin + (index - piece.first_chunk) * size_;
  range.end = std::min(piece.range.end, range.begin + size_);
  if (order_ == ReadOrder::kOverlapping) {
    range.begin -= std::min(range.begin - piece.range.begin, size_ / 2);
  }
  return range;
}

std::optional<ReadAsk> ReadPlan::Next() {
  if (repeat_ > 0) {
    --repeat_;
    return last_;
  }
  if (done()) return std::nullopt;
  const uint64_t index = order_ == ReadOrder::kRandom
                             ? static_cast<uint64_t>((__uint128_t{chunk_} + 1) * stride_ % chunks_)
                             : chunk_;
  ++chunk_;
  last_.range = Chunk(index);
  last_.lazy = lazy_ == LazyReads::kAlways || (lazy_ == LazyReads::kMixed && asked_++ % 2 == 1);
  if (order_ == ReadOrder::kDuplicate) repeat_ = 1;
  return last_;
}

}  // namespace outboxfs::server
