// Open handles by the number that the kernel carries for us. Thread-safe; its lock is a leaf.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/mutex.h"

namespace outboxfs::fs {

template <typename T>
class HandleTable {
 public:
  uint64_t Add(std::shared_ptr<T> handle) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    handles_.emplace(++last_, std::move(handle));
    return last_;
  }
  // nullptr: no such handle.
  std::shared_ptr<T> Get(uint64_t number) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    const auto found = handles_.find(number);
    return found == handles_.end() ? nullptr : found->second;
  }
  std::shared_ptr<T> Remove(uint64_t number) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    const auto node = handles_.extract(number);
    return node ? node.mapped() : nullptr;
  }
  std::vector<uint64_t> Numbers() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    std::vector<uint64_t> numbers;
    for (const auto& [number, handle] : handles_) numbers.push_back(number);
    return numbers;
  }
  size_t size() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return handles_.size();
  }

 private:
  mutable Mutex mu_;
  uint64_t last_ ABSL_GUARDED_BY(mu_) = 0;
  std::unordered_map<uint64_t, std::shared_ptr<T>> handles_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::fs
