// A scripted remote upload side: records what the client calls, sends what a test says. Nothing
// happens by itself. Thread-safe.
//
//   FakeUploadApi api;
//   api.OnStart([&](const remote::StartRequest& r, const std::string& id) { ... });
//   api.Send({"u1", remote::ReadRequest{0, 10, false}});
#pragma once

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "remote/upload_api.h"

namespace outboxfs::test {

class FakeUploadApi final : public remote::UploadApi {
 public:
  struct Answer {
    std::string upload_id;
    uint64_t offset = 0;
    bool lazy_read = false;
    bool is_last_chunk = false;
    std::string data;
  };
  using StartHook = std::function<void(const remote::StartRequest&, const std::string& id)>;

  // --- What the test says.
  // Called inside every Start, before it answers; ids are "u1", "u2", ...
  void OnStart(StartHook hook) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    on_start_ = std::move(hook);
  }
  void Send(remote::ChannelEvent event) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    events_.push_back(std::move(event));
    changed_.NotifyAll();
  }
  void SendStatus(const std::string& id, remote::UploadStatus status, std::string text = "") {
    Send({id, remote::StatusChange{status, std::move(text)}});
  }
  // The open channel ends with `error`.
  void BreakChannel(Error error) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    channel_error_ = std::move(error);
    ++breaks_;
    changed_.NotifyAll();
  }
  void StopFailing(const std::string& call) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    failures_[call].clear();
  }
  // `call` is the method's name: "Start", "AnswerRead", ...
  void FailNext(const std::string& call, Error error, int times = 1) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    for (int i = 0; i < times; ++i) failures_[call].push_back(error);
  }
  void SetQueue(std::vector<remote::QueuedUpload> queue) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    queue_ = std::move(queue);
  }
  // From now on these calls wait until Release or their stop token.
  void Hold(const std::string& call) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    held_[call] = true;
  }
  void Release(const std::string& call) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    held_[call] = false;
    changed_.NotifyAll();
  }

  // --- What the client did.
  int Count(const std::string& call) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    const auto at = counts_.find(call);
    return at == counts_.end() ? 0 : at->second;
  }
  std::vector<remote::StartRequest> Starts() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return starts_;
  }
  std::vector<Answer> Answers() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return answers_;
  }
  // The most bytes that were in running AnswerRead calls at a time.
  uint64_t MostInFlight() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return most_in_flight_;
  }
  std::vector<remote::HashReport> Hashes() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return hashes_;
  }
  // Ids that were cancelled, in order.
  std::vector<std::string> Cancelled() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return cancelled_;
  }
  // Waits until `done`, looked at after every call. False after 20 s.
  bool Await(const std::function<bool()>& done) ABSL_LOCKS_EXCLUDED(mu_) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(20);
    while (!done()) {
      MutexLock lock(mu_);
      if (CondVar::Clock::now() >= deadline) return false;
      changed_.WaitUntil(mu_, {}, CondVar::Clock::now() + std::chrono::milliseconds(20));
    }
    return true;
  }
  bool AwaitCount(const std::string& call, int count) {
    return Await([this, &call, count] { return Count(call) >= count; });
  }

  // --- UploadApi.
  Result<std::unique_ptr<remote::UploadChannel>> OpenChannel(const std::string& /*device_id*/,
                                                             const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("OpenChannel", stop); !fine) return Fail(fine.error());
    return std::make_unique<Channel>(*this, breaks_);
  }
  Result<std::string> Start(const remote::StartRequest& request,
                            const std::stop_token& stop) override {
    std::string id;
    StartHook hook;
    {
      MutexLock lock(mu_);
      if (Status fine = EnterLocked("Start", stop); !fine) return Fail(fine.error());
      starts_.push_back(request);
      id = "u" + std::to_string(starts_.size());
      hook = on_start_;
    }
    if (hook) hook(request, id);
    return id;
  }
  Status AnswerRead(const remote::ReadAnswer& answer, const std::stop_token& stop) override {
    MutexLock lock(mu_);
    in_flight_ += answer.data.size();
    most_in_flight_ = std::max(most_in_flight_, in_flight_);
    const Status fine = EnterLocked("AnswerRead", stop);
    in_flight_ -= answer.data.size();
    if (!fine) return fine;
    answers_.push_back(
        {answer.upload_id, answer.offset, answer.lazy_read, answer.is_last_chunk,
         std::string(reinterpret_cast<const char*>(answer.data.data()), answer.data.size())});
    changed_.NotifyAll();
    return {};
  }
  Status ReportHash(const remote::HashReport& report, const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("ReportHash", stop); !fine) return fine;
    hashes_.push_back(report);
    changed_.NotifyAll();
    return {};
  }
  Status ControlUpload(const std::string& upload_id, remote::Control control,
                       const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("ControlUpload", stop); !fine) return fine;
    if (control == remote::Control::kCancel) cancelled_.push_back(upload_id);
    std::erase_if(queue_, [&upload_id](const auto& queued) { return queued.key == upload_id; });
    changed_.NotifyAll();
    return {};
  }
  Result<std::vector<remote::QueuedUpload>> ListUploads(const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("ListUploads", stop); !fine) return Fail(fine.error());
    return queue_;
  }

 private:
  class Channel final : public remote::UploadChannel {
   public:
    Channel(FakeUploadApi& api, int breaks) : api_(api), breaks_(breaks) {}
    Result<remote::ChannelEvent> Next() override {
      MutexLock lock(api_.mu_);
      while (!cancelled_ && api_.breaks_ == breaks_ && api_.events_.empty()) {
        api_.changed_.Wait(api_.mu_, {});
      }
      if (cancelled_) return Fail(ECANCELED, "channel: cancelled");
      if (api_.breaks_ != breaks_) return Fail(api_.channel_error_);
      remote::ChannelEvent event = std::move(api_.events_.front());
      api_.events_.pop_front();
      return event;
    }
    void Cancel() override {
      MutexLock lock(api_.mu_);
      cancelled_ = true;
      api_.changed_.NotifyAll();
    }

   private:
    FakeUploadApi& api_;
    const int breaks_;
    bool cancelled_ = false;
  };

  Status EnterLocked(const std::string& call, const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++counts_[call];
    changed_.NotifyAll();
    while (held_[call] && !stop.stop_requested()) changed_.Wait(mu_, stop);
    if (stop.stop_requested()) return Fail(ECANCELED, call + ": stopped");
    std::deque<Error>& failures = failures_[call];
    if (failures.empty()) return {};
    Error error = std::move(failures.front());
    failures.pop_front();
    return Fail(std::move(error));
  }

  mutable Mutex mu_;
  CondVar changed_;
  StartHook on_start_ ABSL_GUARDED_BY(mu_);
  std::deque<remote::ChannelEvent> events_ ABSL_GUARDED_BY(mu_);
  Error channel_error_ ABSL_GUARDED_BY(mu_);
  int breaks_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<std::string, std::deque<Error>> failures_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> counts_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, bool> held_ ABSL_GUARDED_BY(mu_);
  std::vector<remote::QueuedUpload> queue_ ABSL_GUARDED_BY(mu_);
  std::vector<remote::StartRequest> starts_ ABSL_GUARDED_BY(mu_);
  std::vector<Answer> answers_ ABSL_GUARDED_BY(mu_);
  std::vector<remote::HashReport> hashes_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> cancelled_ ABSL_GUARDED_BY(mu_);
  uint64_t in_flight_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t most_in_flight_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace outboxfs::test
