#include "upload/channel.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/clock.h"
#include "common/log.h"
#include "common/thread.h"
#include "upload/policy.h"

namespace outboxfs::upload {
namespace {

// After "channel replaced" the first pause is this many ordinary first pauses.
constexpr int kReplacedFactor = 10;

}  // namespace

bool IsReplaced(const Error& error) {
  return error.text.find("channel replaced") != std::string::npos;
}

Channel::Channel(remote::UploadApi& api, ChannelSink& sink, ChannelOptions options)
    : api_(api), sink_(sink), options_(std::move(options)) {}

void Channel::Start() {
  thread_ = StartThread("obx-channel", [this](const std::stop_token& stop) { Run(stop); });
}

Channel::~Channel() {
  thread_.request_stop();
  Reopen();
}

void Channel::Reopen() {
  std::shared_ptr<remote::UploadChannel> stream;
  {
    MutexLock lock(mu_);
    reopen_ = true;
    stream = stream_;
  }
  if (stream != nullptr) stream->Cancel();
  woken_.NotifyAll();
}

void Channel::Run(const std::stop_token& stop) {
  int failures = 0;
  while (!stop.stop_requested()) {
    const auto opened = std::chrono::steady_clock::now();
    Error error = RunStream(stop);
    if (stop.stop_requested()) return;
    const bool replaced = IsReplaced(error);
    if (replaced) error.Prepend("another program uses this device id");
    sink_.OnChannelDown(error);
    if (std::chrono::steady_clock::now() - opened >= options_.proven && !replaced) failures = 0;
    const auto first = options_.backoff_first * (replaced ? kReplacedFactor : 1);
    const auto pause = Backoff(failures++, first, std::max(first, options_.backoff_max), Chance());
    const auto until = std::chrono::steady_clock::now() + pause;
    MutexLock lock(mu_);
    while (!stop.stop_requested() && !std::exchange(reopen_, false) &&
           woken_.WaitUntil(mu_, stop, until)) {
    }
  }
}

Error Channel::RunStream(const std::stop_token& stop) {
  Result<std::unique_ptr<remote::UploadChannel>> opened =
      api_.OpenChannel(options_.device_id, stop);
  if (!opened) return opened.error();
  const std::shared_ptr<remote::UploadChannel> stream = std::move(*opened);
  {
    MutexLock lock(mu_);
    stream_ = stream;
    reopen_ = false;
  }
  // The destructor asks to stop before it looks for a stream: one of both sees the other.
  if (stop.stop_requested()) stream->Cancel();
  sink_.OnChannelUp();
  Error error = ReadStream(*stream);
  MutexLock lock(mu_);
  stream_ = nullptr;
  return error;
}

Error Channel::ReadStream(remote::UploadChannel& stream) {
  while (true) {
    Result<remote::ChannelEvent> event = stream.Next();
    if (!event) return event.error();
    if (!sink_.OnChannelEvent(std::move(*event))) {
      stream.Cancel();
      return Error{ENOBUFS, Retry::kBackoff, "the server asks faster than anything is answered"};
    }
  }
}

}  // namespace outboxfs::upload
