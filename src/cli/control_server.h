// The daemon's end of the control socket: accepts its owner (and root), reads one request per line,
// writes one reply per line.
//
// One thread accepts, each connection has its own (at most kMaxConnections), so that a slow command
// (unmount waits for uploads) does not stand in the way of `status`.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <thread>

#include "cli/control_messages.h"
#include "common/disk.h"
#include "common/mutex.h"

namespace outboxfs::cli {

class ControlServer {
 public:
  // Called on several threads at once; a long one ends early on stop.
  using Handler = std::function<ControlReply(const ControlRequest&, const std::stop_token&)>;

  static constexpr size_t kMaxConnections = 16;

  // EADDRINUSE when another daemon answers at `path`.
  static Result<std::unique_ptr<ControlServer>> Start(const std::string& path, Handler handler);
  // Replies that are under way are still written; then every connection is closed and the socket
  // removed.
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

 private:
  struct Connection {
    FileDescriptor fd;
    bool ended = false;  // guarded by the server's mu_
    std::jthread thread;
  };

  ControlServer(std::string path, Handler handler, FileDescriptor listener);
  void Accept(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);
  void Admit(FileDescriptor fd) ABSL_LOCKS_EXCLUDED(mu_);
  void Serve(int fd, const std::stop_token& stop) const;
  // Joins threads that have ended.
  void Reap() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string path_;
  const Handler handler_;
  const FileDescriptor listener_;
  Mutex mu_;
  std::list<Connection> connections_ ABSL_GUARDED_BY(mu_);
  std::jthread acceptor_;
};

}  // namespace outboxfs::cli
