#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/exit_codes.h"
#include "cli/killed_daemon.h"
#include "cli/left_behind.h"
#include "cli/paths.h"
#include "fs/mount_point.h"

namespace outboxfs::cli {
namespace {

// What an exit may take after the drain: closing handles, sealing, joining threads.
constexpr std::chrono::milliseconds kExitTime{30'000};

// There is a mount but no daemon that answers: it was killed.
int RemoveDeadMount(const std::string& mountpoint) {
  const std::optional<fs::MountEntry> entry = fs::FindMount(mountpoint);
  if (!entry) return Complain(kExitFailed, fmt::format("{} is not mounted", mountpoint));
  if (entry->type != "fuse.outboxfs") {
    return Complain(kExitFailed, fmt::format("{} is not a mount of outboxfs but of {}", mountpoint,
                                             entry->type));
  }
  if (const Status gone = fs::DropDeadMount(mountpoint); !gone) {
    return Complain(kExitFailed, gone.error().text);
  }
  fmt::print("{}: removed a mount whose daemon was dead; the next mount takes up its files\n",
             mountpoint);
  return kExitLeft;  // what it had not uploaded is unknown here
}

// Nobody answers here; but the daemon may be another user's.
int RemoveWithoutDaemon(const std::string& mountpoint) {
  const std::optional<fs::MountEntry> entry = fs::FindMount(mountpoint);
  if (entry && entry->type == "fuse.outboxfs" && !fs::IsDeadMount(mountpoint)) {
    return Complain(
        kExitFailed,
        fmt::format("{} is alive, but its control socket is not here: unmount it as the "
                    "user who mounted it, with the same XDG_RUNTIME_DIR",
                    mountpoint));
  }
  return RemoveDeadMount(mountpoint);
}

int Report(const status::Summary& left) {
  fmt::print("{}\n", DescribeLeft(left));
  fmt::print(stderr, "{}", NameLeft(left));
  return IsNothing(left) ? kExitOk : kExitLeft;
}

}  // namespace

int RunUnmount(const CommandContext& context) {
  const Result<std::string> mountpoint = CanonicalPath(context.operands.at(0));
  if (!mountpoint) return Complain(kExitFailed, mountpoint.error().text);
  const Result<std::string> runtime = RuntimeDir(context.environment);
  if (!runtime) return Complain(kExitFailed, runtime.error().text);
  if (const Status ended = EndKilledDaemonAt(context.environment, *mountpoint); !ended) {
    return Complain(kExitFailed, ended.error().text);
  }
  Result<ControlClient> daemon = ControlClient::Connect(ControlSocketPath(*runtime, *mountpoint));
  if (!daemon) return RemoveWithoutDaemon(*mountpoint);

  ControlRequest request{.command = ControlCommand::kUnmount,
                         .drain_timeout = context.config.drain_timeout};
  if (context.config.no_drain) request.drain_timeout = std::chrono::nanoseconds(0);
  if (!context.config.no_drain && ::isatty(STDERR_FILENO) == 1) {
    fmt::print(stderr,
               "waiting for uploads; a second `outboxfs unmount --no-drain` ends the wait\n");
  }
  const Result<ControlReply> reply = daemon->Ask(request);
  if (!reply && reply.error().code == EPIPE) return RemoveDeadMount(*mountpoint);
  if (!reply) return Complain(kExitFailed, reply.error().text);
  if (!daemon->AwaitEnd(kExitTime)) {
    return Complain(kExitFailed, fmt::format("the daemon (pid {}) is still leaving; see its log",
                                             daemon->pid()));
  }
  return Report(reply->summary);
}

}  // namespace outboxfs::cli
