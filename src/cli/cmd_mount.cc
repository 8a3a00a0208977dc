#include <fmt/format.h>

#include <cerrno>
#include <cstdio>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/death_watch.h"
#include "cli/exit_codes.h"
#include "cli/killed_daemon.h"
#include "cli/launcher.h"
#include "cli/mount_plan.h"
#include "cli/signals.h"
#include "common/log.h"

namespace outboxfs::cli {
namespace {

bool IsUsage(const Error& error) { return error.code == EINVAL || error.code == ENOKEY; }

std::string LogFileInBackground(const MountPlan& plan) {
  const std::string& chosen = plan.config.log.file;
  return chosen.empty() ? plan.config.cache_dir + "/outboxfs.log" : chosen;
}

// What a killed daemon left is cleared away before anything looks at the mountpoint.
Result<std::unique_ptr<Daemon>> StartDaemon(MountPlan plan, const Environment& environment) {
  Status ended = EndKilledDaemonAt(environment, plan.config.mount.mountpoint);
  if (ended) ended = EndKilledOwner(environment, plan.config.cache_dir);
  if (!ended) return Fail(ended.error());
  return Daemon::Start(std::move(plan), environment);
}

// The mount itself, in this process.
int Serve(MountPlan plan, const Environment& environment, ReadyPipe ready) {
  const DeathWatch watch(plan.config.mount.mountpoint);
  BlockSignals();
  // In the background standard error is the log file already (launcher.h).
  if (!InitLog(plan.config.log)) {
    return Complain(kExitFailed, fmt::format("cannot write the log {}", plan.config.log.file));
  }
  if (ready.has_launcher()) plan.config.log.file = LogFileInBackground(plan);
  Result<std::unique_ptr<Daemon>> daemon = StartDaemon(std::move(plan), environment);
  if (!daemon) {
    const std::string line = Scrub(daemon.error().text);
    ready.Failed(kExitFailed, line);
    return Complain(kExitFailed, line);
  }
  return (*daemon)->Run(ready);
}

}  // namespace

int RunMount(const CommandContext& context) {
  ReadyPipe ready(context.environment);
  Result<MountPlan> plan = PlanMount(context.operands.at(0), context.operands.at(1), context.config,
                                     context.environment);
  if (!plan) {
    const int code = IsUsage(plan.error()) ? kExitUsage : kExitFailed;
    ready.Failed(code, plan.error().text);
    return Complain(code, plan.error().text);
  }
  if (context.config.foreground || ready.has_launcher()) {
    return Serve(std::move(*plan), context.environment, std::move(ready));
  }
  return LaunchInBackground(context.arguments, context.environment, LogFileInBackground(*plan));
}

}  // namespace outboxfs::cli
