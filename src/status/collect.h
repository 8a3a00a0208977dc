// Asks each room for its own snapshot, one after the other: never two rooms' locks at once, so the
// parts may be a moment apart.
#pragma once

#include <string>
#include <vector>

#include "cache/store.h"
#include "common/clock.h"
#include "fs/mount_session.h"
#include "status/snapshot.h"
#include "upload/uploader.h"

namespace outboxfs::status {

// All must outlive the calls.
struct Rooms {
  const cache::Store& store;
  const upload::Uploader& uploader;
  const fs::MountSession& session;
  const Clock& clock;
};

// At most `limit` lines; 0 means all.
Snapshot Collect(const Rooms& rooms, const About& about, size_t limit);

// Of what is at or below any of `paths` (mount paths); of everything when there are none.
Summary Summarise(const cache::Store& store, const upload::Uploader& uploader,
                  const std::vector<std::string>& paths);

// True for "/a" and "/a/b" below "/a"; everything is below "/".
bool IsAtOrBelow(const std::string& path, const std::string& dir);
// No paths: everything is below.
bool IsAtOrBelowAny(const std::string& path, const std::vector<std::string>& paths);

}  // namespace outboxfs::status
