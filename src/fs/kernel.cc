#include "fs/kernel.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

#include "fs/fuse_api.h"

namespace outboxfs::fs {
namespace {

// From linux/fuse.h of 6.9; the headers of the machine may be older than its kernel. Used directly,
// because libfuse's wrapper loses the errno.
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned kDeviceMagic = 229;
constexpr unsigned long kBackingOpen = _IOW(kDeviceMagic, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(kDeviceMagic, 2, uint32_t);

}  // namespace

Result<int> Kernel::Open(int fd) {
  BackingMap map{.fd = fd, .flags = 0, .padding = 0};
  const int id = ::ioctl(fuse_session_fd(session_), kBackingOpen, &map);
  if (id > 0) return id;
  return FailErrno(id == 0 ? ENOTTY : errno, "the kernel refuses a backing file");
}

void Kernel::Close(int backing_id) {
  auto id = static_cast<uint32_t>(backing_id);
  ::ioctl(fuse_session_fd(session_), kBackingClose, &id);
}

void Kernel::ExpireEntry(cache::Ino parent, const std::string& name) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  // Only its time-out: to drop an entry would cut off who works in that directory.
  const int done = fuse_lowlevel_notify_expire_entry(session_, parent, name.c_str(), name.size());
  if (done != -ENOSYS) return;
#endif
  fuse_lowlevel_notify_inval_entry(session_, parent, name.c_str(), name.size());
}

void Kernel::DropAttributes(cache::Ino ino) {
  fuse_lowlevel_notify_inval_inode(session_, ino, -1, 0);
}

void Kernel::DropContent(cache::Ino ino) { fuse_lowlevel_notify_inval_inode(session_, ino, 0, 0); }

}  // namespace outboxfs::fs
