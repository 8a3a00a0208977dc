// The server's side of one server stream: a queue of messages that gRPC's own threads write out.
// gRPC owns the end: the stream keeps itself alive until gRPC says that it is done.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "common/mutex.h"

namespace outboxfs::server {

// Thread-safe.
template <typename Message>
class Stream : public grpc::ServerWriteReactor<Message> {
 public:
  static std::shared_ptr<Stream> Create(bool headers_at_once) {
    auto stream = std::shared_ptr<Stream>(new Stream());
    stream->self_ = stream;
    if (headers_at_once) stream->StartSendInitialMetadata();
    return stream;
  }

  // False when the stream has ended or is ending.
  bool Send(Message message) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    if (end_) return false;
    if (queue_.size() >= kMaxQueue) {
      EndLocked(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED, "the client does not read"));
      return false;
    }
    queue_.push_back(std::move(message));
    if (queue_.size() == 1) this->StartWrite(&queue_.front());
    return true;
  }
  // Ends with `status` after the message being written; the others are dropped unless `drain`.
  void End(grpc::Status status, bool drain = false) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    if (!end_) {
      drain_ = drain;
      EndLocked(std::move(status));
    }
  }
  bool open() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return !end_;
  }

 private:
  // More than all that running uploads can have unanswered.
  static constexpr size_t kMaxQueue = 1'000'000;

  Stream() = default;

  void EndLocked(grpc::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    end_ = std::move(status);
    if (queue_.empty()) this->Finish(*end_);
  }
  void OnWriteDone(bool ok) override ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    queue_.pop_front();
    if (!ok && !end_) end_ = grpc::Status::CANCELLED;
    if (end_ && (!ok || !drain_)) queue_.clear();
    if (!queue_.empty()) {
      this->StartWrite(&queue_.front());
    } else if (end_) {
      this->Finish(*end_);
    }
  }
  void OnCancel() override { End(grpc::Status::CANCELLED); }
  void OnDone() override {
    // The last reference may go here: nothing of this is touched afterwards.
    const std::shared_ptr<Stream> self = std::move(self_);
  }

  std::shared_ptr<Stream> self_;  // set before gRPC knows the stream, reset by OnDone
  mutable Mutex mu_;
  std::deque<Message> queue_ ABSL_GUARDED_BY(mu_);  // the front is being written
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mu_);
  bool drain_ ABSL_GUARDED_BY(mu_) = false;
};

// Answers a stream call with nothing but a failure.
template <typename Message>
grpc::ServerWriteReactor<Message>* FailedStream(const grpc::Status& status) {
  const auto stream = Stream<Message>::Create(false);
  stream->End(status);
  return stream.get();
}

}  // namespace outboxfs::server
