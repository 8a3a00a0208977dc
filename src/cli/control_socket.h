// The unix socket between a daemon and the commands that talk to it: owner only, one line each way.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "common/disk.h"

namespace outboxfs::cli {

// Listens at `path` with 0600. A socket that a dead daemon left is replaced; EADDRINUSE when a
// living one answers there.
Result<FileDescriptor> ListenAt(const std::string& path);
// ENOENT or ECONNREFUSED when no daemon is there; ESRCH when it was killed and only its socket is
// left, which would take words and never answer.
Result<FileDescriptor> ConnectTo(const std::string& path);
// The process behind such a socket.
std::optional<pid_t> KilledListener(const std::string& path);

struct Peer {
  pid_t pid = 0;
  uid_t uid = 0;
};
// Who is at the other end, as the kernel says.
Result<Peer> PeerOf(int fd);

// Reads lines of at most `limit` bytes from a connection. Not thread-safe.
class LineReader {
 public:
  LineReader(int fd, size_t limit) : fd_(fd), limit_(limit) {}
  // Without its line end. EPIPE at the end of the stream, EMSGSIZE beyond the limit.
  Result<std::string> Next();

 private:
  const int fd_;
  const size_t limit_;
  std::string buffer_;
  size_t searched_ = 0;  // no line end before this
};

// EPIPE when the other end is gone, EAGAIN when it reads nothing for too long.
Status WriteLine(int fd, const std::string& line);

}  // namespace outboxfs::cli
