// The commands' end of the control socket.
#pragma once

#include <string>
#include <vector>

#include "cli/control_messages.h"
#include "cli/control_socket.h"
#include "cli/environment.h"

namespace outboxfs::cli {

// One connection to a daemon. Not thread-safe.
class ControlClient {
 public:
  // ENOENT or ECONNREFUSED: no daemon there. EACCES: it is somebody else's.
  static Result<ControlClient> Connect(const std::string& socket_path);

  // The reply; what the daemon could not do is an error too (EIO with its words).
  Result<ControlReply> Ask(const ControlRequest& request);
  // Waits until the daemon's process has ended, at most `timeout`. False when it has not.
  bool AwaitEnd(std::chrono::milliseconds timeout);
  pid_t pid() const { return pid_; }

 private:
  explicit ControlClient(FileDescriptor fd, pid_t pid);

  FileDescriptor fd_;
  LineReader reader_;
  pid_t pid_;
  FileDescriptor process_;  // pidfd, so that a reused pid cannot deceive; may be empty
};

// A path inside a mount: whose daemon, and the path as the mount sees it.
struct MountedPath {
  std::string mountpoint;
  std::string socket;
  std::string path;  // "/" is the mount itself
};
// The mount of ours that holds `path` (which need not exist). ENOENT when none does;
// ESRCH when its daemon was killed and hangs, as a look into the mount would.
Result<MountedPath> FindMount(const Environment& environment, const std::string& path);
// The sockets of all daemons of this user that answer.
Result<std::vector<std::string>> LivingSockets(const Environment& environment);

}  // namespace outboxfs::cli
