// What a signal to the caller means for its request. The kernel tells of every signal that comes
// while a caller waits, also of timers and ended children, and hands our EINTR to programs that do
// not expect any from a file system.
#pragma once

#include <sys/types.h>

#include <string_view>

namespace outboxfs::fs {

// Whether the thread `caller` will die of a signal that waits for it, or handles one by which
// people end programs (SIGHUP, SIGINT, SIGQUIT, SIGTERM). True when nothing can be learnt of it.
bool GivesUp(pid_t caller);
// By the text of /proc/PID/status.
bool GivesUp(std::string_view process_status);

}  // namespace outboxfs::fs
