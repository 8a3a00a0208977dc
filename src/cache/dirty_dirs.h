// The staged directories with names that are not yet durable. A file's name is as needed as its
// bytes: the barrier of the journal comes after SyncAll. Thread-safe.
#pragma once

#include <bitset>

#include "cache/layout.h"
#include "common/mutex.h"
#include "common/result.h"

namespace outboxfs::cache {

class DirtyDirs {
 public:
  explicit DirtyDirs(const Layout& layout) : layout_(layout) {}

  // A name was made in the directory of `id`.
  void Add(ItemId id) ABSL_LOCKS_EXCLUDED(mu_);
  // The directory of `id` itself was made.
  void AddDir() ABSL_LOCKS_EXCLUDED(mu_);
  // Every name added before this call is durable when it returns. Waits for another SyncAll,
  // because that one may have taken the directory that matters.
  Status SyncAll() ABSL_LOCKS_EXCLUDED(syncing_, mu_);

 private:
  const Layout& layout_;
  Mutex syncing_;  // held over fsync: only those wait on it who want that very fsync
  Mutex mu_;
  std::bitset<kStagedDirs + 1> dirty_ ABSL_GUARDED_BY(mu_);  // the last one: their parent
};

}  // namespace outboxfs::cache
