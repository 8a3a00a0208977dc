// The one table of everything that can be set. The command line, the environment, the configuration
// file, the defaults and the help are all made from it, so that they cannot disagree.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "cli/config.h"
#include "common/result.h"

namespace outboxfs::cli {

// Sub-commands that an option belongs to, as a set of bits.
enum CommandBit : unsigned {
  kMount = 1,
  kUnmount = 2,
  kServe = 4,
  kStatus = 8,
  kWait = 16,
  kRetry = 32,
  kAllCommands = 63,
};

enum class OptionKind {
  kValue,   // --name VALUE; the last one counts
  kList,    // --name VALUE, repeatable
  kSwitch,  // --name
  kCount,   // -v, -vv
};

using Values = std::vector<std::string>;

struct OptionSpec {
  std::string name;  // "write-back": --write-back, OUTBOXFS_WRITE_BACK, write-back = … in the file
  std::string spelling;  // other spellings on the command line ("-v,--verbose"); may be empty
  unsigned commands = 0;
  OptionKind kind = OptionKind::kValue;
  std::string value;     // "DURATION" for the help; empty for switches
  std::string fallback;  // the default, as one would write it; empty: none
  std::string help;
  // Puts the value(s) into the configuration. EINVAL with what is wrong with them.
  std::function<Status(Config&, const Values&)> apply;
  bool secret = false;  // never on the command line (it shows in ps); the file must be private
};

const std::vector<OptionSpec>& Options();
// By name or, in files, also with "_" for "-"; nullptr when there is none.
const OptionSpec* FindOption(const std::string& name);
std::vector<std::string> OptionNames();
// OUTBOXFS_WRITE_BACK
std::string EnvironmentName(const OptionSpec& option);

}  // namespace outboxfs::cli
