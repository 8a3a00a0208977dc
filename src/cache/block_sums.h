// The checksums of one sealed generation: XXH3-64 of every 256 KiB block (the last one of what it
// has). Equal neighbours are stored once, so that a sparse file of terabytes costs some bytes. A
// plain value; made by the sealer, checked by whoever reads sealed bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace outboxfs::cache {

inline constexpr uint64_t kBlockSize = 256ULL * 1024;

uint64_t SumOf(std::span<const std::byte> block);

class BlockSums {
 public:
  explicit BlockSums(uint64_t size = 0) : size_(size) {}

  // Sums of the next blocks, in order.
  void Append(uint64_t sum, uint64_t count = 1);
  // REQUIRES: a block inside the size, all appended.
  uint64_t At(uint64_t block) const;

  uint64_t size() const { return size_; }
  uint64_t blocks() const { return (size_ + kBlockSize - 1) / kBlockSize; }
  bool complete() const { return appended_ == blocks(); }
  bool operator==(const BlockSums&) const = default;

  // For the journal; carries a checksum of itself. EIO: not what Encode made.
  std::string Encode() const;
  static Result<BlockSums> Decode(std::string_view blob);

 private:
  struct Run {
    uint64_t first = 0;  // block
    uint64_t sum = 0;
    bool operator==(const Run&) const = default;
  };

  uint64_t size_ = 0;
  uint64_t appended_ = 0;
  std::vector<Run> runs_;
};

// Reads all of `fd` (size bytes, opened for reading) and sums it; holes are skipped, not read.
// ECANCELED on stop. A file shorter than `size` gives EAGAIN: it is changing.
Result<BlockSums> SumFile(int fd, uint64_t size, const std::stop_token& stop);

}  // namespace outboxfs::cache
