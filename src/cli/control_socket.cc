#include "cli/control_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/process.h"

namespace outboxfs::cli {
namespace {

constexpr int kBacklog = 16;
constexpr timeval kSendTimeout = {5, 0};
constexpr size_t kReadSize = 64 << 10;

Result<sockaddr_un> AddressOf(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) {
    return Fail(ENAMETOOLONG, fmt::format("{} is too long for a socket", path));
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<FileDescriptor> NewSocket() {
  FileDescriptor fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return FailErrno(errno, "control socket");
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &kSendTimeout, sizeof(kSendTimeout));
  return fd;
}

Result<FileDescriptor> Dial(const std::string& path) {
  const Result<sockaddr_un> address = AddressOf(path);
  if (!address) return Fail(address.error());
  Result<FileDescriptor> fd = NewSocket();
  if (!fd) return fd;
  if (::connect(fd->get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return FailErrno(errno, "connect to " + path);
  }
  return fd;
}

}  // namespace

Result<FileDescriptor> ConnectTo(const std::string& path) {
  Result<FileDescriptor> fd = Dial(path);
  const Result<Peer> peer = fd ? PeerOf(fd->get()) : Fail(fd.error());
  if (peer && IsKilled(peer->pid)) {
    return Fail(ESRCH, fmt::format("its daemon (pid {}) was killed", peer->pid));
  }
  return fd;
}

std::optional<pid_t> KilledListener(const std::string& path) {
  const Result<FileDescriptor> fd = Dial(path);
  const Result<Peer> peer = fd ? PeerOf(fd->get()) : Fail(fd.error());
  if (!peer || !IsKilled(peer->pid)) return std::nullopt;
  return peer->pid;
}

Result<FileDescriptor> ListenAt(const std::string& path) {
  const Result<sockaddr_un> address = AddressOf(path);
  if (!address) return Fail(address.error());
  if (ConnectTo(path)) {
    return Fail(EADDRINUSE, "another outboxfs still serves this mountpoint, or is leaving it");
  }
  if (Status removed = disk::Remove(path); !removed) return Fail(removed.error());
  Result<FileDescriptor> fd = NewSocket();
  if (!fd) return fd;
  // The directory is ours alone, so nobody comes in between bind and chmod.
  if (::bind(fd->get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::listen(fd->get(), kBacklog) != 0) {
    return FailErrno(errno, "listen at " + path);
  }
  return fd;
}

Result<Peer> PeerOf(int fd) {
  ucred credentials{};
  socklen_t size = sizeof(credentials);
  if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return FailErrno(errno, "peer of the control socket");
  }
  return Peer{credentials.pid, credentials.uid};
}

Result<std::string> LineReader::Next() {
  while (true) {
    const size_t end = buffer_.find('\n', searched_);
    if (end != std::string::npos) {
      std::string line = buffer_.substr(0, end);
      buffer_.erase(0, end + 1);
      searched_ = 0;
      return line;
    }
    searched_ = buffer_.size();
    if (searched_ > limit_) return Fail(EMSGSIZE, "a message is too long");
    std::array<char, kReadSize> chunk;  // NOLINT(cppcoreguidelines-pro-type-member-init): read into
    const ssize_t n = ::recv(fd_, chunk.data(), chunk.size(), 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno(errno, "control socket");
    if (n == 0) return Fail(EPIPE, "the other end has closed the connection");
    buffer_.append(chunk.data(), static_cast<size_t>(n));
  }
}

Status WriteLine(int fd, const std::string& line) {
  const std::string text = line + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = ::send(fd, text.data() + done, text.size() - done, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return FailErrno(errno, "control socket");
    done += static_cast<size_t>(n);
  }
  return {};
}

}  // namespace outboxfs::cli
