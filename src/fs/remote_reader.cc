#include "fs/remote_reader.h"

#include <algorithm>
#include <cstring>

namespace outboxfs::fs {
namespace {

constexpr uint64_t kSmallestWindow = 256 << 10;
constexpr uint64_t kLargestWindow = 8 << 20;
constexpr uint64_t kGrowth = 2;

}  // namespace

bool RemoteReader::TryRead(std::span<std::byte> out, uint64_t offset) {
  MutexLock lock(mu_);
  return CopyLocked(out, offset);
}

Status RemoteReader::Read(const std::string& path, uint64_t file_size, std::span<std::byte> out,
                          uint64_t offset, const std::stop_token& stop) {
  const ByteRange wanted{offset, offset + out.size()};
  ByteRange window;
  std::vector<std::byte> bytes;
  {
    MutexLock lock(mu_);
    while (fetching_ && !CopyLocked(out, offset)) {
      if (stop.stop_requested()) return FailErrno(ECANCELED, path);
      fetched_.Wait(mu_, stop);
    }
    if (CopyLocked(out, offset)) return {};
    fetching_ = true;
    window = PlanLocked(wanted, file_size);
    bytes.resize(window.size());
  }
  const Status status = downloads_.Fetch(path, window.begin, bytes, stop);
  {
    MutexLock lock(mu_);
    fetching_ = false;
    if (status) {
      window_ = window;
      bytes_ = std::move(bytes);
      CopyLocked(out, offset);
    }
  }
  fetched_.NotifyAll();
  return status;
}

bool RemoteReader::CopyLocked(std::span<std::byte> out, uint64_t offset) const {
  if (!window_.Contains({offset, offset + out.size()})) return false;
  std::memcpy(out.data(), bytes_.data() + (offset - window_.begin), out.size());
  return true;
}

ByteRange RemoteReader::PlanLocked(const ByteRange& wanted, uint64_t file_size) {
  // Sequential: begins inside the last window, or not far behind its end (the kernel's read-ahead
  // requests may come in any order).
  const bool sequential = !window_.empty() && wanted.begin >= window_.begin &&
                          wanted.begin <= window_.end + kSmallestWindow;
  next_size_ = sequential ? std::min(next_size_ * kGrowth, kLargestWindow) : kSmallestWindow;
  permit_.Release();
  uint64_t size = std::max(next_size_, wanted.size());
  if (size > kSmallestWindow) {
    auto permit = memory_.TryTake(size);
    if (permit) {
      permit_ = std::move(*permit);
    } else {
      size = std::max(kSmallestWindow, wanted.size());
    }
  }
  return {wanted.begin, std::max(wanted.end, std::min(wanted.begin + size, file_size))};
}

}  // namespace outboxfs::fs
