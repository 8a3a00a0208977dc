// The directory that is mounted on.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/result.h"

namespace outboxfs::fs {

// One line of the kernel's mount table.
struct MountEntry {
  std::string mountpoint;
  std::string type;
  std::string source;
  unsigned device_minor = 0;  // of FUSE: the number of the connection
};
// Parses the text of /proc/self/mountinfo; lines that it does not understand are left out.
std::vector<MountEntry> ParseMountInfo(const std::string& text);
// What is mounted at `mountpoint` now (the topmost).
std::optional<MountEntry> FindMount(const std::string& mountpoint);
// Ends a FUSE connection by force: every request in it fails at once, whoever hangs in one is
// freed. Makes the control file system of FUSE available where nobody has yet. False without the
// right to.
bool AbortConnection(unsigned device_minor);
// Its daemon has ended without an unmount. Asks for an xattr, because the kernel answers stat from
// what it remembers also then.
bool IsDeadMount(const std::string& path);
// Detaches a mount whose daemon is dead, and frees whoever still waits for that daemon (a killed
// one can linger as a zombie, holding the connection); through fusermount3 where we have no right
// of our own.
Status DropDeadMount(const std::string& path);

// Makes sure that `path` can be mounted on, and returns it without symbolic links. A FUSE mount
// whose daemon died is unmounted first. ENOENT, ENOTDIR, EACCES, ENOTEMPTY (unless
// `allow_nonempty`), EBUSY (something is mounted there), each with one clear line.
Result<std::string> PrepareMountpoint(const std::string& path, bool allow_nonempty);

}  // namespace outboxfs::fs
