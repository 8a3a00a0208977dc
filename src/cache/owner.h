// One owner per cache directory, and only its own user's.
#pragma once

#include <string>

#include "common/disk.h"
#include "common/result.h"

namespace outboxfs::cache {

// Makes `directory` (0700) and takes the lock file `lock_path` in it. The returned descriptor is
// the lock: it lasts until it is closed or the process dies. EBUSY: held, the text names the pid.
// EACCES: the directory belongs to somebody else or cannot be written.
Result<FileDescriptor> TakeOwnership(const std::string& directory, const std::string& lock_path);

}  // namespace outboxfs::cache
