// What `outboxfs mount` is going to do, decided and checked before anything is touched.
#pragma once

#include <string>

#include "cli/config.h"
#include "cli/environment.h"
#include "common/result.h"

namespace outboxfs::cli {

struct MountPlan {
  Config config;             // every path absolute; endpoint, folder and credentials filled in
  std::string embedded_dir;  // "embedded:DIR": serve this directory ourselves; else empty
  std::string remote_name;   // as shown by status and mount(8)
};

// EINVAL or ENOKEY when the user has to write something else; other errors are the system's.
Result<MountPlan> PlanMount(const std::string& remote, const std::string& mountpoint, Config config,
                            const Environment& environment);

}  // namespace outboxfs::cli
