// Keeps the one RemoteUploadChannel of this process open (docs/PROTOCOL.md, rules 1 and 2): opens
// it, reads it on a thread of its own, opens it again with growing pauses whenever it breaks.
//
// The reader never waits for anything but the stream: the same stream carries the cancel or the
// final status that would free what it waits for. So the sink must not block.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "common/mutex.h"
#include "remote/upload_api.h"

namespace outboxfs::upload {

class ChannelSink {
 public:
  virtual ~ChannelSink() = default;
  // All from the channel's thread; none may block.
  virtual void OnChannelUp() = 0;
  virtual void OnChannelDown(const Error& error) = 0;
  // False when there is no room: the stream is opened again, which makes the server repeat what
  // was not answered.
  virtual bool OnChannelEvent(remote::ChannelEvent event) = 0;
};

struct ChannelOptions {
  std::string device_id;
  std::chrono::nanoseconds backoff_first = std::chrono::milliseconds(500);
  std::chrono::nanoseconds backoff_max = std::chrono::seconds(30);
  // A stream that lived this long was good: the next failure starts from the first pause.
  std::chrono::nanoseconds proven = std::chrono::seconds(10);
};

class Channel {
 public:
  // `api` and `sink` must outlive it.
  Channel(remote::UploadApi& api, ChannelSink& sink, ChannelOptions options);
  ~Channel();
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;

  // Starts the thread; once.
  void Start();
  // Ends the stream and opens it again, for the replay of unanswered requests. Thread-safe.
  void Reopen() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(const std::stop_token& stop);
  // One stream from opening to its end; the error that ended it.
  Error RunStream(const std::stop_token& stop);
  Error ReadStream(remote::UploadChannel& stream);

  remote::UploadApi& api_;
  ChannelSink& sink_;
  const ChannelOptions options_;
  Mutex mu_;
  CondVar woken_;
  std::shared_ptr<remote::UploadChannel> stream_ ABSL_GUARDED_BY(mu_);
  bool reopen_ ABSL_GUARDED_BY(mu_) = false;
  std::jthread thread_;  // last: joined before anything above goes
};

// The end that another program with the same device id causes: reconnecting at once would make
// both fight for ever.
bool IsReplaced(const Error& error);

}  // namespace outboxfs::upload
