// A killed daemon that does not end. Its notifier can wait in the kernel for the lock of a
// directory that a caller holds; the caller waits for the daemon's answer; and the thread keeps
// /dev/fuse open, so the kernel does not give the caller up. Only an abort of the connection frees
// them.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/result.h"

namespace outboxfs::fs {

// Aborts the connections that `pid` holds, and waits until it has ended, so that its locks are
// free. Does nothing when it is no killed process. `mountpoint` is where it served, and nobody
// after it; empty when that is not certain: older kernels need it to tell the connection. Never
// looks into the mount. EBUSY: it does not end.
Status EndKilledDaemon(pid_t pid, const std::string& mountpoint);

}  // namespace outboxfs::fs
