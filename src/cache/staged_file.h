// The local bytes of one file: a sparse backing file with the same size and offsets as the file
// itself. Thread-safe. Lives while somebody holds a Pin (store.h).
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "cache/item.h"
#include "common/disk.h"
#include "common/mutex.h"
#include "common/range.h"

namespace outboxfs::cache {

class StagedFile {
 public:
  // Opens the backing file at `path` for reading (and, from the first write pin until the last, for
  // writing too: else the writer probe would find us; docs/ARCHITECTURE.md, "Closing and sealing").
  static Result<std::shared_ptr<StagedFile>> Open(ItemId id, std::string path);

  ItemId id() const { return id_; }
  // O_RDONLY: for passthrough backing ids (the kernel opens again with the caller's flags) and
  // splice. Valid while this object lives.
  int read_fd() const { return read_fd_.get(); }

  Result<size_t> Read(std::span<std::byte> out, uint64_t offset) const;
  Result<struct stat> Stat() const;

  // REQUIRES: a write pin. Errors are those of the cache disk (ENOSPC, EIO).
  Status Write(std::span<const std::byte> data, uint64_t offset);
  Status Truncate(uint64_t size);
  // Bytes from the server: leaves the times alone. Needs no write pin.
  Status WriteFetched(std::span<const std::byte> data, uint64_t offset);
  // As fallocate(2) `mode`.
  Status Allocate(int mode, uint64_t offset, uint64_t length);
  // Sets atime and mtime of the backing file; ns since 1970 UTC.
  Status SetTimes(int64_t atime_ns, int64_t mtime_ns);
  Status Sync();

  // Called by Store only, once for each write pin that comes and goes; the first opens the writable
  // descriptor, the last closes it.
  Status OpenForWriting() ABSL_LOCKS_EXCLUDED(writers_mu_);
  void CloseForWriting() ABSL_LOCKS_EXCLUDED(writers_mu_);

 private:
  StagedFile(ItemId id, std::string path, FileDescriptor read_fd);

  const ItemId id_;
  const std::string path_;
  const FileDescriptor read_fd_;

  Mutex writers_mu_;
  int writers_ ABSL_GUARDED_BY(writers_mu_) = 0;
  // Changed only under writers_mu_ with no write pin out; so who holds a write pin reads it freely.
  FileDescriptor write_fd_;
};

// One sealed generation, for the upload: fixed size, bytes checked against the sealed checksums.
// Thread-safe; holds a pin.
class SealedReader {
 public:
  virtual ~SealedReader() = default;
  virtual Generation generation() const = 0;
  virtual uint64_t size() const = 0;
  // Exactly out.size() bytes at `offset` (REQUIRES: inside the size), checked over the whole 256
  // KiB blocks that they touch. ESTALE: the file changed since the seal, this generation is over.
  // EILSEQ: bytes differ although nobody wrote: damaged, must not be sent. EIO: the disk.
  virtual Status Read(std::span<std::byte> out, uint64_t offset) = 0;
};

}  // namespace outboxfs::cache
