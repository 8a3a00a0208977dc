// The kernel's table of mounts, and removing one whose daemon is dead.
#pragma once

#include <optional>
#include <string>

#include "common/result.h"

namespace outboxfs::cli {

struct MountEntry {
  std::string type;    // "fuse.outboxfs"
  std::string source;  // first column of mount(8)
};

// What is mounted exactly at `path` (canonical); the topmost when there are several.
std::optional<MountEntry> MountAt(const std::string& path);
bool IsOutboxfs(const MountEntry& entry);
// Detaches the mount now; what is open there goes on to fail. With fusermount3 when not root.
Status LazyUnmount(const std::string& path);

}  // namespace outboxfs::cli
