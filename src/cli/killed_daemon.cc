#include "cli/killed_daemon.h"

#include <sys/types.h>

#include <optional>

#include "cache/layout.h"
#include "cache/owner.h"
#include "cli/control_socket.h"
#include "cli/paths.h"
#include "common/process.h"
#include "fs/killed_daemon.h"

namespace outboxfs::cli {
namespace {

// The kernel's word: whoever serves a mountpoint later replaces the socket.
std::optional<pid_t> KilledDaemonAt(const Environment& environment, const std::string& mountpoint) {
  const Result<std::string> runtime = RuntimeDir(environment);
  if (!runtime) return std::nullopt;
  return KilledListener(ControlSocketPath(*runtime, mountpoint));
}

Status SayWhatToDo(const Status& ended, const std::string& mountpoint) {
  if (ended) return ended;
  return Fail(ended.error().code,
              ended.error().text + ": `umount -f " + mountpoint + "` frees what hangs there");
}

}  // namespace

Status EndKilledDaemonAt(const Environment& environment, const std::string& mountpoint) {
  const std::optional<pid_t> pid = KilledDaemonAt(environment, mountpoint);
  if (!pid) return {};
  return SayWhatToDo(fs::EndKilledDaemon(*pid, mountpoint), mountpoint);
}

Status EndKilledOwner(const Environment& environment, const std::string& cache_dir) {
  const auto owner = cache::OwnerOf(cache::Layout(cache_dir).Lock());
  if (!owner || !IsKilled(owner->pid)) return {};
  const bool last_there = KilledDaemonAt(environment, owner->mountpoint) == owner->pid;
  const Status ended = fs::EndKilledDaemon(owner->pid, last_there ? owner->mountpoint : "");
  return SayWhatToDo(ended, owner->mountpoint);
}

}  // namespace outboxfs::cli
