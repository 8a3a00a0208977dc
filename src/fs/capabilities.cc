#include "fs/capabilities.h"

#include <cstdint>

#include "fs/fuse_api.h"

namespace outboxfs::fs {
namespace {

constexpr unsigned kMaxWrite = 1 << 20;
constexpr unsigned kMaxBackground = 64;  // read-ahead requests at once

// False when the kernel does not have it.
bool Want(struct fuse_conn_info& conn, uint64_t flag) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  return fuse_set_feature_flag(&conn, flag);
#else
  if ((conn.capable & flag) == 0) return false;
  conn.want |= static_cast<unsigned>(flag);
  return true;
#endif
}

void Refuse(struct fuse_conn_info& conn, uint64_t flag) {
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  fuse_unset_feature_flag(&conn, flag);
#else
  conn.want &= ~static_cast<unsigned>(flag);
#endif
}

}  // namespace

std::string Negotiate(struct fuse_conn_info& conn) {
  conn.max_write = kMaxWrite;
  conn.max_background = kMaxBackground;
  Want(conn, FUSE_CAP_ASYNC_READ);
  Want(conn, FUSE_CAP_ATOMIC_O_TRUNC);
  // Without it a slow lookup blocks its whole directory.
  Want(conn, FUSE_CAP_PARALLEL_DIROPS);
  // Always with attributes: `ls -l` of what was just listed then asks nothing more.
  Want(conn, FUSE_CAP_READDIRPLUS);
  Refuse(conn, FUSE_CAP_READDIRPLUS_AUTO);
  // There are no ACLs, but so the kernel remembers that: `ls -l` asks for every file's.
  Want(conn, FUSE_CAP_POSIX_ACL);
  Want(conn, FUSE_CAP_SPLICE_WRITE);
  Refuse(conn, FUSE_CAP_SPLICE_READ);
  // The first version asks for security.capability before every write; the second does not.
  Refuse(conn, FUSE_CAP_HANDLE_KILLPRIV);
#ifdef FUSE_CAP_HANDLE_KILLPRIV_V2
  Want(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
#endif
#ifdef FUSE_CAP_NO_EXPORT_SUPPORT
  Want(conn, FUSE_CAP_NO_EXPORT_SUPPORT);
#endif
  Refuse(conn, FUSE_CAP_WRITEBACK_CACHE);  // turns passthrough off
#ifdef FUSE_CAP_PASSTHROUGH
  if (!Want(conn, FUSE_CAP_PASSTHROUGH)) return "the kernel has none (Linux 6.9 brought it)";
  conn.max_backing_stack_depth = FUSE_BACKING_STACKED_OVER;
  return "";
#else
  return "built with a libfuse older than 3.17";
#endif
}

}  // namespace outboxfs::fs
