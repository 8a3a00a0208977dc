#include <fmt/format.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/exit_codes.h"
#include "cli/path_operands.h"

namespace outboxfs::cli {

int RunRetry(const CommandContext& context) {
  const Result<std::vector<MountOperands>> mounts =
      SortByMount(context.environment, context.operands);
  if (!mounts) return Complain(kExitFailed, mounts.error().text);
  uint64_t released = 0;
  for (const MountOperands& mount : *mounts) {
    Result<ControlClient> daemon = ControlClient::Connect(mount.socket);
    if (!daemon) return Complain(kExitFailed, daemon.error().text);
    const Result<ControlReply> reply = daemon->Ask(
        {.command = ControlCommand::kRetry, .paths = mount.paths, .accept = context.config.accept});
    if (!reply) return Complain(kExitFailed, reply.error().text);
    released += reply->count;
  }
  fmt::print("{} released\n", released);
  return kExitOk;
}

}  // namespace outboxfs::cli
