// Owns everything that waits and everything that runs: reads the cache's feed, decides what starts,
// feeds each session with what happens and carries out what it wants. One thread decides; calls
// that block run on workers, reads and hashes on their own pools.
//
// Locks: `mu_` is held by the deciding thread for one turn and by Snapshot; below it only leaves
// and the store's. News from other threads comes in through `inbox_`, which is a leaf.
#pragma once

#include <atomic>
#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "cache/feed.h"
#include "common/mutex.h"
#include "upload/agenda.h"
#include "upload/channel.h"
#include "upload/cleaning.h"
#include "upload/hasher.h"
#include "upload/holding_pen.h"
#include "upload/looking.h"
#include "upload/placing.h"
#include "upload/policy.h"
#include "upload/read_server.h"
#include "upload/rooms.h"
#include "upload/session.h"
#include "upload/verify_board.h"
#include "upload/verifying.h"
#include "upload/workers.h"

namespace outboxfs::upload {

// Sealed, and on its way to the remote.
bool IsUnderWay(cache::State state);
// The cache's word for "this generation is over".
inline bool IsStale(const Error& error) { return error.code == ESTALE; }
inline Event FailedEvent(const Error& error) { return event::Failed{error, IsStale(error)}; }

class Scheduler final : private ChannelSink, private ServeSink {
 public:
  // `rooms` and what it refers to must outlive it.
  explicit Scheduler(const Rooms& rooms);
  ~Scheduler() override;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;

