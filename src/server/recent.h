// Uploads that have just finished, for the knobs that make the cloud lag behind: stale listings,
// entries without hashes, downloads that are not ready. Thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "common/clock.h"
#include "common/mutex.h"
#include "server/dir_store.h"
#include "server/knob_store.h"

namespace outboxfs::server {

class Recent {
 public:
  explicit Recent(const KnobStore& knobs) : knobs_(knobs) {}

  // A file is about to appear at `path`; `before` is what is there now.
  void Note(const std::string& path, std::optional<Entry> before) ABSL_LOCKS_EXCLUDED(mu_);
  // What a listing shows for an entry that exists; nullopt when the listing does not know it yet.
  std::optional<Entry> Shown(Entry entry) const ABSL_LOCKS_EXCLUDED(mu_);
  bool DownloadBroken(const std::string& path) const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  struct Change {
    SteadyTime when;
    std::optional<Entry> before;
  };

  const KnobStore& knobs_;
  mutable Mutex mu_;
  std::map<std::string, Change> changes_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::server
