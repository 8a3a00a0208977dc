// The bytes of one upload while they arrive: a sparse private file, which parts of it are there,
// and its digests, which follow the bytes as long as these come in order. Blocks of zeros stay
// holes.
//
// Thread-safe: pieces may be written at once. Finish is called once, when no Write is running or to
// come.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/disk.h"
#include "common/mutex.h"
#include "server/digests.h"
#include "server/dir_store.h"
#include "server/intervals.h"

namespace outboxfs::server {

// What the client announced about the content.
struct AnnouncedHashes {
  Hashes whole;
  std::map<uint32_t, std::vector<std::string>> md5_blocks;  // by block size
};

class ReceivedFile {
 public:
  // `follow`: the hash types that will be wanted.
  static Result<std::unique_ptr<ReceivedFile>> Create(DirStore* store, const std::string& name,
                                                      uint64_t size,
                                                      const std::vector<HashType>& follow);

  Status Write(uint64_t offset, std::span<const std::byte> data) ABSL_LOCKS_EXCLUDED(mu_);
  // Bytes that are already in the file, from an earlier run of the server.
  void MarkPresent(const std::vector<ByteRange>& ranges) ABSL_LOCKS_EXCLUDED(mu_);
  uint64_t received() const ABSL_LOCKS_EXCLUDED(mu_);
  bool complete() const { return received() == size_; }
  std::vector<ByteRange> present() const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<ByteRange> missing() const ABSL_LOCKS_EXCLUDED(mu_);
  // Computes the followed and the announced hashes, fails with EBADMSG when the bytes do not have
  // an announced one, and has the store remember them.
  Status Finish(const AnnouncedHashes& announced, bool verify) ABSL_LOCKS_EXCLUDED(mu_);

  int fd() const { return file_.get(); }
  const std::string& name() const { return name_; }

 private:
  ReceivedFile(DirStore* store, std::string name, uint64_t size, FileDescriptor file)
      : store_(store), name_(std::move(name)), size_(size), file_(std::move(file)) {}

  Status WriteNonZero(uint64_t offset, std::span<const std::byte> data) const;
  // Lets the digests catch up with what is there in one run, reading back at most `budget` bytes
  // that are not in `fresh`.
  void Follow(ByteRange fresh, std::span<const std::byte> data, uint64_t budget)
      ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<Digest> DigestsToAdd(const AnnouncedHashes& announced) const;
  Status HashRest(uint64_t from, std::vector<Digest>* digests) const;

  DirStore* const store_;
  const std::string name_;
  const uint64_t size_;
  const FileDescriptor file_;

  mutable Mutex mu_;
  Intervals claimed_ ABSL_GUARDED_BY(mu_);  // written or being written
  Intervals present_ ABSL_GUARDED_BY(mu_);
  bool following_ ABSL_GUARDED_BY(mu_) = false;  // one thread at a time owns digests_ and hashed_
  std::vector<Digest> digests_;                  // set up by Create
  uint64_t hashed_ = 0;                          // digests_ have taken [0, hashed_)
};

}  // namespace outboxfs::server
