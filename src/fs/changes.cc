// Changes of the server that a caller waits for. The intent is journalled before the first call and
// until the outcome is known; names and staged bytes stay as they are until the server has done it.
// After a failed call (it may have worked), after a crash, and before the replaced target is
// deleted, forced listings decide (fs/decision.h).
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr int kMaxSettlingSteps = 8;
constexpr int kMaxFailures = 2;
constexpr std::chrono::seconds kLongestWait{20};
// A call that nobody waits for any more may still be carried out: the deadline of calls.
constexpr std::chrono::seconds kLateCalls{20};
constexpr std::chrono::milliseconds kLookAgain{500};
constexpr std::chrono::seconds kFirstPause{2};
constexpr std::chrono::seconds kLongestPause{60};

std::string Parent(const std::string& path) { return std::string(cache::ParentOf(path)); }
std::string Name(const std::string& path) { return std::string(cache::NameOf(path)); }

bool MayStillHappen(const Status& sent) {
  return !sent && (sent.error().code == ETIMEDOUT || sent.error().code == ECANCELED);
}

std::string Words(const cache::Intent& intent) {
  if (intent.kind == cache::Intent::Kind::kRemove) return "delete " + intent.from;
  return "rename " + intent.from + " to " + intent.to;
}

bool Shows(const remote::ListingPtr& listing, const std::string& path) {
  return listing && !path.empty() && listing->Find(Name(path)) != nullptr;
}

std::optional<remote::Entry> EntryIn(const remote::ListingPtr& listing, const std::string& path) {
  const remote::Entry* entry = listing ? listing->Find(Name(path)) : nullptr;
  return entry == nullptr ? std::optional<remote::Entry>() : *entry;
}

}  // namespace

// ---- Beginning and ending -----------------------------------------------------------------

Result<cache::Intent> Filesystem::BeginChange(cache::Intent intent) {
  intent.folder = options_.remote_folder;
  MutexLock lock(changes_mu_);
  auto begun = rooms_.store.BeginIntent(std::move(intent));
  if (!begun) return begun;
  changes_.insert(begun->id);
  late_until_.erase(begun->id);  // another one's, which had the number
  return begun;
}

void Filesystem::LeaveUndecided(const cache::Intent& intent) {
  {
    MutexLock lock(changes_mu_);
    late_until_[intent.id] = rooms_.clock.Now() + kLateCalls;
  }
  LeaveChange(intent);
}

// What an earlier run has sent is as late as what this one sent when it began.
bool Filesystem::MayBeLate(const cache::Intent& intent) const {
  MutexLock lock(changes_mu_);
  const auto known = late_until_.find(intent.id);
  const SteadyTime until = known == late_until_.end() ? started_at_ + kLateCalls : known->second;
  return rooms_.clock.Now() < until;
}

void Filesystem::LeaveChange(const cache::Intent& intent) {
  {
    MutexLock lock(changes_mu_);
    changes_.erase(intent.id);
    ++changes_ended_;
  }
  changes_moved_.NotifyAll();
}

Status Filesystem::CancelChange(const cache::Intent& intent) {
  auto dropped = rooms_.store.DropIntent(intent.id);
  LeaveChange(intent);
  return dropped;
}

Status Filesystem::CarryOut(const cache::Intent& intent) {
  const Places at = PlacesOf(intent);
  rooms_.downloads.Forget(at.from);
  if (!at.to.empty()) rooms_.downloads.Forget(at.to);
  bool begun = false;
  Status sent = SendSteps(intent, begun);
  Ended ended = Ended::kHappened;
  if (!sent || !intent.aside.empty()) {
    // An unmount ends the first call, but leaves nothing halfway: the calls' own deadlines do.
    ended = SettleOnServer(intent, begun ? std::stop_token() : lane_.exit.get_token());
  }
  Status done;
  if (ended == Ended::kHappened) {
    done = FollowServer(intent, cache::Store::Caller::kWaits);
  } else {
    done = sent ? Fail(EIO, "the server does not show it") : sent;
    // It is listed, so it is there, whatever the server said.
    const bool removal = intent.kind == cache::Intent::Kind::kRemove;
    if (removal && done.error().code == ENOENT) done = Fail(EIO, done.error().text);
    const bool undecided = ended == Ended::kUnknown || MayStillHappen(sent);
    Log::Warning("{}: {}{}", Words(intent), done.error().text,
                 undecided ? "; to be settled later" : "");
    if (undecided) {
      LeaveUndecided(intent);
      return done;
    }
    const auto dropped = rooms_.store.DropIntent(intent.id);
    if (!dropped) Log::Error("{}: {}", Words(intent), dropped.error().text);
  }
  LeaveChange(intent);
  return done;
}

