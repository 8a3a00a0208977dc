#include "server/front.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

#include "common/thread.h"

namespace outboxfs::server {
namespace {

constexpr int kHttpThreads = 8;
constexpr size_t kMaxWaiting = 1024;  // HTTP requests
constexpr timeval kIoTimeout{30, 0};  // of one read or write of a request

struct FreeAddresses {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using Addresses = std::unique_ptr<addrinfo, FreeAddresses>;

Result<Addresses> Resolve(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  if (colon == std::string::npos) return Fail(EINVAL, "listen address " + listen + ": no port");
  std::string host = listen.substr(0, colon);
  if (host.size() > 1 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(host.empty() ? nullptr : host.c_str(),
                                  listen.substr(colon + 1).c_str(), &hints, &list);
  if (error != 0) return Fail(EINVAL, "listen address " + listen + ": " + ::gai_strerror(error));
  return Addresses(list);
}

Result<FileDescriptor> Bind(const std::string& listen) {
  const Result<Addresses> addresses = Resolve(listen);
  if (!addresses) return Fail(addresses.error());
  const addrinfo* address = addresses->get();
  FileDescriptor socket(
      ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return FailErrno(errno, "socket");
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  if (::bind(socket.get(), address->ai_addr, address->ai_addrlen) < 0 ||
      ::listen(socket.get(), SOMAXCONN) < 0) {
    return FailErrno(errno, "listen on " + listen);
  }
  return socket;
}

std::string EndpointOf(int socket, const std::string& listen) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
  const in_port_t port = address.ss_family == AF_INET6
                             ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                             : reinterpret_cast<const sockaddr_in&>(address).sin_port;
  return listen.substr(0, listen.rfind(':') + 1) + std::to_string(ntohs(port));
}

}  // namespace

Result<std::unique_ptr<Front>> Front::Listen(const std::string& listen) {
  auto listener = Bind(listen);
  if (!listener) return Fail(listener.error());
  FileDescriptor poll(::epoll_create1(EPOLL_CLOEXEC));
  FileDescriptor wake(::eventfd(0, EFD_CLOEXEC));
  if (!poll || !wake) return FailErrno(errno, "epoll");
  const std::string endpoint = EndpointOf(listener->get(), listen);
  return std::unique_ptr<Front>(
      new Front(std::move(*listener), std::move(poll), std::move(wake), endpoint));
}

Front::Front(FileDescriptor listener, FileDescriptor poll, FileDescriptor wake,
             std::string endpoint)
    : poll_(std::move(poll)),
      wake_(std::move(wake)),
      endpoint_(std::move(endpoint)),
      listener_(std::move(listener)),
      requests_(kMaxWaiting) {
  for (int fd : {listener_.get(), wake_.get()}) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    ::epoll_ctl(poll_.get(), EPOLL_CTL_ADD, fd, &event);
  }
}

void Front::Start(GrpcHandler grpc, HttpHandler http) {
  grpc_ = std::move(grpc);
  http_ = std::move(http);
  threads_.push_back(
      StartThread("srv-accept", [this](const std::stop_token& stop) { AcceptLoop(stop); }));
  for (int i = 0; i < kHttpThreads; ++i) {
    threads_.push_back(
        StartThread("srv-http", [this](const std::stop_token& stop) { HttpLoop(stop); }));
  }
}

void Front::Stop() {
  for (std::jthread& thread : threads_) thread.request_stop();
  const uint64_t one = 1;
  static_cast<void>(!::write(wake_.get(), &one, sizeof(one)));  // cannot fail: the counter is small
  {
    MutexLock lock(mu_);
    for (int fd : connections_) ::shutdown(fd, SHUT_RDWR);
  }
  threads_.clear();
  listener_.Close();
  MutexLock lock(mu_);
  for (int fd : connections_) ::close(fd);
  connections_.clear();
}

void Front::AcceptLoop(const std::stop_token& stop) {
  std::array<epoll_event, 64> events{};
  while (!stop.stop_requested()) {
    const int n = ::epoll_wait(poll_.get(), events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n && !stop.stop_requested(); ++i) {
      const int fd = events[static_cast<size_t>(i)].data.fd;
      if (fd == listener_.get()) {
        Accept();
      } else if (fd != wake_.get()) {
        OnReadable(fd);
      }
    }
  }
}

void Front::Accept() {
  while (true) {
    const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) return;  // nobody waits, or the client has gone, or descriptors ran out
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &kIoTimeout, sizeof(kIoTimeout));
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &kIoTimeout, sizeof(kIoTimeout));
    {
      MutexLock lock(mu_);
      connections_.insert(fd);
    }
    Watch(fd, true);
  }
}

void Front::Watch(int fd, bool first_time) {
  epoll_event event{};
  // One event at a time: between two, the connection belongs to whoever was told.
  event.events = EPOLLIN | EPOLLONESHOT;
  event.data.fd = fd;
  // ThreadSanitizer does not know that re-arming comes before the next event.
  MutexLock lock(mu_);
  ::epoll_ctl(poll_.get(), first_time ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
}

void Front::OnReadable(int fd) {
  char first = 0;
  if (::recv(fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
    Close(fd);
  } else if (first != 'P') {
    if (!requests_.TryPush(fd)) Close(fd);
  } else {
    ::epoll_ctl(poll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    {
      MutexLock lock(mu_);
      connections_.erase(fd);
    }
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    grpc_(fd);
  }
}

void Front::HttpLoop(const std::stop_token& stop) {
  while (const std::optional<int> fd = requests_.Pop(stop)) {
    if (http_(*fd) && !stop.stop_requested()) {
      Watch(*fd, false);
    } else {
      Close(*fd);
    }
  }
}

void Front::Close(int fd) {
  MutexLock lock(mu_);
  if (connections_.erase(fd) > 0) ::close(fd);
}

}  // namespace outboxfs::server
