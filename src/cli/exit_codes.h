// What the program tells its caller; docs/SEMANTICS.md has the same table.
#pragma once

namespace outboxfs::cli {

enum ExitCode : int {
  kExitOk = 0,
  kExitFailed = 1,   // it did not work; `wait`: something is parked
  kExitUsage = 2,    // the command line, the environment or the configuration file is wrong
  kExitLeft = 3,     // unmounted, but something is left for the next start
  kExitTimeout = 4,  // `wait --timeout` is over
};

}  // namespace outboxfs::cli
