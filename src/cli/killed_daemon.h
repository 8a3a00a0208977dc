// Clearing away a daemon that was killed and cannot end (fs/killed_daemon.h), before anybody looks
// at its mount, which would hang too.
#pragma once

#include <string>

#include "cli/environment.h"
#include "common/result.h"

namespace outboxfs::cli {

// The daemon that served `mountpoint` last, by its control socket. Does nothing unless it was
// killed. EBUSY with one clear line when it cannot be ended.
Status EndKilledDaemonAt(const Environment& environment, const std::string& mountpoint);
// The one that holds the cache directory, wherever it was mounted.
Status EndKilledOwner(const Environment& environment, const std::string& cache_dir);

}  // namespace outboxfs::cli
