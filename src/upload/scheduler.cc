#include "upload/scheduler.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/thread.h"
#include "upload/paths.h"

namespace outboxfs::upload {
namespace {

using cache::Item;
using cache::ItemId;
using cache::ItemKind;
using cache::State;

constexpr auto kIdleTurn = std::chrono::seconds(60);
constexpr std::chrono::hours kUntilTold{24 * 365};
constexpr auto kPenPatience = std::chrono::seconds(30);
constexpr size_t kPenCapacity = 4096;
constexpr auto kFirstPause = std::chrono::seconds(30);  // of the whole queue

// Has it an upload that is not over?
bool IsBegun(const Item& item) { return !item.upload_path.empty() && !item.kept; }

// Has it an upload that nobody wants any more, and nothing else to do?
bool NeedsCleaning(const Item& item) {
  if (item.state == State::kRemoving) return true;
  const bool being_written = item.state == State::kOpen || item.state == State::kSealing ||
                             item.state == State::kInterrupted || item.state == State::kHydrating;
  return being_written && IsBegun(item);
}

ReadServerOptions ReadOptions(const UploadOptions& options) {
  ReadServerOptions read;
  read.window = options.read_window;
  read.bwlimit = options.bwlimit;
  return read;
}

// Between two listings, when there are at most so many per minute.
std::chrono::nanoseconds GapOf(int per_minute) {
  constexpr std::chrono::nanoseconds kMinute = std::chrono::minutes(1);
  return per_minute <= 0 ? std::chrono::nanoseconds(0) : kMinute / per_minute;
}

void AddWaiting(const Agenda& agenda, std::vector<Progress>& items) {
  agenda.ForEach([&agenda, &items](const Agenda::Task& task) {
    Progress progress;
    progress.id = task.id;
    progress.phase = task.phase;
    progress.bytes_total = task.size;
    progress.note = task.phase == Phase::kHeld ? "until renamed" : agenda.WaitsFor(task.id);
    items.push_back(std::move(progress));
  });
}

}  // namespace

bool IsUnderWay(State state) {
  return state == State::kWaiting || state == State::kUploading || state == State::kVerifying ||
         state == State::kPlacing;
}

Scheduler::Scheduler(const Rooms& rooms)
    : rooms_(rooms),
      options_(rooms.options),
      feed_(rooms.store.feed().Subscribe()),
      board_(rooms.options.verify_interval, GapOf(rooms.options.verify_rate)),
      pen_(kPenCapacity, kPenPatience),
      workers_(static_cast<size_t>(rooms.options.transfers) + 2),
      reads_(rooms.uploads, rooms.store, rooms.clock, ReadOptions(rooms.options), *this),
      hasher_(rooms.uploads, rooms.store, rooms.clock,
              HasherOptions{.report_every = rooms.options.hash_report_every}, *this),
      channel_(rooms.uploads, *this, ChannelOptions{rooms.store.device_id()}) {
  thread_ = StartThread("obx-scheduler", [this](const std::stop_token& stop) { RunLoop(stop); });
  channel_.Start();
}

Scheduler::~Scheduler() { thread_.request_stop(); }

// ---- The thread -----------------------------------------------------------------------------

void Scheduler::RunLoop(const std::stop_token& stop) {
  std::vector<ItemId> changed;
  for (const Item& item : rooms_.store.All()) changed.push_back(item.id);
  while (!stop.stop_requested()) {
    Turn(changed);
    changed = feed_->Take(stop, NextWake());
  }
}

void Scheduler::Turn(const std::vector<ItemId>& changed) {
  {
    MutexLock lock(mu_);
    for (const ItemId id : changed) Touch(id);
    started_ = true;
    DrainInbox();
    const SteadyTime now = rooms_.clock.Now();
    pen_.DropExpired(now);
    CheckSilence(now);
    StartVerifications(now);
    StartWhatMay();
  }
  turned_.NotifyAll();
}

SteadyTime Scheduler::NextWake() const {
  MutexLock lock(mu_);
  const SteadyTime now = rooms_.clock.Now();
  SteadyTime wake = now + kIdleTurn;
  // While nothing may start, what is due waits for the channel's news or the end of the pause.
  const bool may_start = channel_up_ && paused_until_ <= now;
  if (const auto due = agenda_.NextDue(); due && may_start) wake = std::min(wake, *due);
  if (const auto due = board_.NextDue()) wake = std::min(wake, *due);
  if (!pen_.empty()) wake = std::min(wake, now + kPenPatience);
  if (paused_until_ > now) wake = std::min(wake, paused_until_);
  for (const RunKey key : active_) {
    const Run& run = *runs_.at(key);
    if (run.session.state() == Session::State::kServing) {
      wake = std::min(wake, run.last_heard + run.patience);
    }
  }
  return wake;
}

void Scheduler::Post(Task task) {
  {
    MutexLock lock(inbox_mu_);
    inbox_.push_back(std::move(task));
  }
  feed_->Wake();
}

void Scheduler::DrainInbox() {
  while (true) {
    std::deque<Task> tasks;
    {
      MutexLock lock(inbox_mu_);
      tasks.swap(inbox_);
    }
    if (tasks.empty()) return;
    for (const Task& task : tasks) task();
  }
}

// ---- What waits -----------------------------------------------------------------------------

std::optional<Item> Scheduler::ItemOf(ItemId id) const {
  std::optional<Item> item = rooms_.store.Get(id);
  if (item && item->path.empty()) item.reset();
  return item;
}

void Scheduler::Touch(ItemId id) {
  const std::optional<Item> item = ItemOf(id);
  if (item && item->state == State::kInterrupted && options_.upload_interrupted) LetGo(*item);
  const auto known = entries_.find(id);
  Run* run = known == entries_.end() ? nullptr : FindRun(known->second.run);
  const bool is_dir = item && item->kind == ItemKind::kDir;
  if (is_dir && (IsUnderWay(item->state) || item->state == State::kParked)) {
    agenda_.SetMissingDir(id, rooms_.ServerPath(item->path), item->state == State::kParked);
  } else {
    agenda_.ClearMissingDir(id);
  }
  if (run != nullptr) {
    TouchRunning(*run, item ? &*item : nullptr);
    return;
  }
  // What was begun may still be going on at its path: until it is known to be over, nothing else
  // may start there.
  agenda_.KeepOnly(id, item && IsBegun(*item) ? item->upload_path : "",
                   item && item->state == State::kParked);
  if (item && (IsUnderWay(item->state) || NeedsCleaning(*item))) {
    PutOnAgenda(*item, entries_[id], NeedsCleaning(*item));
  } else {
    Forget(id);
  }
}

// It is published again in its new state.
void Scheduler::LetGo(const Item& item) {
  Log::Notice("{} was being written when a daemon died: it is uploaded as it is", item.path);
  if (Status gone = rooms_.store.Retry(item.id); !gone) Log::Warning("{}", gone.error().text);
}

void Scheduler::TouchRunning(Run& run, const Item* item) {
  // A deleted item with a started upload stays as kRemoving. One that left or is clean was finished
  // by this very run, whose own word of it is still on its way; or nothing was started, and then
  // the next step finds out.
  if (run.ending || item == nullptr || item->state == State::kClean) return;
  if (item->generation == run.item.generation && IsUnderWay(item->state)) return;
  run.changed = true;
  if (run.takes_dir_place) return;
  const RunKey key = run.key;
  const bool waits_for_place = want_place_.erase(key) > 0;
  Tell(key, event::Stale{});
  // No job is running whose end would have to be awaited.
  if (waits_for_place) Tell(key, event::Failed{Error{ESTALE, Retry::kBackoff, "changed"}, true});
}

void Scheduler::PutOnAgenda(const Item& item, Entry& entry, bool clean) {
  const SteadyTime now = rooms_.clock.Now();
  Agenda::Task task;
  task.id = item.id;
  task.size = item.size;
  task.due = std::max(now, entry.not_before);
  if (IsBegun(item)) task.begun = item.upload_path;
  if (clean) {
    task.lane = Agenda::Lane::kClean;
    task.path = item.upload_path.empty() ? rooms_.ServerPath(item.path) : item.upload_path;
    agenda_.Put(std::move(task));
    return;
  }
  const bool is_dir = item.kind == ItemKind::kDir;
  const Haste haste{no_quiet_time_ || entry.hurry, entry.hurry, entry.hurry || entry.server_back};
  Due due = DueTime(item, rooms_.clock.WallNs(), options_, haste);
  // What was begun already goes on at once.
  if (IsBegun(item) && due.phase != Phase::kBackoff) due = Due{};
  if (!IsBegun(item) && rooms_.store.AwaitsRename(item.path)) {
    // The store publishes it again when the rename is done.
    due = Due{.pause = kUntilTold, .phase = Phase::kQueued};
    task.awaits_rename = true;
  }
  task.lane = is_dir                    ? Agenda::Lane::kDir
              : item.size <= kSmallFile ? Agenda::Lane::kSmall
                                        : Agenda::Lane::kLarge;
  task.phase = due.phase;
  task.order = is_dir ? item.changed_ns : item.sealed_ns;
  task.path = rooms_.ServerPath(item.path);
  task.due = std::max(task.due, now + due.pause);
  agenda_.Put(std::move(task));
}

void Scheduler::TouchAllWaiting(const std::function<bool(const Agenda::Task&)>& which) {
  std::vector<ItemId> ids;
  agenda_.ForEach([&](const Agenda::Task& task) {
    if (which(task)) ids.push_back(task.id);
  });
  for (const ItemId id : ids) Touch(id);
}

void Scheduler::Forget(ItemId id) {
  agenda_.Drop(id);
  entries_.erase(id);
}

void Scheduler::StartWhatMay() {
  // Without the channel a rapid upload's end would be lost (docs/PROTOCOL.md, rule 2).
  if (!channel_up_ || rooms_.clock.Now() < paused_until_) return;
  while (const auto id = agenda_.TakeNext(rooms_.clock.Now(), FreePlaces())) StartRun(*id);
}

Agenda::Places Scheduler::FreePlaces() const {
  int dirs = 0;
  int large = 0;
  int files = 0;
  int cleaning = 0;
  for (const RunKey key : active_) {
    const Run& run = *runs_.at(key);
    if (run.takes_dir_place) {
      ++dirs;
    } else if (run.session.state() == Session::State::kCleaning) {
      ++cleaning;
    } else if (run.session.TakesPlace()) {
      ++files;
      if (run.item.size > kSmallFile) ++large;
    }
  }
  // After a provider-wide pause one careful try, until something succeeds.
  if (pauses_ > 0 && files + dirs > 0) return {};
  const int limit = pauses_ > 0 ? 1 : options_.transfers;
  const int limit_large = limit > 1 ? limit - 1 : limit;
  return Agenda::Places{dirs < limit, files < limit, files < limit && large < limit_large,
                        cleaning < limit};
}

void Scheduler::StartRun(ItemId id) {
  std::optional<Item> item = ItemOf(id);
  if (!item) {
    agenda_.ReleaseAll(id);
    Forget(id);
    return;
  }
  // It may have been begun since it was put on the agenda.
  if (IsBegun(*item) && !agenda_.Claim(item->upload_path, id)) {
    agenda_.ReleaseAll(id);
    Touch(id);
    return;
  }
  const RunKey key = next_key_++;
  Entry& entry = entries_[id];
  entry.run = key;
  entry.server_back = false;
  if (item->upload_id.empty()) item->upload_id = entry.upload_id;
  Run& run = *runs_.emplace(key, std::make_unique<Run>(key, *item)).first->second;
  if (NeedsCleaning(*item)) {
    Do(run, run.session.BeginClean());
  } else if (item->kind == ItemKind::kDir) {
    run.takes_dir_place = true;
    active_.insert(key);
    MakeDirectory(run);
  } else if (IsUnderWay(item->state)) {
    Do(run, run.session.Begin());
  } else {  // changed since it was put on the agenda
    Finalise(key);
  }
}

void Scheduler::PauseAll(const Error& error) {
  if (rooms_.clock.Now() < paused_until_) return;  // one of several that ran at the time
  const auto pause = Backoff(pauses_++, kFirstPause, options_.backoff_max, Chance());
  paused_until_ = rooms_.clock.Now() + pause;
  paused_until_ns_ = rooms_.clock.WallNs() + pause.count();
  paused_reason_ = error.text;
  Log::Warning("uploads pause for {} s: {}",
               std::chrono::duration_cast<std::chrono::seconds>(pause).count(), error.text);
}

// ---- Asked from outside ---------------------------------------------------------------------

void Scheduler::Hurry(ItemId id) {
  Post([this, id]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    entries_[id].hurry = true;
    Touch(id);
  });
}

