// The sub-commands. Each is given what was asked for and returns the process's exit code; what went
// wrong is one line on standard error.
#pragma once

#include <string>
#include <vector>

#include "cli/config.h"
#include "cli/environment.h"

namespace outboxfs::cli {

struct CommandContext {
  std::vector<std::string> operands;
  Config config;
  Environment environment;
  std::vector<std::string> arguments;  // all, as typed: mount starts itself again with them
};

int RunMount(const CommandContext& context);
int RunUnmount(const CommandContext& context);
int RunServe(const CommandContext& context);
int RunStatus(const CommandContext& context);
int RunWait(const CommandContext& context);
int RunRetry(const CommandContext& context);

// "outboxfs: <text>" on standard error; returns `exit_code`.
int Complain(int exit_code, const std::string& text);

}  // namespace outboxfs::cli
