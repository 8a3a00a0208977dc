#include "common/blocks.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace outboxfs {
namespace {

std::span<std::byte> Allocate(size_t size) {
  const size_t whole = (size + BlockPool::kAlignment - 1) / BlockPool::kAlignment;
  void* const at = std::aligned_alloc(BlockPool::kAlignment, whole * BlockPool::kAlignment);
  if (at == nullptr) throw std::bad_alloc();
  return {static_cast<std::byte*>(at), size};
}

void Free(std::span<std::byte> bytes) { std::free(bytes.data()); }

}  // namespace

Block::~Block() {
  if (owner_ != nullptr) {
    owner_->Return(bytes_);
  } else {
    Free(bytes_);
  }
}

BlockPool::~BlockPool() {
  for (const auto bytes : idle_) Free(bytes);
}

std::optional<Block> BlockPool::TryTake(size_t size) {
  std::vector<std::span<std::byte>> unfit;
  {
    MutexLock lock(mu_);
    if (size > capacity_ || in_use_ > capacity_ - size) return std::nullopt;
    in_use_ += size;
    const auto same = std::find_if(idle_.begin(), idle_.end(),
                                   [size](const auto& bytes) { return bytes.size() == size; });
    if (same != idle_.end()) {
      const auto bytes = *same;
      idle_bytes_ -= size;
      idle_.erase(same);
      return Block(this, bytes);
    }
    if (in_use_ + idle_bytes_ > capacity_) {
      unfit.swap(idle_);
      idle_bytes_ = 0;
    }
  }
  for (const auto bytes : unfit) Free(bytes);
  return Block(this, Allocate(size));
}

Block BlockPool::Take(size_t size) { return {nullptr, Allocate(size)}; }

uint64_t BlockPool::in_use() const {
  MutexLock lock(mu_);
  return in_use_;
}

void BlockPool::Return(std::span<std::byte> bytes) {
  std::vector<std::span<std::byte>> unwanted;
  {
    MutexLock lock(mu_);
    in_use_ -= bytes.size();
    idle_.push_back(bytes);
    idle_bytes_ += bytes.size();
    if (in_use_ == 0) {
      unwanted.swap(idle_);
      idle_bytes_ = 0;
    }
  }
  for (const auto each : unwanted) Free(each);
}

}  // namespace outboxfs
