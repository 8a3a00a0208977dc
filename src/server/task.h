// One running remote upload, driven by the server: it looks for known content, asks for hashes and
// byte ranges over the channel, takes the answers, checks the bytes and gives the file its place.
//
//   kNone (waits for its turn) -> kPreprocessing -> kHashing -> kTransferring -> kFinishing ->
//   ended
//
// Each arrow is a step of Advance(); knobs are read anew at every step. An upload is paused or held
// between steps, never inside one.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "clouddrive.pb.h"
#include "common/clock.h"
#include "common/mutex.h"
#include "server/background.h"
#include "server/channel_hub.h"
#include "server/dir_store.h"
#include "server/faults.h"
#include "server/knob_store.h"
#include "server/read_plan.h"
#include "server/read_waiters.h"
#include "server/received_file.h"
#include "server/recent.h"

namespace outboxfs::server {

using UploadStatus = clouddrive::UploadFileInfo::Status;

class Task;

// What a task uses of the server around it; outlives every task.
struct TaskWorld {
  const KnobStore& knobs;
  DirStore& store;
  ChannelHub& channels;
  Background& background;
  Faults& faults;
  Recent& recent;
  // The status has changed. Called under no lock of the task.
  std::function<void(const std::shared_ptr<Task>&)> on_status;
  // A file has appeared. Called under no lock of the task.
  std::function<void(const Published&)> on_published;
  // Takes a place among the running uploads; a refused task is poked when one is free. Called under
  // the task's lock.
  std::function<bool(const std::string& id)> may_run;
};

// What the client asked for.
struct UploadOrder {
  std::string id;
  std::string path;  // normalised server path
  uint64_t size = 0;
  Hashes known_hashes;
  bool client_hashes = false;           // client_can_calculate_hashes
  std::string device;                   // whose channel hears of it; empty: the next to open
  std::vector<ByteRange> present = {};  // bytes that an earlier run of the server received
};

// Thread-safe. Lock order: task, then channel hub. Held by shared_ptr: background jobs keep it
// alive.
class Task : public std::enable_shared_from_this<Task> {
 public:
  Task(const TaskWorld& world, UploadOrder order);
  ~Task();
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  // Takes as many steps as are possible now. Steps that take longer, such as checking all bytes,
  // run in the caller's thread (kHere) or in the background.
  enum class Jobs { kHere, kInBackground };
  void Advance(Jobs jobs = Jobs::kInBackground) ABSL_LOCKS_EXCLUDED(mu_);

  enum class Answer { kTaken, kUnknownUpload, kNobodyWaits, kInvalid, kDiskError };
  Answer TakeRead(const clouddrive::RemoteReadDataUpload& piece) ABSL_LOCKS_EXCLUDED(mu_);
  // kInvalid: the hash or the list of block hashes has the wrong length.
  Answer TakeHash(const clouddrive::RemoteHashProgressUpload& progress) ABSL_LOCKS_EXCLUDED(mu_);
  // False when the upload has ended before.
  bool Cancel() ABSL_LOCKS_EXCLUDED(mu_);
  bool Pause() ABSL_LOCKS_EXCLUDED(mu_);
  bool Resume() ABSL_LOCKS_EXCLUDED(mu_);

  // A channel was opened: binds a task without one and sends again what its client cannot have
  // seen.
  void OnChannel(const std::string& device, uint64_t serial) ABSL_LOCKS_EXCLUDED(mu_);

  clouddrive::UploadFileInfo Info() const ABSL_LOCKS_EXCLUDED(mu_);
  bool ended() const ABSL_LOCKS_EXCLUDED(mu_);
  const UploadOrder& order() const { return order_; }
  // The server stops, no job is running: ends the task silently and keeps its bytes. Returns the
  // order for the next run; nullopt when the upload has ended.
  std::optional<UploadOrder> Suspend() ABSL_LOCKS_EXCLUDED(mu_);

 private:
  enum class Step { kWait, kAgain, kUseKnownContent, kPublish };
  struct PendingHash {
    HashAsk ask;
    SteadyTime last_news;
    uint64_t serial = 0;
  };

  Step StepLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step StartLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step PreprocessLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step HashLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step BeginTransferLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step TransferLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Step FinishLocked(const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves to `phase`, or waits while the hold knob says so.
  Step EnterLocked(Phase phase, const Knobs& knobs) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The two steps that take longer.
  void UseKnownContent() ABSL_LOCKS_EXCLUDED(mu_);
  void Publish() ABSL_LOCKS_EXCLUDED(mu_);
  Result<Published> Place(const Knobs& knobs);
  void RunJob(Step job) ABSL_LOCKS_EXCLUDED(mu_);

  std::vector<HashAsk> WantedHashes(const Knobs& knobs) const;
  void AskHashLocked(PendingHash* pending) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AnswersLocked(const PendingHash& pending,
                     const clouddrive::RemoteHashProgressUpload& final) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // False when the hash or the list of block hashes is not what was asked for.
  bool TakeFinalHashLocked(const clouddrive::RemoteHashProgressUpload& final)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  uint64_t SendReadLocked(const ReadAsk& ask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AskReadLocked(const ReadAsk& ask) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void RepeatHashes() ABSL_LOCKS_EXCLUDED(mu_);
  void StatusLocked(UploadStatus status, const std::string& text = "")
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void EndLocked(UploadStatus status, const std::string& text = "")
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool OutcomeIs(const Knobs& knobs, Outcome outcome) const;
  uint64_t SendLocked(clouddrive::RemoteUploadChannelReply reply, bool terminal = false)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Calls `method` later, unless the task is gone by then.
  void After(Millis delay, std::function<void(Task*)> method);
  void ReportNews() ABSL_LOCKS_EXCLUDED(mu_);

  const TaskWorld& world_;
  const UploadOrder order_;

  mutable Mutex mu_;
  std::string device_ ABSL_GUARDED_BY(mu_);
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kNone;
  UploadStatus status_ ABSL_GUARDED_BY(mu_) = clouddrive::UploadFileInfo::WaitforPreprocessing;
  bool said_waits_ ABSL_GUARDED_BY(mu_) = false;  // held before its preprocessing, and told so
  std::string error_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool suspended_ ABSL_GUARDED_BY(mu_) = false;  // the private file stays
  bool paused_ ABSL_GUARDED_BY(mu_) = false;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;     // a job runs; no step meanwhile
  bool placing_ ABSL_GUARDED_BY(mu_) = false;  // too late to cancel
  bool checked_known_ ABSL_GUARDED_BY(mu_) = false;
  bool checked_hashed_ ABSL_GUARDED_BY(mu_) = false;
  bool asked_hashes_ ABSL_GUARDED_BY(mu_) = false;
  bool repeat_due_ ABSL_GUARDED_BY(mu_) = false;     // RepeatHashes will be called
  bool known_content_ ABSL_GUARDED_BY(mu_) = false;  // the private file is a copy of known content
  bool paused_midway_ ABSL_GUARDED_BY(mu_) = false;
  bool failed_once_ ABSL_GUARDED_BY(mu_) = false;  // Outcome::kErrorThenFinish
  bool news_ ABSL_GUARDED_BY(mu_) = false;         // on_status is due
  int writing_ ABSL_GUARDED_BY(mu_) = 0;           // answers that are being stored
  std::vector<PendingHash> pending_hashes_ ABSL_GUARDED_BY(mu_);
  AnnouncedHashes announced_ ABSL_GUARDED_BY(mu_);
  std::optional<ReadPlan> plan_ ABSL_GUARDED_BY(mu_);
  ReadWaiters waiters_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<ReceivedFile> file_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::server
