#include <fmt/format.h>

#include <cstdio>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/exit_codes.h"
#include "status/render.h"

namespace outboxfs::cli {
namespace {

StatusFormat FormatOf(const Config& config) {
  if (config.json) return StatusFormat::kJson;
  return config.metrics ? StatusFormat::kMetrics : StatusFormat::kText;
}

Result<std::string> Ask(const std::string& socket, const Config& config) {
  Result<ControlClient> daemon = ControlClient::Connect(socket);
  if (!daemon) return Fail(daemon.error());
  Result<ControlReply> reply = daemon->Ask(
      {.command = ControlCommand::kStatus, .format = FormatOf(config), .limit = config.limit});
  if (!reply) return Fail(reply.error());
  return std::move(reply->body);
}

std::string Joined(const std::vector<std::string>& answers, StatusFormat format) {
  if (format == StatusFormat::kMetrics) return status::MergeMetrics(answers);
  std::string joined;
  for (const std::string& answer : answers) {
    if (!joined.empty() && format == StatusFormat::kText) joined += "\n";
    joined += answer;
  }
  return joined;
}

}  // namespace

int RunStatus(const CommandContext& context) {
  std::vector<std::string> sockets;
  if (!context.operands.empty()) {
    const Result<MountedPath> mount = FindMount(context.environment, context.operands.front());
    if (!mount) return Complain(kExitFailed, mount.error().text);
    sockets.push_back(mount->socket);
  } else {
    Result<std::vector<std::string>> living = LivingSockets(context.environment);
    if (!living) return Complain(kExitFailed, living.error().text);
    if (living->empty()) return Complain(kExitFailed, "nothing is mounted");
    sockets = std::move(*living);
  }
  int code = kExitOk;
  std::vector<std::string> answers;
  for (const std::string& socket : sockets) {
    Result<std::string> answer = Ask(socket, context.config);
    if (answer) {
      answers.push_back(std::move(*answer));
    } else {
      code = Complain(kExitFailed, answer.error().text);
    }
  }
  fmt::print("{}", Joined(answers, FormatOf(context.config)));
  return code;
}

}  // namespace outboxfs::cli
