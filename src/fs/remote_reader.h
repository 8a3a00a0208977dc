// Reads a remote file for one handle: keeps the last fetched window, which grows while the reader
// goes on sequentially (256 KiB to 8 MiB) and falls back on a seek.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stop_token>
#include <vector>

#include "common/mutex.h"
#include "common/permits.h"
#include "common/range.h"
#include "common/result.h"
#include "remote/remote.h"

namespace outboxfs::fs {

// Thread-safe. One fetch at a time; who needs other bytes meanwhile waits.
class RemoteReader {
 public:
  // `memory` bounds the bytes of the larger windows over all readers. Both must outlive the reader.
  RemoteReader(remote::Downloader& downloads, Permits& memory)
      : downloads_(downloads), memory_(memory) {}

  // Copies what the window holds of [offset, offset + out.size()); true when that is all of it.
  // Never waits for the network.
  bool TryRead(std::span<std::byte> out, uint64_t offset) ABSL_LOCKS_EXCLUDED(mu_);
  // Exactly out.size() bytes of the file at the server path `path`, whose size is `file_size`
  // (REQUIRES: the range is inside).
  Status Read(const std::string& path, uint64_t file_size, std::span<std::byte> out,
              uint64_t offset, const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  bool CopyLocked(std::span<std::byte> out, uint64_t offset) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The next window for a read of `wanted`.
  ByteRange PlanLocked(const ByteRange& wanted, uint64_t file_size)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  remote::Downloader& downloads_;
  Permits& memory_;
  Mutex mu_;
  CondVar fetched_;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;
  ByteRange window_ ABSL_GUARDED_BY(mu_);
  std::vector<std::byte> bytes_ ABSL_GUARDED_BY(mu_);
  uint64_t next_size_ ABSL_GUARDED_BY(mu_) = 0;  // of the next sequential window
  Permit permit_ ABSL_GUARDED_BY(mu_);           // for bytes_ beyond the smallest window
};

}  // namespace outboxfs::fs
