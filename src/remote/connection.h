// The gRPC channel to one server and the way every call is made on it: token, deadline,
// cancellation, repetition where that is safe, errors. Thread-safe.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"
#include "remote/remote.h"
#include "remote/token_source.h"

namespace outboxfs::remote {

// What is the same for all calls of an RPC. The deadline holds for all attempts together.
struct CallKind {
  std::string_view name;
  std::chrono::seconds deadline;
  bool repeat = false;  // reads: again after UNAVAILABLE or DEADLINE_EXCEEDED
  bool open = false;    // needs no authorization
};

class Connection {
 public:
  // EINVAL, or the errno of an unreadable CA file. Does not wait for the server.
  static Result<std::unique_ptr<Connection>> Open(const ConnectOptions& options);

  ~Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

  // One attempt: makes the call with the context that it gets, and may run more than once.
  using Attempt = std::function<grpc::Status(grpc::ClientContext&)>;
  // Blocks until the call is done, its deadline is over, or `stop` is requested (ECANCELED).
  Status Call(const CallKind& kind, const std::stop_token& stop, const Attempt& attempt);

  // For streams, which make their calls themselves: puts the authorization into `context` and
  // returns the token, for Refused.
  Result<std::string> Authorise(grpc::ClientContext& context, const std::stop_token& stop);
  // Gives a connection that is being made at most `longest` to stand; whether it does, the call
  // that follows will tell. A call that fails at once is no help with that: gRPC's sockets are
  // served by the threads that wait for something, and without one a handshake stands still.
  void AwaitConnected(std::chrono::milliseconds longest, const std::stop_token& stop) const;
  // After UNAUTHENTICATED. True: worth one more attempt.
  bool Refused(const std::string& token) { return tokens_->Refused(token); }

 private:
  explicit Connection(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {}
  Result<Token> FetchToken(const Credentials& credentials, const std::stop_token& stop);

  const std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<TokenSource> tokens_;
};

// The error of a call that ended because its caller wanted so.
Error Stopped(std::string_view call);

}  // namespace outboxfs::remote