  // All thread-safe.
  UploaderStatus Snapshot() const ABSL_LOCKS_EXCLUDED(mu_);
  void Hurry(cache::ItemId id);
  void EndPause();
  void SkipQuietTimes();
  // Waits until nothing but held names is left, or as Uploader::Drain says; how many are left.
  size_t AwaitIdle(SteadyTime deadline, const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // One item under way.
  struct Run {
    Run(RunKey k, cache::Item i) : key(k), item(std::move(i)), session(item) {}

    const RunKey key;
    const cache::Item item;  // as of the beginning
    Session session;         // files
    std::shared_ptr<cache::SealedReader> reader;
    bool takes_dir_place = false;  // makes a directory: no session
    bool changed = false;          // such a directory was renamed or deleted meanwhile
    bool ending = false;
    // Serving: when something was heard last, and how long silence is borne.
    SteadyTime last_heard;
    std::chrono::nanoseconds patience{0};
    uint64_t last_bytes = 0;
    SteadyTime last_word;  // when something was heard at all
    // Verifying.
    int busy = 0;               // pools whose last answers are still on their way
    bool wants_verify = false;  // when they have come
    std::optional<SteadyTime> verify_since;
    int verify_tries = 0;
    SteadyTime listing_from;   // a listing begun earlier cannot show the result
    bool judge_again = false;  // of the last listing: a missing hash was computed
    bool unsure = false;       // at success, calls had just failed that may have arrived
    // The mount's path for which its upload was cleaned up; empty: as deleted.
    std::optional<std::string> cleaned_for;
    // For status.
    uint64_t bytes_served = 0;
    uint64_t bytes_hashed = 0;
  };
  // One item that is not finished. Its task is on the agenda, or it runs.
  struct Entry {
    RunKey run = 0;
    bool hurry = false;
    bool server_back = false;          // failed when the server was away: no back-off this once
    int failures = 0;                  // of cleaning, in a row
    SteadyTime not_before;             // after such a failure
    std::optional<Leftover::Lag> lag;  // of what is to be cleaned
    std::string upload_id;  // of what is to be cleaned, when the row could not keep it any more
    std::string step_to;    // where the last placing step leads that was sent (Place)
    int unseen = 0;         // runs that ended without a sight of what was reported as uploaded
  };
  using Task = std::function<void()>;  // runs on the deciding thread, under mu_

  // ---- scheduler.cc: the thread, time, what waits
  void RunLoop(const std::stop_token& stop);
  void Turn(const std::vector<cache::ItemId>& changed) ABSL_LOCKS_EXCLUDED(mu_);
  SteadyTime NextWake() const ABSL_LOCKS_EXCLUDED(mu_);
  void Post(Task task) ABSL_LOCKS_EXCLUDED(inbox_mu_);
  void DrainInbox() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The item, unless it is deleted and lives on only for those who have it open.
  std::optional<cache::Item> ItemOf(cache::ItemId id) const;
  // Looks at the item in the store and puts it where it belongs.
  void Touch(cache::ItemId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LetGo(const cache::Item& item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TouchRunning(Run& run, const cache::Item* item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PutOnAgenda(const cache::Item& item, Entry& entry, bool clean)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TouchAllWaiting(const std::function<bool(const Agenda::Task&)>& which)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Forget(cache::ItemId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StartWhatMay() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Agenda::Places FreePlaces() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StartRun(cache::ItemId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PauseAll(const Error& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t CountLeft() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  size_t CountRenames(bool& stuck) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Progress ProgressOf(const Run& run) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- runs.cc, run_ends.cc: what runs
  Run* FindRun(RunKey key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Tell(RunKey key, const Event& event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Do(Run& run, const Actions& actions) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::LookFirst& look) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::Start& start) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::Serve& serve) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::AnswerRead& answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::AnswerHash& answer) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::StopWork& stop) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::LookUp& look) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::AskReplay& ask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::Verify& verify) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::Compute& compute) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::Place& place) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::Clean& clean) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Perform(Run& run, const action::End& end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Source SourceOf(const Run& run) const;
  void MakeDirectory(Run& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndFailed(Run& run, const action::End& end) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndStale(const Run& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The run is over and the cache knows: the item starts afresh.
  void Finalise(RunKey key) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Absurd(Run& run, std::string text) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CheckSilence(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StartVerifications(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PostVerification(const VerifyBoard::Batch& batch, bool from_board)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnVerified(const std::vector<VerifyOutcome>& outcomes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteActive(const Run& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropReader(Run& run);
  std::set<remote::HashType> MissingHashes(const Run& run) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Heard(Run& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StepOutOfTheWay(Run& run, const PlacingJob& job) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RetryPlacing() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteStep(RunKey key, const std::string& step_to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Leftover LeftoverOfRun(const Run& run) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Posts a blocking job whose outcome comes back as an event.
  void Work(RunKey key, std::function<Event(const std::stop_token&)> job);

  // ---- ears.cc: ChannelSink and ServeSink
  void OnChannelUp() override;
  void OnChannelDown(const Error& error) override;
  bool OnChannelEvent(remote::ChannelEvent event) override;
  void Deliver(remote::ChannelEvent event) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void OnTrouble(RunKey key, Trouble trouble) override;
  void OnIdle(RunKey key) override;
  void OnHashGiven(RunKey key) override;
  void OnComputed(RunKey key) override;

  const Rooms& rooms_;
  const UploadOptions& options_;
  const std::unique_ptr<cache::Feed::Reader> feed_;

  Mutex inbox_mu_;
  std::deque<Task> inbox_ ABSL_GUARDED_BY(inbox_mu_);
  std::atomic<size_t> channel_events_{0};  // of them in the inbox

  mutable Mutex mu_;
  CondVar turned_;  // after every turn
  std::unordered_map<cache::ItemId, Entry> entries_ ABSL_GUARDED_BY(mu_);
  std::unordered_map<RunKey, std::unique_ptr<Run>> runs_ ABSL_GUARDED_BY(mu_);
  // Those that look, start, serve, clean or make a directory: few, while thousands may wait for a
  // listing.
  std::set<RunKey> active_ ABSL_GUARDED_BY(mu_);
  std::set<RunKey> want_place_ ABSL_GUARDED_BY(mu_);  // whose target path another operation has
  std::unordered_map<std::string, RunKey> by_upload_id_ ABSL_GUARDED_BY(mu_);
  RunKey next_key_ ABSL_GUARDED_BY(mu_) = 1;
  Agenda agenda_ ABSL_GUARDED_BY(mu_);
  VerifyBoard board_ ABSL_GUARDED_BY(mu_);
  HoldingPen pen_ ABSL_GUARDED_BY(mu_);
  std::set<remote::HashType> listed_hashes_ ABSL_GUARDED_BY(mu_);  // that this server lists unasked
  bool started_ ABSL_GUARDED_BY(mu_) = false;                      // the store was read once
  bool no_quiet_time_ ABSL_GUARDED_BY(mu_) = false;
  bool channel_up_ ABSL_GUARDED_BY(mu_) = false;
  std::string channel_error_ ABSL_GUARDED_BY(mu_) = "not connected yet";
  // A provider-wide pause; `pauses_` counts them until the next success.
  int pauses_ ABSL_GUARDED_BY(mu_) = 0;
  SteadyTime paused_until_ ABSL_GUARDED_BY(mu_);
  int64_t paused_until_ns_ ABSL_GUARDED_BY(mu_) = 0;
  std::string paused_reason_ ABSL_GUARDED_BY(mu_);
  uint64_t uploads_done_ ABSL_GUARDED_BY(mu_) = 0;
  uint64_t refused_ ABSL_GUARDED_BY(mu_) = 0;

  // Ended in reverse: nothing below calls what is gone above.
  Workers workers_;
  ReadServer reads_;
  Hasher hasher_;
  Channel channel_;
  std::jthread thread_;
};

}  // namespace outboxfs::upload
