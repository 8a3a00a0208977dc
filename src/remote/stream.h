// A server stream that is read by one thread and can be cancelled by any. Built on a completion
// queue because the blocking API cannot wait for the headers with a time limit.
#pragma once

#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/support/async_stream.h>
#include <grpcpp/support/status.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "common/log.h"
#include "common/result.h"
#include "remote/connection.h"
#include "remote/grpc_error.h"

namespace outboxfs::remote {

template <typename Reply>
class ServerStream {
 public:
  using Reader = grpc::ClientAsyncReader<Reply>;
  using Prepare =
      std::function<std::unique_ptr<Reader>(grpc::ClientContext*, grpc::CompletionQueue*)>;

  ServerStream() = default;
  ServerStream(const ServerStream&) = delete;
  ServerStream& operator=(const ServerStream&) = delete;
  ~ServerStream() {
    context_.TryCancel();
    if (reader_ && !over_) Finish();
    queue_.Shutdown();
    void* tag = nullptr;
    bool ok = false;
    while (queue_.Next(&tag, &ok)) {
    }
  }

  // Before Start only.
  grpc::ClientContext& context() { return context_; }

  // Sends the call and waits for the response headers, at most `limit`. False: the stream is over,
  // see Finish. A server (or a proxy) that holds its headers back until the first message is taken
  // as it is: after `limit` the answer is true all the same.
  bool Start(const Prepare& prepare, std::chrono::seconds limit) {
    const auto deadline = std::chrono::system_clock::now() + limit;
    reader_ = prepare(&context_, &queue_);
    reader_->StartCall(this);
    switch (Wait(deadline)) {
      case Outcome::kEnd:
        return false;
      case Outcome::kLate:
        unreachable_ = true;
        context_.TryCancel();
        Wait(kNever);
        return false;
      case Outcome::kDone:
        break;
    }
    reader_->ReadInitialMetadata(this);
    pending_ = Pending::kHeaders;
    switch (Wait(deadline)) {
      case Outcome::kEnd:
        pending_ = Pending::kNothing;
        return false;
      case Outcome::kLate:
        Log::Notice("the server holds the headers of its stream back; going on without");
        return true;
      case Outcome::kDone:
        break;
    }
    // A refusal looks like headers at first. Its end follows at once.
    reader_->Read(&reply_, this);
    pending_ = Pending::kReply;
    first_ = Wait(std::chrono::system_clock::now() + kRefusalLimit);
    if (first_ != Outcome::kLate) pending_ = Pending::kNothing;
    return first_ != Outcome::kEnd;
  }

  // Blocks for the next message. False: the stream is over, see Finish.
  bool Read(Reply& reply) {
    if (first_ == Outcome::kDone) {
      first_ = Outcome::kLate;
      reply.Swap(&reply_);
      return true;
    }
    if (pending_ == Pending::kHeaders) {
      pending_ = Pending::kNothing;
      if (Wait(kNever) != Outcome::kDone) return false;
    }
    if (pending_ == Pending::kNothing) reader_->Read(&reply_, this);
    pending_ = Pending::kNothing;
    if (Wait(kNever) != Outcome::kDone) return false;
    reply.Swap(&reply_);
    return true;
  }

  // Why the stream is over. Once, after a false; blocks until the server has told.
  grpc::Status Finish() {
    if (pending_ != Pending::kNothing) Wait(kNever);
    pending_ = Pending::kNothing;
    over_ = true;
    grpc::Status status;
    reader_->Finish(&status, this);
    Wait(kNever);
    if (unreachable_) return {grpc::DEADLINE_EXCEEDED, "no connection"};
    return status;
  }

  // Any thread, any time.
  void Cancel() { context_.TryCancel(); }

 private:
  enum class Outcome { kDone, kEnd, kLate };
  enum class Pending { kNothing, kHeaders, kReply };
  using TimePoint = std::chrono::system_clock::time_point;
  static constexpr TimePoint kNever = TimePoint::max();
  static constexpr std::chrono::milliseconds kRefusalLimit{50};

  // For the one operation that is under way.
  Outcome Wait(TimePoint deadline) {
    void* tag = nullptr;
    bool ok = false;
    const auto next = queue_.AsyncNext(&tag, &ok, deadline);
    if (next == grpc::CompletionQueue::TIMEOUT) return Outcome::kLate;
    return ok ? Outcome::kDone : Outcome::kEnd;
  }

  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<Reader> reader_;
  Reply reply_;
  Pending pending_ = Pending::kNothing;
  Outcome first_ = Outcome::kLate;
  bool over_ = false;
  bool unreachable_ = false;
};

// A started stream with authorization: its messages and the reason of its end. Next is called by
// one thread, Cancel by any.
template <typename Reply>
class OpenedStream {
 public:
  using Stream = std::unique_ptr<ServerStream<Reply>>;
  OpenedStream(Connection& connection, const CallKind& kind, Stream stream, std::string token)
      : connection_(connection),
        kind_(kind),
        stream_(std::move(stream)),
        token_(std::move(token)) {}

  // Blocks for the next message. From the end on EPIPE, after Cancel ECANCELED.
  Status Next(Reply& reply) {
    if (!end_ && stream_->Read(reply)) return {};
    if (!end_) end_ = Ended(stream_->Finish());
    return Fail(*end_);
  }
  void Cancel() {
    cancelled_ = true;
    stream_->Cancel();
  }

 private:
  Error Ended(const grpc::Status& status) {
    if (cancelled_) return Stopped(kind_.name);
    if (status.ok()) {
      return {EPIPE, Retry::kBackoff, std::string(kind_.name) + ": ended by the server"};
    }
    // The next one shall be opened with another token.
    if (status.error_code() == grpc::UNAUTHENTICATED) connection_.Refused(token_);
    Error error = FromStatus(status, kind_.name);
    error.code = EPIPE;
    return error;
  }

  Connection& connection_;
  const CallKind& kind_;
  const Stream stream_;
  const std::string token_;
  std::atomic<bool> cancelled_ = false;
  std::optional<Error> end_;
};

// `kind` must outlive the stream; its deadline is for the headers only: a stream has no end in
// time, keep-alive watches it.
template <typename Reply>
Result<std::unique_ptr<OpenedStream<Reply>>> OpenStream(
    Connection& connection, const CallKind& kind, const std::stop_token& stop,
    const typename ServerStream<Reply>::Prepare& prepare) {
  constexpr std::chrono::milliseconds kConnectTime{3'000};  // more than the pause between attempts
  connection.AwaitConnected(kConnectTime, stop);
  for (bool renewed = false;; renewed = true) {
    auto stream = std::make_unique<ServerStream<Reply>>();
    Result<std::string> token = connection.Authorise(stream->context(), stop);
    if (!token) return Fail(token.error().Prepend(kind.name));
    bool started = false;
    {
      const std::stop_callback cancel(stop, [&stream] { stream->Cancel(); });
      started = stream->Start(prepare, kind.deadline);
    }
    if (stop.stop_requested()) return Fail(Stopped(kind.name));
    if (started) {
      return std::make_unique<OpenedStream<Reply>>(connection, kind, std::move(stream),
                                                   *std::move(token));
    }
    const grpc::Status status = stream->Finish();
    if (status.ok()) return Fail(EPIPE, std::string(kind.name) + ": ended by the server");
    if (status.error_code() != grpc::UNAUTHENTICATED || renewed || !connection.Refused(*token)) {
      return Fail(FromStatus(status, kind.name));
    }
  }
}

}  // namespace outboxfs::remote