Status Filesystem::SendSteps(const cache::Intent& intent, bool& begun) {
  remote::NamespaceApi& server = rooms_.names;
  for (const ChangeStep& step : StepsOf(intent)) {
    const std::stop_token stop = begun ? std::stop_token() : lane_.exit.get_token();
    Status sent;
    switch (step.kind) {
      case ChangeStep::Kind::kDelete:
        sent = server.Delete(step.path, stop);
        break;
      case ChangeStep::Kind::kRename:
        sent = server.Rename(step.path, step.argument, stop);
        break;
      case ChangeStep::Kind::kMove:
        sent = server.Move(step.path, step.argument, stop);
        break;
    }
    if (!sent && step.may_be_gone && sent.error().code == ENOENT) continue;
    if (!sent) return sent;
    begun = true;
  }
  return {};
}

Status Filesystem::FollowServer(const cache::Intent& intent, cache::Store::Caller caller) {
  WriterLock names(names_mu_);
  if (auto finished = rooms_.store.FinishIntent(intent.id, caller); !finished) return finished;
  MoveNodes(intent);
  EditListings(intent);
  return {};
}

// Items that kept one of the names, or took it since the intent was begun, have it.
void Filesystem::MoveNodes(const cache::Intent& intent) {
  if (intent.deferred) return;  // they have moved already
  const auto item_at = [&](const std::string& path) {
    const cache::Overlay now = rooms_.store.Lookup(path);
    return now.kind == cache::Overlay::Kind::kItem ? now.item.id : 0;
  };
  const auto taken = [&](const std::string& path) {
    const cache::ItemId item = item_at(path);
    return item != 0 && item != intent.source_item;
  };
  const NodePtr from_dir = nodes_.Find(Parent(intent.from));
  if (!from_dir || item_at(intent.from) != 0) return;
  const bool renamed = intent.kind == cache::Intent::Kind::kRename;
  const NodePtr to_dir = renamed ? nodes_.Find(Parent(intent.to)) : nullptr;
  if (to_dir && !taken(intent.to)) {
    nodes_.Move(from_dir, Name(intent.from), to_dir, Name(intent.to));
  } else {
    nodes_.Unlink(from_dir, Name(intent.from));
  }
}

void Filesystem::EditListings(const cache::Intent& intent) {
  const Places at = PlacesOf(intent);
  const auto entry_before = EntryIn(rooms_.dirs.Peek(Parent(at.from), Name(at.from)), at.from);
  if (intent.what == cache::ItemKind::kDir) {
    rooms_.dirs.InvalidateTree(at.from);
    if (!at.to.empty()) rooms_.dirs.InvalidateTree(at.to);
  }
  rooms_.dirs.Erase(Parent(at.from), Name(at.from));
  if (at.to.empty() || Shows(rooms_.dirs.Peek(Parent(at.to), Name(at.to)), at.to)) return;
  remote::Entry entry;
  if (entry_before) {
    entry = *entry_before;
  } else if (intent.source) {
    entry.size = intent.source->size;
    entry.mtime_ns = intent.source->mtime_ns;
    entry.id = intent.source->id;
  }
  entry.is_dir = intent.what == cache::ItemKind::kDir;
  entry.name = Name(at.to);
  rooms_.dirs.Put(Parent(at.to), entry);
}

// ---- Deciding by listings -----------------------------------------------------------------

Result<remote::ListingPtr> Filesystem::ListNow(const std::string& server_dir,
                                               const std::stop_token& stop) {
  auto listing = rooms_.dirs.Refresh(server_dir, rooms_.clock.Now(), stop);
  if (!listing && listing.error().code == ENOENT) return remote::ListingPtr();
  return listing;
}

Result<Evidence> Filesystem::Gather(const cache::Intent& intent, const std::stop_token& stop) {
  const Places at = PlacesOf(intent);
  rooms_.dirs.Invalidate(Parent(at.from));
  if (!at.to.empty()) rooms_.dirs.Invalidate(Parent(at.to));
  const auto beside_from = ListNow(Parent(at.from), stop);
  if (!beside_from) return Fail(beside_from.error());
  Evidence evidence;
  evidence.from = EntryIn(*beside_from, at.from);
  if (at.to.empty()) return evidence;
  evidence.passing_at_from = Shows(*beside_from, at.passing_at_from);
  const bool same = Parent(at.from) == Parent(at.to);
  const auto beside_to = same ? beside_from : ListNow(Parent(at.to), stop);
  if (!beside_to) return Fail(beside_to.error());
  evidence.to = EntryIn(*beside_to, at.to);
  evidence.passing_at_to = Shows(*beside_to, at.passing_at_to);
  evidence.aside = Shows(*beside_to, at.aside);
  return evidence;
}