void Scheduler::EndPause() {
  Post([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { paused_until_ = rooms_.clock.Now(); });
}

void Scheduler::SkipQuietTimes() {
  Post([this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    no_quiet_time_ = true;
    TouchAllWaiting([](const Agenda::Task& task) { return task.phase == Phase::kSettling; });
  });
}

size_t Scheduler::CountLeft() const {
  size_t left = 0;
  for (const Item& item : rooms_.store.All()) {
    const bool before_upload = item.state == State::kSealing || item.state == State::kHydrating;
    if (before_upload || item.state == State::kRemoving || IsUnderWay(item.state)) ++left;
  }
  return left;
}

// Renames that the server has yet to follow, and whether one of them needs a person.
size_t Scheduler::CountRenames(bool& stuck) const {
  size_t left = 0;
  if (!rooms_.store.AnyDeferred()) return left;
  for (const cache::Intent& intent : rooms_.store.Intents()) {
    if (!intent.deferred) continue;
    if (intent.is_aside() && rooms_.store.IsHeld(intent.remote_from)) continue;
    stuck |= !intent.trouble.empty();
    if (intent.trouble.empty()) ++left;
  }
  return left;
}

size_t Scheduler::AwaitIdle(SteadyTime deadline, const std::stop_token& stop) {
  MutexLock lock(mu_);
  while (true) {
    // The store is asked only when nothing is known to be left: it may have what we do not know
    // yet.
    if (started_ && runs_.empty()) {
      bool renames_stuck = false;
      const size_t renames = CountRenames(renames_stuck);
      const size_t stuck = agenda_.CountStuck(renames_stuck);
      if (renames == 0 && agenda_.size() == stuck && CountLeft() <= stuck) return stuck;
    }
    if (stop.stop_requested() || !turned_.WaitUntil(mu_, stop, deadline)) return CountLeft();
  }
}

Progress Scheduler::ProgressOf(const Run& run) const {
  Progress progress;
  progress.id = run.item.id;
  progress.phase = run.takes_dir_place ? Phase::kStarting : run.session.phase();
  progress.bytes_total = run.item.size;
  progress.note = run.session.note();
  const ReadServer::Progress served = reads_.ProgressOf(run.key);
  progress.bytes_served = std::max(run.bytes_served, served.served);
  progress.bytes_hashed = std::max(run.bytes_hashed, hasher_.BytesHashed(run.key));
  return progress;
}

UploaderStatus Scheduler::Snapshot() const {
  UploaderStatus status;
  status.bytes_uploaded = reads_.bytes_acknowledged();
  MutexLock lock(mu_);
  status.items.reserve(agenda_.size() + runs_.size());
  for (const auto& [key, run] : runs_) status.items.push_back(ProgressOf(*run));
  AddWaiting(agenda_, status.items);
  status.channel_up = channel_up_;
  status.channel_error = channel_error_;
  if (rooms_.clock.Now() < paused_until_) {
    status.paused_reason = paused_reason_;
    status.paused_until_ns = paused_until_ns_;
  }
  status.uploads_done = uploads_done_;
  status.unknown_upload_ids = pen_.dropped();
  status.refused_requests = refused_;
  return status;
}

}  // namespace outboxfs::upload
