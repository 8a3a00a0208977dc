#include <fmt/format.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/exit_codes.h"

namespace outboxfs::cli {
namespace {

StatusFormat FormatOf(const Config& config) {
  if (config.json) return StatusFormat::kJson;
  return config.metrics ? StatusFormat::kMetrics : StatusFormat::kText;
}

int Show(const std::string& socket, const Config& config) {
  Result<ControlClient> daemon = ControlClient::Connect(socket);
  if (!daemon) return Complain(kExitFailed, daemon.error().text);
  const Result<ControlReply> reply = daemon->Ask(
      {.command = ControlCommand::kStatus, .format = FormatOf(config), .limit = config.limit});
  if (!reply) return Complain(kExitFailed, reply.error().text);
  fmt::print("{}", reply->body);
  return kExitOk;
}

}  // namespace

int RunStatus(const CommandContext& context) {
  if (!context.operands.empty()) {
    const Result<MountedPath> mount = FindMount(context.environment, context.operands.front());
    if (!mount) return Complain(kExitFailed, mount.error().text);
    return Show(mount->socket, context.config);
  }
  const Result<std::vector<std::string>> sockets = LivingSockets(context.environment);
  if (!sockets) return Complain(kExitFailed, sockets.error().text);
  if (sockets->empty()) return Complain(kExitFailed, "nothing is mounted");
  int code = kExitOk;
  for (const std::string& socket : *sockets) {
    if (&socket != &sockets->front() && FormatOf(context.config) == StatusFormat::kText) {
      fmt::print("\n");
    }
    if (const int shown = Show(socket, context.config); shown != kExitOk) code = shown;
  }
  return code;
}

}  // namespace outboxfs::cli