Filesystem::Ended Filesystem::SettleOnServer(const cache::Intent& intent,
                                             const std::stop_token& stop) {
  bool forward = true;
  int failures = 0;
  for (int round = 0; round < kMaxSettlingSteps; ++round) {
    const auto evidence = Gather(intent, stop);
    if (!evidence) {
      Log::Warning("{}: {}", Words(intent), evidence.error().text);
      return Ended::kUnknown;
    }
    const SettlingStep step = fs::Decide(intent, *evidence, forward);
    if (step == SettlingStep::kHappened) return Ended::kHappened;
    // What was replaced is read on: it goes with its last reader (holds.cc).
    if (step == SettlingStep::kDropAside && IsReadOn(PlacesOf(intent).aside)) {
      return Ended::kHappened;
    }
    if (step == SettlingStep::kNot) return Ended::kNot;
    const auto taken = TakeSettlingStep(intent, step, stop);
    if (taken) continue;
    Log::Warning("{}: {}", Words(intent), taken.error().text);
    if (step == SettlingStep::kNameThere) forward = false;
    if (++failures > kMaxFailures) break;
  }
  return Ended::kUnknown;
}

Status Filesystem::TakeSettlingStep(const cache::Intent& intent, SettlingStep step,
                                    const std::stop_token& stop) {
  const Places at = PlacesOf(intent);
  remote::NamespaceApi& server = rooms_.names;
  switch (step) {
    case SettlingStep::kNameThere:
      return server.Rename(at.passing_at_to, Name(at.to), stop);
    case SettlingStep::kMoveBack:
      return server.Move(at.passing_at_to, Parent(at.from), stop);
    case SettlingStep::kNameBack:
      return server.Rename(at.passing_at_from, Name(at.from), stop);
    case SettlingStep::kPutBack:
      return server.Rename(at.aside, Name(at.to), stop);
    case SettlingStep::kKeepPassing:
      return server.Rename(at.passing_at_from, KeptName(Name(at.from), intent.passing), stop);
    case SettlingStep::kKeepAside:
      return server.Rename(at.aside, KeptName(Name(at.to), intent.aside), stop);
    case SettlingStep::kDropAside:
      return DropAside(intent, stop);
    case SettlingStep::kHappened:
    case SettlingStep::kNot:
      break;
  }
  return {};
}

// The server deletes a folder with all that is in it: one that somebody filled meanwhile is kept,
// under a name that is seen.
Status Filesystem::DropAside(const cache::Intent& intent, const std::stop_token& stop) {
  const Places at = PlacesOf(intent);
  if (intent.what == cache::ItemKind::kDir) {
    const auto inside = ListNow(at.aside, stop);
    if (!inside) return Fail(inside.error());
    if (*inside && !(*inside)->empty()) {
      Log::Warning("{} was not empty any more: kept beside it", at.to);
      return rooms_.names.Rename(at.aside, KeptName(Name(at.to), intent.aside), stop);
    }
  }
  return rooms_.names.Delete(at.aside, stop);
}

// ---- What is undecided --------------------------------------------------------------------

bool Filesystem::HasUndecided() const {
  const auto intents = rooms_.store.Intents();
  return std::any_of(intents.begin(), intents.end(), [this](const cache::Intent& intent) {
    changes_mu_.AssertHeld();
    return intent.folder == options_.remote_folder && intent.under_way() &&
           !changes_.contains(intent.id);
  });
}

std::optional<cache::Intent> Filesystem::TakeUndecided() {
  MutexLock lock(changes_mu_);
  for (cache::Intent& intent : rooms_.store.Intents()) {
    if (intent.folder != options_.remote_folder || !intent.under_way()) continue;
    if (changes_.insert(intent.id).second) return std::move(intent);
  }
  return std::nullopt;
}

