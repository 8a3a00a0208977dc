#include "cli/control_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "cli/control_socket.h"
#include "common/log.h"
#include "common/thread.h"

namespace outboxfs::cli {
namespace {

bool MayCommand(int fd) {
  const Result<Peer> peer = PeerOf(fd);
  if (peer && (peer->uid == ::geteuid() || peer->uid == 0)) return true;
  Log::Warning("control socket: refused a connection of user {}", peer ? peer->uid : uid_t(-1));
  return false;
}

}  // namespace

Result<std::unique_ptr<ControlServer>> ControlServer::Start(const std::string& path,
                                                            Handler handler) {
  Result<FileDescriptor> listener = ListenAt(path);
  if (!listener) return Fail(listener.error());
  return std::unique_ptr<ControlServer>(
      new ControlServer(path, std::move(handler), std::move(*listener)));
}

ControlServer::ControlServer(std::string path, Handler handler, FileDescriptor listener)
    : path_(std::move(path)), handler_(std::move(handler)), listener_(std::move(listener)) {
  acceptor_ = StartThread("control", [this](const std::stop_token& stop) { Accept(stop); });
}

ControlServer::~ControlServer() {
  acceptor_.request_stop();
  ::shutdown(listener_.get(), SHUT_RDWR);  // wakes accept
  acceptor_.join();
  const Status removed = disk::Remove(path_);
  if (!removed) Log::Warning("control socket: {}", removed.error().text);
  std::list<Connection> left;
  {
    MutexLock lock(mu_);
    left.swap(connections_);
  }
  for (Connection& connection : left) {
    connection.thread.request_stop();
    ::shutdown(connection.fd.get(), SHUT_RD);  // the reply under way may still be written
  }
}

void ControlServer::Accept(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    FileDescriptor fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!fd && (errno == EINTR || errno == ECONNABORTED)) continue;
    if (!fd) {
      if (!stop.stop_requested()) Log::Error("control socket: {}", errno);
      return;
    }
    Reap();
    if (MayCommand(fd.get())) Admit(std::move(fd));
  }
}

void ControlServer::Admit(FileDescriptor fd) {
  MutexLock lock(mu_);
  if (connections_.size() >= kMaxConnections) return;  // closes it: the client says so
  Connection& connection = connections_.emplace_back();
  connection.fd = std::move(fd);
  connection.thread = StartThread("control client", [this, &connection](const auto& stop) {
    Serve(connection.fd.get(), stop);
    ::shutdown(connection.fd.get(), SHUT_RDWR);
    MutexLock ended_lock(mu_);
    connection.ended = true;
  });
}

void ControlServer::Serve(int fd, const std::stop_token& stop) const {
  LineReader reader(fd, kMaxRequest);
  while (!stop.stop_requested()) {
    const Result<std::string> line = reader.Next();
    if (!line) return;
    const Result<ControlRequest> request = DecodeRequest(*line);
    ControlReply reply;
    if (request) {
      reply = handler_(*request, stop);
    } else {
      reply.error = request.error().text;
    }
    if (!WriteLine(fd, Encode(reply))) return;
  }
}

void ControlServer::Reap() {
  std::list<Connection> ended;  // destroyed, and thereby joined, without the lock
  MutexLock lock(mu_);
  for (auto it = connections_.begin(); it != connections_.end();) {
    const auto next = std::next(it);
    if (it->ended) ended.splice(ended.end(), connections_, it);
    it = next;
  }
}

}  // namespace outboxfs::cli
