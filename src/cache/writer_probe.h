// Finds writers of a file that nobody told us about: handles of a daemon that was killed (a
// passthrough descriptor goes on writing) and living shared mappings (docs/ARCHITECTURE.md,
// "Closing and sealing").
#pragma once

#include "common/result.h"

namespace outboxfs::cache {

// True when somebody else has the file behind `fd` open for writing. `fd` must have been opened
// O_RDONLY, and this process must hold no writable descriptor of it. Takes a read lease and drops
// it at once; somebody who opens for writing just then waits for that moment. On a file system
// without leases nothing can be found out: false.
Result<bool> HasForeignWriter(int fd);

// True when anybody else, ourselves included, has the file behind `fd` (O_RDONLY) open in any way,
// and also when it cannot be found out.
bool IsOpenElsewhere(int fd);

}  // namespace outboxfs::cache
