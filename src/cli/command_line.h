// What was typed, split into sub-command, operands and flags. Knows the sub-commands' words only;
// the options come from options.h.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "cli/load_config.h"

namespace outboxfs::cli {

struct Operand {
  std::string name;  // "REMOTE"
  std::string help;
  bool required = true;
  bool many = false;  // takes the rest
};

// One sub-command as the command line and the help see it.
struct CommandInfo {
  std::string name;
  CommandBit bit = kMount;
  std::string summary;
  std::vector<Operand> operands;
  std::string examples;
};

struct Invocation {
  CommandBit command = kMount;
  std::vector<std::string> operands;
  Settings flags;
  std::string config_file;  // --config
};

// Nothing is left to do but to print: help and version to standard output (exit code 0), errors to
// standard error (kExitUsage).
struct Message {
  int exit_code = 0;
  std::string text;
};

std::variant<Invocation, Message> ParseCommandLine(const std::vector<CommandInfo>& commands,
                                                   const std::vector<std::string>& arguments);

}  // namespace outboxfs::cli
