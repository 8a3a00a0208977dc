// Bytes of remote files that were read, or have just been uploaded, kept on the disk within a
// limit: the least recently used files go first. Nothing depends on it: whatever goes wrong with
// the disk only means that bytes are fetched again. Its index is in memory, so its directory is
// emptied at the start.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cache/extent_map.h"
#include "cache/item.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "common/permits.h"

namespace outboxfs::cache {

class ReadCache;

// What is kept of one version of a remote file. Thread-safe. Must not outlive the cache.
class KeptFile {
 public:
  KeptFile(ReadCache& owner, std::string name) : owner_(owner), name_(std::move(name)) {}
  ~KeptFile() = default;
  KeptFile(const KeptFile&) = delete;
  KeptFile& operator=(const KeptFile&) = delete;

  // The first part of `range` that is wholly here or wholly missing (REQUIRES: not empty).
  struct Run {
    ByteRange range;
    bool here = false;
  };
  Run FirstRun(const ByteRange& range) const;
  // All of it; false when something is missing.
  bool Read(std::span<std::byte> out, uint64_t offset) const;
  // Fetched bytes. Does nothing when there is no room, the disk refuses or has enough to write: who
  // reads is not slowed down by what is kept. Best aligned to 4096 bytes, also in memory.
  void Fill(std::span<const std::byte> data, uint64_t offset);

 private:
  friend class ReadCache;
  void Drop();
  void RemoveFile() const;

  ReadCache& owner_;
  const std::string name_;  // of the file, which is opened only while it is used: there may be many
  mutable Mutex mu_;
  ExtentMap here_ ABSL_GUARDED_BY(mu_);
  // Evicted, though somebody may still hold it: nothing is here, and the file goes.
  std::atomic<bool> dropped_{false};
};

class ReadCache {
 public:
  struct Limits {
    uint64_t bytes = 0;         // kept at most
    uint64_t free_reserve = 0;  // and only while the disk has so much free
  };
  // `directory` is made, and emptied, when `limits.bytes` is not 0.
  ReadCache(std::string directory, Limits limits);
  ~ReadCache();
  ReadCache(const ReadCache&) = delete;
  ReadCache& operator=(const ReadCache&) = delete;

  // What is kept of this version; what was kept of another one of the same path goes. nullptr when
  // nothing can be kept, or the version is known by its size alone: it could be any.
  std::shared_ptr<KeptFile> Open(const std::string& path, const Identity& version);
  // Takes over `file`, all the bytes of this version, until then: moves it into the directory.
  // False when it is not kept; it is then where it was.
  bool Adopt(const std::string& path, const Identity& version, const std::string& file,
             SteadyTime until);
  // Drops what was adopted until before `now`.
  void DropExpired(SteadyTime now);
  uint64_t bytes() const;

 private:
  friend class KeptFile;
  struct Entry {
    std::string path;
    Identity version;
    std::shared_ptr<KeptFile> file;
    uint64_t bytes = 0;
    SteadyTime until = SteadyTime::max();
  };
  using Entries = std::list<Entry>;  // the least recently used first
  // Files to be removed once no lock is held: a large one takes a while.
  struct Dropped {
    Dropped() = default;
    ~Dropped();
    Dropped(const Dropped&) = delete;
    Dropped& operator=(const Dropped&) = delete;
    std::vector<std::shared_ptr<KeptFile>> files;
  };

  // What is known of the path, if it is of this version: what is of another one goes.
  Entries::iterator FindLocked(const std::string& path, const Identity& version)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Entries::iterator AddLocked(const std::string& path, const Identity& version)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Makes room for `bytes` of `file`; false when there is none, or the file was dropped.
  bool Reserve(const KeptFile& file, uint64_t bytes);
  void Drop(const KeptFile& file);
  Entries::iterator FindLocked(const KeptFile& file) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropLocked(Entries::iterator entry, Dropped& dropped) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasFreeSpaceLocked(uint64_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  static constexpr uint64_t kWritesAtOnce = 2;

  const std::string directory_;
  const Limits limits_;
  Permits writes_{kWritesAtOnce};
  mutable Mutex mu_;
  bool usable_ ABSL_GUARDED_BY(mu_) = false;
  Entries entries_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, Entries::iterator> by_path_ ABSL_GUARDED_BY(mu_);
  // Older versions, removed by the next one who fills: Open's callers hold locks.
  Dropped replaced_ ABSL_GUARDED_BY(mu_);
  uint64_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t unchecked_ ABSL_GUARDED_BY(mu_) = 0;  // bytes since the free space was looked at
  uint64_t next_name_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace outboxfs::cache
