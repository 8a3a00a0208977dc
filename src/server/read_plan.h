// Which byte ranges an upload asks for, and in which order. Pure; not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "common/range.h"
#include "server/knobs.h"

namespace outboxfs::server {

// One read request. The three values are the key that an answer has to match.
struct ReadAsk {
  ByteRange range;
  bool lazy = false;
  bool operator==(const ReadAsk&) const = default;
};

class ReadPlan {
 public:
  // Covers `missing`, in the manner of the read knobs.
  ReadPlan(const std::vector<ByteRange>& missing, const Knobs& knobs);
  // nullopt when everything was asked for.
  std::optional<ReadAsk> Next();
  bool done() const { return chunk_ == chunks_ && repeat_ == 0; }

 private:
  ByteRange Chunk(uint64_t index) const;

  struct Piece {
    ByteRange range;
    uint64_t first_chunk = 0;
  };

  std::vector<Piece> pieces_;
  const uint64_t size_;  // bytes per request
  const ReadOrder order_;
  const LazyReads lazy_;
  uint64_t chunks_ = 0;
  uint64_t chunk_ = 0;   // next to ask for, before mixing
  uint64_t stride_ = 1;  // coprime to chunks_: the random order
  uint64_t asked_ = 0;
  uint32_t repeat_ = 0;  // the last request is due once more
  ReadAsk last_;
};

}  // namespace outboxfs::server
