#include "cache/writer_probe.h"

#include <fcntl.h>

#include <cerrno>
#include <csignal>

namespace outboxfs::cache {

Result<bool> HasForeignWriter(int fd) {
  // A lease that is broken while we hold it sends a signal, by default SIGIO, which kills. SIGURG
  // is ignored by default.
  if (::fcntl(fd, F_SETSIG, SIGURG) < 0) return FailErrno(errno, "writer probe: F_SETSIG");
  if (::fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
    if (::fcntl(fd, F_SETLEASE, F_UNLCK) < 0) return FailErrno(errno, "writer probe: drop lease");
    return false;
  }
  if (errno == EAGAIN) return true;
  if (errno == EINVAL || errno == EOPNOTSUPP || errno == ENOLCK) return false;
  return FailErrno(errno, "writer probe: F_SETLEASE");
}

bool IsOpenElsewhere(int fd) {
  if (::fcntl(fd, F_SETSIG, SIGURG) < 0) return true;
  if (::fcntl(fd, F_SETLEASE, F_WRLCK) < 0) return true;
  return ::fcntl(fd, F_SETLEASE, F_UNLCK) < 0;
}

}  // namespace outboxfs::cache
