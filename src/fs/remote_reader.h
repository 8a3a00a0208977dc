// Reads a remote file for one handle. Keeps the last windows that were fetched; they grow while the
// reader goes on sequentially (256 KiB to 8 MiB), then the next ones are fetched while it still
// reads, and fall back on a seek.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/read_cache.h"
#include "common/blocks.h"
#include "common/mutex.h"
#include "common/range.h"
#include "common/result.h"
#include "fs/read_ahead.h"
#include "remote/remote.h"

namespace outboxfs::fs {

// Thread-safe. One fetch on behalf of a reader at a time; who needs other bytes meanwhile waits.
class RemoteReader {
 public:
  // `memory` bounds the bytes of the larger windows over all readers. All must outlive the reader,
  // whose fetches ahead may go on for a moment after it is gone.
  RemoteReader(remote::Downloader& downloads, BlockPool& memory, ReadAhead& ahead);
  ~RemoteReader();
  RemoteReader(const RemoteReader&) = delete;
  RemoteReader& operator=(const RemoteReader&) = delete;

  // Copies what the windows hold of [offset, offset + out.size()); true when that is all of it.
  // Never waits for the network.
  bool TryRead(const std::string& path, std::span<std::byte> out, uint64_t offset);
  // Exactly out.size() bytes of the file at the server path `path`, whose size is `file_size`
  // (REQUIRES: the range is inside).
  Status Read(const std::string& path, uint64_t file_size, std::span<std::byte> out,
              uint64_t offset, const std::stop_token& stop);
  // What was fetched is of another version now: forgets it.
  void Forget();
  // Before the first read: where fetched bytes are kept, as far as the disk keeps up, and looked
  // for first.
  void KeepIn(std::shared_ptr<cache::KeptFile> kept);

 private:
  struct Window;
  class State;
  const std::shared_ptr<State> state_;
};

}  // namespace outboxfs::fs
