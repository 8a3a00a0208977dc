// Going to the background: a launcher starts the same program again, detached, and waits on a pipe
// until that one says that the mount works, or why it does not. No fork: gRPC does not survive one.
#pragma once

#include <string>
#include <vector>

#include "cli/environment.h"
#include "common/disk.h"

namespace outboxfs::cli {

// The launcher's side. Runs this program again with the same `arguments` (without the program name)
// in a session of its own, standard error into `log_file` (/dev/null when it cannot be opened).
// Returns its exit code once it is ready (0) or has failed; what it has to say goes to standard
// error. Call before any thread exists.
int LaunchInBackground(const std::vector<std::string>& arguments, const Environment& environment,
                       const std::string& log_file);

// The started program's side. Without a launcher (foreground) everything here does nothing.
class ReadyPipe {
 public:
  explicit ReadyPipe(const Environment& environment);

  // True in a program that LaunchInBackground started.
  bool has_launcher() const { return static_cast<bool>(fd_); }
  // The mount works. EPIPE when the launcher is gone: nobody waits for this mount any more.
  Status Ready();
  // It does not; `line` is for the user.
  void Failed(int exit_code, const std::string& line);

 private:
  Status Tell(const std::string& text);

  FileDescriptor fd_;
};

// Tells systemd, when it started us with a notify socket ($NOTIFY_SOCKET): "READY=1", "STOPPING=1",
// "STATUS=…". Does nothing otherwise.
void NotifySystemd(const Environment& environment, const std::string& message);

}  // namespace outboxfs::cli
