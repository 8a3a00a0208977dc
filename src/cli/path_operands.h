// PATH operands of `wait` and `retry`, sorted by the mount that they belong to.
#pragma once

#include <string>
#include <vector>

#include "cli/environment.h"
#include "common/result.h"

namespace outboxfs::cli {

struct MountOperands {
  std::string socket;
  std::vector<std::string> paths;  // mount paths; none means the whole mount
};

// Without any path: every mount of this user. ENOENT with a clear line when a path is in no mount,
// or when there is no mount at all.
Result<std::vector<MountOperands>> SortByMount(const Environment& environment,
                                               const std::vector<std::string>& paths);

}  // namespace outboxfs::cli
