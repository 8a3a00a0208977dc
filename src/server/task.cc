#include "server/task.h"

#include <algorithm>
#include <utility>

#include "server/path.h"

namespace outboxfs::server {
namespace {

using Info = clouddrive::UploadFileInfo;
using Reply = clouddrive::RemoteUploadChannelReply;

// Between the two statuses of Outcome::kErrorThenFinish.
constexpr Millis kErrorPause{100};

UploadStatus StatusOf(Outcome outcome) {
  switch (outcome) {
    case Outcome::kSkipped:
      return Info::Skipped;
    case Outcome::kIgnored:
      return Info::Ignored;
    case Outcome::kError:
      return Info::Error;
    case Outcome::kFatalError:
      return Info::FatalError;
    case Outcome::kCancelled:
      return Info::Cancelled;
    case Outcome::kFinish:
    case Outcome::kErrorThenFinish:
      break;
  }
  return Info::Finish;
}

// Wrong bytes, and listings show their hash, as a cloud that stored them would.
Status Spoil(DirStore& store, int fd, uint64_t size) {
  const std::vector<std::byte> wrong(size > 0 ? 1 : 0, std::byte{0xa5});
  if (Status ok = disk::WriteAt(fd, wrong, 0); !ok) return ok;
  Digest digest(HashType::kSha1, size);
  std::vector<std::byte> buffer(1 << 16);
  for (uint64_t at = 0; at < size;) {
    const Result<size_t> n = disk::ReadAt(fd, buffer, at);
    if (!n) return Fail(n.error());
    if (*n == 0) break;
    digest.Update(std::span(buffer).first(*n));
    at += *n;
  }
  store.hash_memory().Remember(fd, {{static_cast<uint32_t>(HashType::kSha1), digest.Finish()}});
  return {};
}

}  // namespace

Task::Task(const TaskWorld& world, UploadOrder order) : world_(world), order_(std::move(order)) {
  MutexLock lock(mu_);
  device_ = order_.device;
  announced_.whole = order_.known_hashes;
}

Task::~Task() {
  MutexLock lock(mu_);
  // Nothing can be done about a failure here; the next start of the server removes leftovers.
  if (!suspended_) static_cast<void>(world_.store.RemovePrivate(order_.id));
}

void Task::Advance(Jobs jobs) {
  while (true) {
    Step step = Step::kWait;
    {
      MutexLock lock(mu_);
      do {
        step = ended_ || busy_ || paused_ ? Step::kWait : StepLocked(*world_.knobs.Get());
      } while (step == Step::kAgain);
      busy_ = busy_ || step != Step::kWait;
    }
    ReportNews();
    if (step == Step::kWait) return;
    if (jobs == Jobs::kInBackground) {
      world_.background.Post([self = shared_from_this(), step] {
        self->RunJob(step);
        self->Advance(Jobs::kHere);
      });
      return;
    }
    RunJob(step);
  }
}

void Task::RunJob(Step job) {
  if (job == Step::kUseKnownContent) {
    UseKnownContent();
  } else {
    Publish();
  }
  MutexLock lock(mu_);
  busy_ = false;
}

Task::Step Task::StepLocked(const Knobs& knobs) {
  switch (phase_) {
    case Phase::kNone:
      return StartLocked(knobs);
    case Phase::kPreprocessing:
      return PreprocessLocked(knobs);
    case Phase::kHashing:
      return HashLocked(knobs);
    case Phase::kTransferring:
      return TransferLocked(knobs);
    case Phase::kFinishing:
      return FinishLocked(knobs);
  }
  return Step::kWait;
}

Task::Step Task::EnterLocked(Phase phase, const Knobs& knobs) {
  if (knobs.hold == phase) return Step::kWait;
  phase_ = phase;
  return Step::kAgain;
}

Task::Step Task::StartLocked(const Knobs& knobs) {
  if (!world_.may_run(order_.id)) {
    if (status_ != Info::Inqueue) StatusLocked(Info::Inqueue);
    return Step::kWait;
  }
  if (EnterLocked(Phase::kPreprocessing, knobs) == Step::kWait) {
    if (!std::exchange(said_waits_, true)) StatusLocked(Info::WaitforPreprocessing);
    return Step::kWait;
  }
  StatusLocked(Info::Preprocessing);
  return Step::kAgain;
}

Task::Step Task::PreprocessLocked(const Knobs& knobs) {
  const Result<Entry> parent = world_.store.Find(ParentOf(order_.path));
  if (!parent || !parent->is_directory) {
    EndLocked(Info::Error, "parent folder not found");
  } else if (knobs.virtual_root && ParentOf(order_.path) == "/") {
    EndLocked(Info::Error, "upload to the root folder is not supported");
  } else if (OutcomeIs(knobs, Outcome::kIgnored)) {
    EndLocked(Info::Ignored, knobs.outcome_text);
  } else if (order_.size == 0 && knobs.empty_file == EmptyFile::kError) {
    EndLocked(Info::Error, "empty files are not supported");
  } else if ((order_.size == 0 && knobs.empty_file == EmptyFile::kSkipped) ||
             (knobs.existing == Existing::kSkip && world_.store.Find(order_.path))) {
    EndLocked(Info::Skipped);
  } else if (knobs.rapid_known && order_.size > 0 && !order_.known_hashes.empty() &&
             !std::exchange(checked_known_, true)) {
    return Step::kUseKnownContent;
  } else if (known_content_ || knobs.lie == Lie::kUnread) {
    return EnterLocked(Phase::kFinishing, knobs);
  } else {
    return EnterLocked(Phase::kHashing, knobs);
  }
  return Step::kWait;
}

std::vector<HashAsk> Task::WantedHashes(const Knobs& knobs) const {
  if (order_.size > 0) return order_.client_hashes ? knobs.hashes : std::vector<HashAsk>();
  if (knobs.empty_file != EmptyFile::kHash) return {};
  return knobs.hashes.empty() ? std::vector<HashAsk>{{2, 0}} : knobs.hashes;
}

Task::Step Task::HashLocked(const Knobs& knobs) {
  if (!std::exchange(asked_hashes_, true)) {
    for (const HashAsk& ask : WantedHashes(knobs)) {
      pending_hashes_.push_back({ask, RealClock().Now(), 0});
      AskHashLocked(&pending_hashes_.back());
    }
  }
  if (knobs.hash_first || order_.size == 0) {
    if (!pending_hashes_.empty()) return Step::kWait;
    const bool anything_new = announced_.whole.size() > order_.known_hashes.size();
    if (knobs.rapid_after_hash && order_.size > 0 && anything_new &&
        !std::exchange(checked_hashed_, true)) {
      return Step::kUseKnownContent;
    }
  }
  if (known_content_) return EnterLocked(Phase::kFinishing, knobs);
  if (knobs.hold == Phase::kTransferring) return Step::kWait;
  return BeginTransferLocked(knobs);
}

Task::Step Task::BeginTransferLocked(const Knobs& knobs) {
  std::vector<HashType> follow;
  for (uint32_t type = 1; type <= 3; ++type) {
    const bool announced = knobs.verify_hashes && announced_.whole.contains(type);
    if (announced || (type == 2 && knobs.list_hashes)) follow.push_back(HashType{type});
  }
  auto file = ReceivedFile::Create(&world_.store, order_.id, order_.size, follow);
  if (!file) {
    EndLocked(Info::Error, file.error().text);
    return Step::kWait;
  }
  file_ = std::move(*file);
  file_->MarkPresent(order_.present);
  plan_.emplace(file_->missing(), knobs);
  phase_ = Phase::kTransferring;
  if (knobs.unknown_status) {
    Reply reply;
    reply.mutable_status_changed()->set_status(static_cast<UploadStatus>(99));
    SendLocked(std::move(reply));
  }
  StatusLocked(Info::Transfer);
  if (order_.size == 0 && knobs.empty_file == EmptyFile::kRead) AskReadLocked({});
  return Step::kAgain;
}

Task::Step Task::TransferLocked(const Knobs& knobs) {
  if (knobs.pause_midway.count() > 0 && file_->received() >= order_.size / 2 &&
      !std::exchange(paused_midway_, true)) {
    paused_ = true;
    StatusLocked(Info::Pause);
    After(knobs.pause_midway, [](Task* task) { task->Resume(); });
    return Step::kWait;
  }
  while (waiters_.size() < knobs.reads_in_flight) {
    const std::optional<ReadAsk> ask = plan_->Next();
    if (!ask) break;
    AskReadLocked(*ask);
  }
  if (!plan_->done() || !waiters_.empty() || writing_ > 0 || !pending_hashes_.empty()) {
    return Step::kWait;
  }
  return EnterLocked(Phase::kFinishing, knobs);
}

bool Task::OutcomeIs(const Knobs& knobs, Outcome outcome) const {
  return knobs.outcome == outcome && order_.path.find(knobs.outcome_for) != std::string::npos;
}

Task::Step Task::FinishLocked(const Knobs& knobs) {
  for (Outcome bad : {Outcome::kError, Outcome::kFatalError, Outcome::kCancelled}) {
    if (!OutcomeIs(knobs, bad)) continue;
    EndLocked(StatusOf(bad), knobs.outcome_text.empty() ? "injected" : knobs.outcome_text);
    return Step::kWait;
  }
  if (OutcomeIs(knobs, Outcome::kErrorThenFinish) && status_ != Info::Error && !failed_once_) {
    failed_once_ = true;
    StatusLocked(Info::Error, knobs.outcome_text.empty() ? "injected" : knobs.outcome_text);
    After(kErrorPause, [](Task* task) {
      {
        MutexLock lock(task->mu_);
        if (task->ended_) return;
        task->StatusLocked(Info::Transfer);
      }
      task->Advance(Jobs::kHere);
    });
    return Step::kWait;
  }
  return status_ == Info::Error ? Step::kWait : Step::kPublish;
}

void Task::UseKnownContent() {
  Hashes hashes;
  {
    MutexLock lock(mu_);
    hashes = announced_.whole;
  }
  const Result<bool> copied = world_.store.CopyKnown(order_.size, hashes, order_.id);
  if (!copied.has_value() || !*copied) return;  // the ordinary way
  world_.faults.Count(&Counters::rapid_uploads);
  MutexLock lock(mu_);
  known_content_ = true;
}

Result<Published> Task::Place(const Knobs& knobs) {
  if (knobs.lie == Lie::kNoFile) return Published{};
  auto file = world_.store.OpenPrivate(order_.id, order_.size);
  if (!file) return Fail(file.error());
  if (knobs.lie == Lie::kWrongSize) {
    if (Status ok = disk::Truncate(file->get(), order_.size + 1); !ok) return Fail(ok.error());
  }
  if (knobs.lie == Lie::kWrongBytes) {
    if (Status ok = Spoil(world_.store, file->get(), order_.size); !ok) return Fail(ok.error());
  }
  if (knobs.sync_files) {
    if (Status ok = disk::DataSync(file->get()); !ok) return Fail(ok.error());
  }
  const Result<Entry> before = world_.store.Find(order_.path);
  world_.recent.Note(order_.path, before ? std::optional(*before) : std::nullopt);
  return world_.store.Publish(order_.id, order_.path, knobs.existing);
}

void Task::Publish() {
  const auto knobs = world_.knobs.Get();
  std::shared_ptr<ReceivedFile> file;
  AnnouncedHashes announced;
  {
    MutexLock lock(mu_);
    file = file_;
    announced = announced_;
  }
  const Status checked = file ? file->Finish(announced, knobs->verify_hashes) : Status();
  {
    MutexLock lock(mu_);
    if (ended_) return;  // cancelled meanwhile
    if (!checked) {
      EndLocked(Info::Error, checked.error().text);
      return;
    }
    placing_ = true;
  }
  const Result<Published> placed = Place(*knobs);
  if (placed && !placed->path.empty() && !placed->skipped) world_.on_published(*placed);
  MutexLock lock(mu_);
  if (!placed) {
    EndLocked(Info::Error, placed.error().text);
  } else {
    const bool skipped = placed->skipped || OutcomeIs(*knobs, Outcome::kSkipped);
    EndLocked(skipped ? Info::Skipped : Info::Finish);
  }
}

}  // namespace outboxfs::server
