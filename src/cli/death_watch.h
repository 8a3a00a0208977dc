// A small process beside the daemon. When the daemon is killed and one of its threads hangs in the
// kernel (fs/killed_daemon.h), nobody would free the programs that wait for its answers, and a
// service manager would not even see it end: this does.
#pragma once

#include <sys/types.h>

#include <string>

#include "common/disk.h"

namespace outboxfs::cli {

class DeathWatch {
 public:
  // REQUIRES: the thread that is the first one of the daemon, and as yet its only one. Without a
  // second process (fork fails) the next `mount` or `unmount` has to do it.
  explicit DeathWatch(const std::string& mountpoint);
  // The daemon ends by itself: so does the watch.
  ~DeathWatch();
  DeathWatch(const DeathWatch&) = delete;
  DeathWatch& operator=(const DeathWatch&) = delete;

 private:
  FileDescriptor alive_;  // closed with the daemon's last thread, if that ends
  pid_t watcher_ = -1;
};

}  // namespace outboxfs::cli
