// One TCP port for gRPC and HTTP, as the real server has it: the first byte of a connection tells
// which it is ("PRI * HTTP/2.0" opens every cleartext HTTP/2 connection; GET and HEAD are HTTP).
//
// Owns the listening socket, an accepting thread and a few threads for HTTP requests. Idle HTTP
// connections hold no thread.
#pragma once

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "common/bounded_queue.h"
#include "common/disk.h"
#include "common/mutex.h"
#include "common/result.h"

namespace outboxfs::server {

// Thread-safe.
class Front {
 public:
  // Takes over a connection that speaks HTTP/2; the socket does not block.
  using GrpcHandler = std::function<void(int fd)>;
  // Answers what has arrived on a connection that stays the front's. False: close it.
  using HttpHandler = std::function<bool(int fd)>;

  // `listen` is HOST:PORT, [IPV6]:PORT; port 0 takes a free one. Connections wait until Start.
  static Result<std::unique_ptr<Front>> Listen(const std::string& listen);
  ~Front() { Stop(); }
  Front(const Front&) = delete;
  Front& operator=(const Front&) = delete;

  void Start(GrpcHandler grpc, HttpHandler http);
  // Closes the port and the HTTP connections. Safe to call twice.
  void Stop();
  // HOST:PORT with the actual port.
  const std::string& endpoint() const { return endpoint_; }

 private:
  Front(FileDescriptor listener, FileDescriptor poll, FileDescriptor wake, std::string endpoint);
  void AcceptLoop(const std::stop_token& stop);
  void HttpLoop(const std::stop_token& stop);
  void Accept();
  void OnReadable(int fd);
  // Waits for the next bytes of a connection.
  void Watch(int fd, bool first_time);
  void Close(int fd) ABSL_LOCKS_EXCLUDED(mu_);

  const FileDescriptor poll_;
  const FileDescriptor wake_;
  const std::string endpoint_;
  GrpcHandler grpc_;
  HttpHandler http_;
  FileDescriptor listener_;  // closed by Stop, when no thread uses it
  BoundedQueue<int> requests_;
  Mutex mu_;
  std::set<int> connections_ ABSL_GUARDED_BY(mu_);  // all that are the front's
  std::vector<std::jthread> threads_;
};

}  // namespace outboxfs::server
