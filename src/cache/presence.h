// Which bytes of a partly hydrated file are here, and the lock under which they come and change.
// Thread-safe.
//
// Missing is what neither was written nor fetched and lies inside the remote file: behind its end
// nothing can be missing. A truncation makes everything behind it a hole of zeros (kZero), so that
// bytes that were cut off never come back when the file grows again.
#pragma once

#include <functional>
#include <vector>

#include "cache/extent_map.h"
#include "common/mutex.h"
#include "common/result.h"

namespace outboxfs::cache {

class Presence {
 public:
  // `changes`: what was written (kDirty, kZero), as the journal has it.
  Presence(uint64_t remote_size, ExtentMap changes)
      : remote_size_(remote_size), map_(std::move(changes)) {}

  std::vector<ByteRange> Missing(const ByteRange& range) const ABSL_LOCKS_EXCLUDED(mu_);
  bool HasChanges() const ABSL_LOCKS_EXCLUDED(mu_);

  using Write = std::function<Status(const ByteRange&)>;
  // Fetched bytes: `write` is called for each part of `range` that is still missing.
  Status Fill(const ByteRange& range, const Write& write) ABSL_LOCKS_EXCLUDED(mu_);
  // `write` changes the bytes of `range`, `record` makes that known to the journal; it is left out
  // when the range was of this kind already.
  Status Change(const ByteRange& range, ExtentKind kind, const Write& write, const Write& record)
      ABSL_LOCKS_EXCLUDED(mu_);
  // Changes, merged: for a journal that has grown long.
  std::vector<Extent> Changes() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  const uint64_t remote_size_;
  mutable Mutex mu_;  // above the store's; held over one write of the file
  ExtentMap map_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::cache
