// The edge to libfuse: here and in fuse_xattr.cc are the handlers. Each copies its arguments, calls
// one operation of Filesystem, and replies; one place logs failures and turns them into an errno.
#pragma once

#include <functional>

#include "fs/filesystem.h"

struct fuse_conn_info;
struct fuse_lowlevel_ops;

namespace outboxfs::fs {

// What the handlers get as libfuse's user data. Must outlive the session.
struct OpsContext {
  Filesystem& filesystem;
  // Called once, for INIT, by a FUSE thread.
  std::function<void(struct fuse_conn_info&)> on_init;
};

const struct fuse_lowlevel_ops& Operations();

}  // namespace outboxfs::fs