bool Filesystem::SettleChanges(const std::stop_token& stop) {
  std::vector<cache::Intent> unknown;
  while (const auto intent = TakeUndecided()) {
    const bool late = MayBeLate(*intent);
    const Ended ended = SettleOnServer(*intent, stop);
    Status settled;
    if (ended == Ended::kUnknown || (ended == Ended::kNot && late)) {
      unknown.push_back(*intent);  // not again in this round
      continue;
    }
    Log::Notice(
        "{}: {}", Words(*intent),
        ended == Ended::kHappened ? "the server has done it" : "the server has not done it");
    if (ended == Ended::kHappened) {
      settled = FollowServer(*intent, cache::Store::Caller::kWasRefused);
    }
    if (ended == Ended::kNot) settled = rooms_.store.DropIntent(intent->id);
    if (!settled) Log::Error("{}: {}", Words(*intent), settled.error().text);
    LeaveChange(*intent);
    const Places at = PlacesOf(*intent);
    RemoteChanged(at.from, false);
    if (!at.to.empty()) RemoteChanged(at.to, false);
  }
  for (const cache::Intent& intent : unknown) LeaveChange(intent);
  return unknown.empty();
}

void Filesystem::SettleLoop(const std::stop_token& stop) {
  std::chrono::nanoseconds pause = kFirstPause;
  while (!stop.stop_requested()) {
    bool deferred = false;
    {
      MutexLock lock(changes_mu_);
      while (!HasUndecided() && !(deferred = HasDeferred()) && !stop.stop_requested()) {
        changes_moved_.Wait(changes_mu_, stop);
      }
    }
    if (stop.stop_requested()) return;
    const bool settled = SettleChanges(stop);
    if (settled && deferred) {
      CarryOutDeferred(stop);
      AwaitUploads(stop);
    }
    if (settled) {
      pause = kFirstPause;
      continue;
    }
    const SteadyTime until = CondVar::Clock::now() + pause;
    pause = std::min<std::chrono::nanoseconds>(pause * 2, kLongestPause);
    MutexLock lock(changes_mu_);
    while (!stop.stop_requested() && changes_moved_.WaitUntil(changes_mu_, stop, until)) {
    }
  }
}

// What a deferred rename waits for: the end of an upload is no news of a change.
void Filesystem::AwaitUploads(const std::stop_token& stop) {
  const SteadyTime until = CondVar::Clock::now() + kLookAgain;
  MutexLock lock(changes_mu_);
  while (HasDeferred() && !HasUndecided() && !stop.stop_requested() &&
         changes_moved_.WaitUntil(changes_mu_, stop, until)) {
  }
}

Status Filesystem::AwaitOtherChange(SlowLane& lane) {
  const auto token = lane.Enter();
  if (!token) return Fail(token.error());
  const SteadyTime deadline = CondVar::Clock::now() + kLongestWait;
  MutexLock lock(changes_mu_);
  const uint64_t ended = changes_ended_;
  while (HasUndecided() || (!changes_.empty() && changes_ended_ == ended)) {
    if (token->stop_requested()) return FailErrno(EINTR, "waiting for another change");
    if (CondVar::Clock::now() >= deadline) {
      return Fail(ETIMEDOUT, "what became of an earlier change of these names is not known yet");
    }
    changes_mu_.unlock();
    const bool settled = SettleChanges(*token);
    changes_mu_.lock();
    if (settled && changes_.empty()) return {};
    changes_moved_.WaitUntil(changes_mu_, *token, CondVar::Clock::now() + kLookAgain);
  }
  return {};
}

// ---- Staged files in the way --------------------------------------------------------------

cache::ItemId Filesystem::Hold(const Found& found) {
  if (!found.is_item() || found.facts->is_dir()) return 0;
  if (found.overlay.item.state == cache::State::kOpen) return 0;  // its writer holds it
  const auto held = rooms_.store.BeginWrite(found.overlay.item.id);
  if (!held) Log::Warning("{}: {}", found.path, held.error().text);
  return held ? found.overlay.item.id : 0;
}

// Unless it is being written by now: then the writer's close does it.
void Filesystem::LetGo(const NodePtr& dir, const std::string& name, cache::ItemId held) {
  if (held == 0) return;
  const auto end = [&] {
    const auto ended = rooms_.store.EndWrite(held, false);
    if (!ended && ended.error().code != ENOENT) Log::Warning("{}: {}", name, ended.error().text);
  };
  const NodePtr node = nodes_.Child(dir, name);
  if (!node) return end();
  MutexLock lock(node->mu);
  if (node->open.writers == 0) end();
}

}  // namespace outboxfs::fs
