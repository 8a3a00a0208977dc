// One owner per cache directory, and only its own user's.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/disk.h"
#include "common/result.h"

namespace outboxfs::cache {

// Makes `directory` (0700) and takes the lock file `lock_path` in it. The returned descriptor is
// the lock: it lasts until it is closed or the process dies. EBUSY: held, the text names the pid.
// EACCES: the directory belongs to somebody else or cannot be written.
// `mountpoint` is noted in it, for OwnerOf.
Result<FileDescriptor> TakeOwnership(const std::string& directory, const std::string& lock_path,
                                     const std::string& mountpoint);

struct Owner {
  pid_t pid = 0;
  std::string mountpoint;
};
// Who holds the lock, when the lock file and the kernel agree about it: a pid that was left there
// may be another process's by now. nullopt: nobody does, or that is changing just now.
std::optional<Owner> OwnerOf(const std::string& lock_path);

}  // namespace outboxfs::cache
