// The handlers of extended attributes.
#include <sys/xattr.h>

#include <cerrno>

#include "fs/fuse_reply.h"

namespace outboxfs::fs {
namespace {

void ReplyBytes(fuse_req_t req, const std::string& bytes, size_t size) {
  if (size == 0) {
    fuse_reply_xattr(req, bytes.size());
  } else if (size < bytes.size()) {
    fuse_reply_err(req, ERANGE);
  } else {
    fuse_reply_buf(req, bytes.data(), bytes.size());
  }
}

void Get(fuse_req_t req, fuse_ino_t ino, const char* name, size_t size) {
  const auto value = Fs(req).GetXattr(ino, name);
  if (!value) return ReplyError(req, "getxattr", ino, value.error());
  ReplyBytes(req, *value, size);
}

void List(fuse_req_t req, fuse_ino_t ino, size_t size) {
  const auto names = Fs(req).ListXattr(ino);
  if (!names) return ReplyError(req, "listxattr", ino, names.error());
  std::string list;
  for (const std::string& name : *names) list.append(name).push_back('\0');
  ReplyBytes(req, list, size);
}

void Set(fuse_req_t req, fuse_ino_t ino, const char* name, const char* value, size_t size,
         int flags) {
  using Mode = cache::Store::XattrMode;
  Mode mode = Mode::kSet;
  if (flags == XATTR_CREATE) mode = Mode::kCreate;
  if (flags == XATTR_REPLACE) mode = Mode::kReplace;
  ReplyStatus(req, "setxattr", ino, Fs(req).SetXattr(ino, name, {value, size}, mode));
}

void Remove(fuse_req_t req, fuse_ino_t ino, const char* name) {
  ReplyStatus(req, "removexattr", ino, Fs(req).RemoveXattr(ino, name));
}

}  // namespace

void AddXattrHandlers(fuse_lowlevel_ops& operations) {
  operations.getxattr = Get;
  operations.listxattr = List;
  operations.setxattr = Set;
  operations.removexattr = Remove;
}

}  // namespace outboxfs::fs
