// The scheduler's ears: what the channel, the read server and the hasher say, from their threads.
#include <utility>

#include "common/log.h"
#include "upload/scheduler.h"

namespace outboxfs::upload {
namespace {

// Messages of the channel that may wait for the scheduler; beyond, the stream is opened again.
constexpr size_t kMaxChannelEvents = 1 << 17;
// After the channel was away, a terminal status may be lost: silence is believed this early.
constexpr auto kAfterReconnect = std::chrono::seconds(3);

}  // namespace

void Scheduler::OnChannelUp() {
  Post([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Log::Info("upload channel open");
    channel_up_ = true;
    channel_error_.clear();
    const SteadyTime now = rooms_.clock.Now();
    for (const RunKey key : active_) {
      Run* run = FindRun(key);
      if (run->session.state() != Session::State::kServing) continue;
      run->last_heard = now;
      // Only what moves from now on is a sign of life.
      run->last_bytes = reads_.ProgressOf(key).served + hasher_.BytesHashed(key);
      run->patience = std::min<std::chrono::nanoseconds>(kAfterReconnect, options_.silence);
    }
    TouchAllWaiting([this](const Agenda::Task& task) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      if (task.phase != Phase::kBackoff) return false;
      const std::optional<cache::Item> item = rooms_.store.Get(task.id);
      const bool was_away = item && IsConnectionError(item->error_code);
      if (was_away) entries_[task.id].server_back = true;
      return was_away;
    });
  });
}

void Scheduler::OnChannelDown(const Error& error) {
  Post([this, error]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (channel_up_ || channel_error_ != error.text) {
      Log::Notice("upload channel closed: {}", error.text);
    }
    channel_up_ = false;
    channel_error_ = error.text;
  });
}

bool Scheduler::OnChannelEvent(remote::ChannelEvent event) {
  if (channel_events_.load() >= kMaxChannelEvents) return false;
  ++channel_events_;
  Post([this, event = std::move(event)]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) mutable {
    --channel_events_;
    Deliver(std::move(event));
  });
  return true;
}

void Scheduler::Deliver(remote::ChannelEvent event) {
  const auto it = by_upload_id_.find(event.upload_id);
  if (it == by_upload_id_.end()) {
    pen_.Hold(std::move(event), rooms_.clock.Now());
    return;
  }
  const RunKey key = it->second;
  if (Run* run = FindRun(key)) Heard(*run);
  if (const auto* read = std::get_if<remote::ReadRequest>(&event.what)) {
    Tell(key, event::ReadAsked{*read});
  } else if (const auto* hash = std::get_if<remote::HashRequest>(&event.what)) {
    Tell(key, event::HashAsked{*hash});
  } else {
    Tell(key, event::Told{std::get<remote::StatusChange>(event.what)});
  }
}

void Scheduler::OnHashGiven(RunKey key) {
  Post([this, key]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Tell(key, event::HashGiven{}); });
}

void Scheduler::OnComputed(RunKey key) {
  Post([this, key]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    hasher_.Close(key, false);
    if (Run* run = FindRun(key)) run->judge_again = run->verify_tries > 0;
    Tell(key, event::Computed{});
  });
}

void Scheduler::OnTrouble(RunKey key, Trouble trouble) {
  Post([this, key, trouble = std::move(trouble)]()
           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Tell(key, event::Troubled{trouble}); });
}

void Scheduler::OnIdle(RunKey key) {
  Post([this, key]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Run* run = FindRun(key);
    if (run == nullptr || --run->busy > 0 || !std::exchange(run->wants_verify, false)) return;
    if (run->session.state() == Session::State::kVerifying) Perform(*run, action::Verify{});
  });
}

}  // namespace outboxfs::upload
