// Other processes, as the kernel shows them.
#pragma once

#include <sys/types.h>

#include <chrono>

#include "common/disk.h"

namespace outboxfs {

// Whether `pid` was killed or is ending, or has ended and is not reaped yet: it runs no code of its
// own any more. Threads of it may still wait in the kernel, with its files open and its locks held.
// False when there is no such process.
bool IsKilled(pid_t pid);

// A hold on a process (a pidfd): whatever becomes of its pid, this stays the same process. Empty
// when there is none, or when it is of another pid namespace.
FileDescriptor OpenProcess(pid_t pid);
// Waits until every thread of it has ended, so that its files are closed; false after `timeout`.
bool AwaitEnd(const FileDescriptor& process, std::chrono::milliseconds timeout);

}  // namespace outboxfs
