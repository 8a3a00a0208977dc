// Memory for large pieces of files: aligned for direct I/O, not cleared, and used again, because
// the kernel takes longer to map and clear fresh memory than we to fill it. Thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/mutex.h"

namespace outboxfs {

class BlockPool;

// Some bytes, given back by the destructor. Movable; an empty one has none.
class Block {
 public:
  Block() = default;
  Block(Block&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), bytes_(std::exchange(other.bytes_, {})) {}
  Block& operator=(Block&& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  std::span<std::byte> bytes() const { return bytes_; }

 private:
  friend class BlockPool;
  Block(BlockPool* owner, std::span<std::byte> bytes) : owner_(owner), bytes_(bytes) {}

  BlockPool* owner_ = nullptr;  // null: not counted
  std::span<std::byte> bytes_;
};

class BlockPool {
 public:
  static constexpr size_t kAlignment = 4096;

  // `capacity` bytes are out or idle at most. Must outlive its blocks.
  explicit BlockPool(uint64_t capacity) : capacity_(capacity) {}
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  // Exactly `size` bytes of any content; nullopt when the capacity is reached.
  std::optional<Block> TryTake(size_t size) ABSL_LOCKS_EXCLUDED(mu_);
  // The same beside the capacity, for small pieces and for who cannot do without.
  static Block Take(size_t size);
  uint64_t in_use() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  friend class Block;
  void Return(std::span<std::byte> bytes) ABSL_LOCKS_EXCLUDED(mu_);

  const uint64_t capacity_;
  mutable Mutex mu_;
  uint64_t in_use_ ABSL_GUARDED_BY(mu_) = 0;
  // Idle, while others are out: a reader that goes on wants the same sizes again.
  std::vector<std::span<std::byte>> idle_ ABSL_GUARDED_BY(mu_);
  uint64_t idle_bytes_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace outboxfs
