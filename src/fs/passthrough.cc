#include "fs/passthrough.h"

#include <sys/statvfs.h>

#include <cerrno>

#include "common/log.h"

namespace outboxfs::fs {
namespace {

// A passthrough writer cannot be made to wait for room: it needs that much free space on the cache
// disk at its first open.
constexpr uint64_t kNeededFreeBytes = uint64_t{4} << 30;

bool HasRoom(int fd) {
  struct statvfs st = {};
  return fstatvfs(fd, &st) != 0 || uint64_t{st.f_bavail} * st.f_frsize > kNeededFreeBytes;
}

// Errors that say "never here", not "not now".
bool IsForGood(int code) {
  switch (code) {
    case EPERM:       // no CAP_SYS_ADMIN
    case ENOTTY:      // the kernel knows no backing files
    case EOPNOTSUPP:  // it was not negotiated
    case ENOSYS:
    case ELOOP:   // the cache directory is itself on a stacked file system
    case EINVAL:  // ... or on one that cannot be a backing file
      return true;
    default:
      return false;
  }
}

}  // namespace

Passthrough::Passthrough(Backings& backings, std::string reason)
    : backings_(backings), on_(reason.empty()), reason_(std::move(reason)) {}

void Passthrough::Disable(const std::string& reason) {
  {
    MutexLock lock(mu_);
    if (!on_.exchange(false)) return;
    reason_ = reason;
  }
  Log::Notice("no passthrough: {}", reason);
}

int Passthrough::Open(int fd) {
  if (!on() || !HasRoom(fd)) return 0;
  const Result<int> id = backings_.Open(fd);
  if (id) return *id;
  if (IsForGood(id.error().code)) {
    Disable(id.error().text);
  } else {
    Log::Debug("a file without passthrough: {}", id.error().text);
  }
  return 0;
}

std::string Passthrough::reason() const {
  MutexLock lock(mu_);
  return reason_;
}

}  // namespace outboxfs::fs
