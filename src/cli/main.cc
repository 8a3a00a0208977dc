// The program: finds the sub-command, loads its configuration, runs it.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <utility>

#include "cli/command_line.h"
#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/load_config.h"

namespace outboxfs::cli {
namespace {

struct Command {
  CommandInfo info;
  int (*run)(const CommandContext&);
};

const std::vector<Command>& Commands() {
  static const auto* commands = new std::vector<Command>{
      {{"mount",
        kMount,
        "Mount a folder of a CloudDrive2 server",
        {{"REMOTE", "[scheme://]host[:port][/folder], or embedded:DIR to serve DIR ourselves"},
         {"MOUNTPOINT", "an empty directory (with -o nonempty, any)"}},
        "  outboxfs mount --token-file ~/.cd2-token nas:19798/115open/Backup /mnt/backup\n"
        "  outboxfs mount --foreground -v https://cloud.example.net /mnt/cloud\n"
        "  outboxfs mount embedded:/srv/try /mnt/try"},
       RunMount},
      {{"unmount",
        kUnmount,
        "Finish the uploads and unmount; exit code 3 when something is left for the next mount",
        {{"MOUNTPOINT", "where it is mounted"}},
        "  outboxfs unmount /mnt/backup\n"
        "  outboxfs unmount --drain-timeout 5m /mnt/backup\n"
        "  outboxfs unmount --no-drain /mnt/backup"},
       RunUnmount},
      {{"status",
        kStatus,
        "Show what is mounted, what is being uploaded, and what is stuck and why",
        {{"MOUNTPOINT", "only this mount, or the one that holds this path", false}},
        "  outboxfs status\n"
        "  outboxfs status --json --limit 0 /mnt/backup | jq .items"},
       RunStatus},
      {{"wait",
        kWait,
        "Wait until everything is uploaded; exit code 1 when something is stuck, 4 at the timeout",
        {{"PATH", "only these files or directories", false, true}},
        "  cp -r photos /mnt/backup/ && outboxfs wait /mnt/backup/photos && rm -r photos\n"
        "  outboxfs wait --timeout 1h"},
       RunWait},
      {{"retry",
        kRetry,
        "Try again at once what is parked, interrupted or waiting after a failure",
        {{"PATH", "only these files or directories", false, true}},
        "  outboxfs retry\n"
        "  outboxfs retry /mnt/backup/photos"},
       RunRetry},
      {{"serve",
        kServe,
        "Serve a directory as a CloudDrive2 server does: for trying out and for tests",
        {{"DIR", "the directory", false}},  // not for --knob help
        "  outboxfs serve --token-file token /srv/try\n"
        "  outboxfs serve --listen 0.0.0.0:19798 --knob read_order=random /srv/try"},
       RunServe},
  };
  return *commands;
}

int Run(const std::vector<std::string>& arguments, Environment environment) {
  std::vector<CommandInfo> infos;
  for (const Command& command : Commands()) infos.push_back(command.info);
  std::variant<Invocation, Message> parsed = ParseCommandLine(infos, arguments);
  if (const auto* message = std::get_if<Message>(&parsed)) {
    fmt::print(message->exit_code == kExitOk ? stdout : stderr, "{}", message->text);
    return message->exit_code;
  }
  auto& invocation = std::get<Invocation>(parsed);
  Result<Config> config =
      LoadConfig({std::move(invocation.flags), invocation.config_file, environment});
  if (!config) return Complain(kExitUsage, config.error().text);
  const CommandContext context{std::move(invocation.operands), std::move(*config),
                               std::move(environment), arguments};
  for (const Command& command : Commands()) {
    if (command.info.bit == invocation.command) return command.run(context);
  }
  return kExitUsage;
}

}  // namespace

int Complain(int exit_code, const std::string& text) {
  fmt::print(stderr, "outboxfs: {}\n", Scrub(text));
  return exit_code;
}

}  // namespace outboxfs::cli

int main(int argc, char** argv) {
  try {
    return outboxfs::cli::Run({argv + 1, argv + argc}, outboxfs::cli::ReadEnvironment(::environ));
  } catch (const std::exception& error) {
    return outboxfs::cli::Complain(outboxfs::cli::kExitFailed, error.what());
  }
}
