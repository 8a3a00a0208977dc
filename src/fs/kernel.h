// Our calls into the kernel's FUSE: backing files and notifications.
#pragma once

#include <string>

#include "fs/notifier.h"
#include "fs/passthrough.h"

struct fuse_session;

namespace outboxfs::fs {

// Thread-safe. `session` is set once, before the first call.
class Kernel final : public Backings, public KernelCache {
 public:
  void SetSession(struct fuse_session* session) { session_ = session; }

  Result<int> Open(int fd) override;
  void Close(int backing_id) override;

  // Errors are ignored: what the kernel does not know need not be dropped.
  void ExpireEntry(cache::Ino parent, const std::string& name) override;
  void DropAttributes(cache::Ino ino) override;
  void DropContent(cache::Ino ino) override;

 private:
  struct fuse_session* session_ = nullptr;
};

}  // namespace outboxfs::fs
