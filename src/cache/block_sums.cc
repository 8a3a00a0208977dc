#define XXH_INLINE_ALL
#include "cache/block_sums.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "common/disk.h"

namespace outboxfs::cache {
namespace {

void PutU64(std::string& out, uint64_t value) {
  for (int shift = 0; shift < 64; shift += 8) {
    out.push_back(static_cast<char>((value >> shift) & 0xff));
  }
}

uint64_t GetU64(std::string_view in, size_t offset) {
  uint64_t value = 0;
  for (size_t i = 0; i < 8; ++i) {
    value |= static_cast<uint64_t>(static_cast<unsigned char>(in[offset + i])) << (8 * i);
  }
  return value;
}

uint64_t SumOfZeroBlock() {
  static const uint64_t sum = [] {
    const std::vector<std::byte> zeros(kBlockSize);
    return SumOf(zeros);
  }();
  return sum;
}

// How many whole blocks from `offset` (a block boundary) on are a hole; 0 when data begins there or
// when the file system cannot tell.
uint64_t HoleBlocks(int fd, uint64_t offset, uint64_t size) {
  const off_t data = ::lseek(fd, static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? (size - offset) / kBlockSize : 0;
  return (std::min(static_cast<uint64_t>(data), size) - offset) / kBlockSize;
}

}  // namespace

uint64_t SumOf(std::span<const std::byte> block) { return XXH3_64bits(block.data(), block.size()); }

void BlockSums::Append(uint64_t sum, uint64_t count) {
  if (count == 0) return;
  if (runs_.empty() || runs_.back().sum != sum) runs_.push_back({appended_, sum});
  appended_ += count;
}

uint64_t BlockSums::At(uint64_t block) const {
  const auto behind =
      std::upper_bound(runs_.begin(), runs_.end(), block,
                       [](uint64_t wanted, const Run& run) { return wanted < run.first; });
  return std::prev(behind)->sum;
}

std::string BlockSums::Encode() const {
  std::string blob;
  blob.reserve(16 + runs_.size() * 16);
  PutU64(blob, size_);
  for (const Run& run : runs_) {
    PutU64(blob, run.first);
    PutU64(blob, run.sum);
  }
  PutU64(blob, XXH3_64bits(blob.data(), blob.size()));
  return blob;
}

Result<BlockSums> BlockSums::Decode(std::string_view blob) {
  const auto damaged = [] { return Fail(EIO, "block checksums in the journal are damaged"); };
  if (blob.size() < 16 || blob.size() % 16 != 0) return damaged();
  const size_t body = blob.size() - 8;
  if (GetU64(blob, body) != XXH3_64bits(blob.data(), body)) return damaged();
  BlockSums sums(GetU64(blob, 0));
  for (size_t at = 8; at < body; at += 16) {
    const Run run{GetU64(blob, at), GetU64(blob, at + 8)};
    const bool ordered = sums.runs_.empty() ? run.first == 0 : run.first > sums.runs_.back().first;
    if (!ordered || run.first >= sums.blocks()) return damaged();
    sums.runs_.push_back(run);
  }
  if (sums.runs_.empty() != (sums.blocks() == 0)) return damaged();
  sums.appended_ = sums.blocks();
  return sums;
}

Result<BlockSums> SumFile(int fd, uint64_t size, const std::stop_token& stop) {
  BlockSums sums(size);
  const auto buffer = std::make_unique_for_overwrite<std::byte[]>(
      std::min(size, kBlockSize));  // small files are many: no 256 KiB for each
  uint64_t data_from = 0;           // no hole is looked for before this offset
  for (uint64_t offset = 0; offset < size;) {
    if (stop.stop_requested()) return Fail(ECANCELED, "stopped");
    if (offset >= data_from && size - offset >= kBlockSize) {
      const uint64_t holes = HoleBlocks(fd, offset, size);
      sums.Append(SumOfZeroBlock(), holes);
      offset += holes * kBlockSize;
      const off_t hole = ::lseek(fd, static_cast<off_t>(offset), SEEK_HOLE);
      data_from = hole < 0 ? size : static_cast<uint64_t>(hole);
      if (offset >= size) break;
    }
    const std::span<std::byte> block(buffer.get(), std::min(kBlockSize, size - offset));
    auto got = disk::ReadAt(fd, block, offset);
    if (!got) return Fail(got.error());
    if (*got != block.size()) return Fail(EAGAIN, "file became shorter");
    sums.Append(SumOf(block));
    offset += block.size();
  }
  return sums;
}

}  // namespace outboxfs::cache
