#include "fs/killed_daemon.h"

#include <fmt/format.h>
#include <sys/mount.h>

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "common/log.h"
#include "common/process.h"
#include "fs/mount_point.h"

namespace outboxfs::fs {
namespace {

namespace stdfs = std::filesystem;

constexpr std::chrono::seconds kEndTime{10};

struct Held {
  std::set<unsigned> connections;  // of /dev/fuse, by number
  bool untold = false;             // one is held, but kernels before 6.16 do not say which
};

void LookAt(const stdfs::path& descriptor, const stdfs::path& info, Held& held) {
  std::error_code error;
  if (stdfs::read_symlink(descriptor, error) != "/dev/fuse") return;
  std::ifstream file(info);
  const std::string key = "fuse_connection:";
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(key)) continue;
    held.connections.insert(static_cast<unsigned>(std::stoul(line.substr(key.size()))));
    return;
  }
  held.untold = true;
}

// By its threads: the first one has let go of its files already.
Held HeldBy(pid_t pid) {
  Held held;
  std::error_code error;
  for (const auto& task : stdfs::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
    for (const auto& file : stdfs::directory_iterator(task.path() / "fd", error)) {
      LookAt(file.path(), task.path() / "fdinfo" / file.path().filename(), held);
    }
  }
  return held;
}

}  // namespace

Status EndKilledDaemon(pid_t pid, const std::string& mountpoint) {
  const FileDescriptor process = OpenProcess(pid);
  if (!process || !IsKilled(pid)) return {};
  std::optional<MountEntry> mount = FindMount(mountpoint);
  if (mount && mount->type != "fuse.outboxfs") mount.reset();
  Held held = HeldBy(pid);
  if (held.untold && mount) held.connections.insert(mount->device_minor);
  // Else its pid may be another's by now, and what was found too.
  if (AwaitEnd(process, {})) return {};
  for (const unsigned connection : held.connections) {
    Log::Notice("aborting FUSE connection {} of a killed daemon (pid {})", connection, pid);
    const bool aborted = AbortConnection(connection);
    if (!aborted && mount && mount->device_minor == connection) {
      ::umount2(mountpoint.c_str(), MNT_FORCE);  // aborts, even when it does not unmount
    }
  }
  if (AwaitEnd(process, kEndTime)) return {};
  return Fail(EBUSY, fmt::format("the killed daemon (pid {}) does not end", pid));
}

}  // namespace outboxfs::fs
