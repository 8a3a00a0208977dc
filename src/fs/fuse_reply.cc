#include "fs/fuse_reply.h"

#include <cerrno>

#include "common/log.h"
#include "fs/fuse_ops.h"

namespace outboxfs::fs {

Filesystem& Fs(fuse_req_t req) {
  return static_cast<OpsContext*>(fuse_req_userdata(req))->filesystem;
}

void ReplyError(fuse_req_t req, const char* operation, fuse_ino_t ino, const Error& error) {
  const int code = error.code > 0 ? error.code : EIO;
  if (code == EIO || code == ETIMEDOUT || code == ENOSPC) {
    Log::Warning("{} of inode {}: {}", operation, ino, error.text);
  } else {
    Log::Debug("{} of inode {}: {} ({})", operation, ino, error.text, code);
  }
  fuse_reply_err(req, code);
}

void ReplyStatus(fuse_req_t req, const char* operation, fuse_ino_t ino, const Status& status) {
  if (!status) return ReplyError(req, operation, ino, status.error());
  fuse_reply_err(req, 0);
}

}  // namespace outboxfs::fs
