// Remote removals and renames that a caller waits for: journalled before their first step; what
// they do to the names here comes when it is known that they happened.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "cache/renames.h"
#include "cache/store_impl.h"

namespace outboxfs::cache {
namespace {

bool AnyConcern(const std::vector<std::string>& some, const std::vector<std::string>& others) {
  for (const std::string& a : some) {
    for (const std::string& b : others) {
      if (IsAtOrBeneath(a, b) || IsAtOrBeneath(b, a)) return true;
    }
  }
  return false;
}

std::vector<std::string> PathsOf(const Intent& intent) {
  if (intent.kind == Intent::Kind::kRemove && intent.deferred) return {};
  if (intent.kind == Intent::Kind::kRemove) return {intent.from};
  if (intent.deferred) return {intent.to};
  return {intent.from, intent.to};
}

std::vector<std::string> RemotePathsOf(const Intent& intent) {
  if (intent.remote_to.empty()) return {intent.remote_from};
  return {intent.remote_from, intent.remote_to};
}

bool Collide(const Intent& a, const Intent& b) {
  return AnyConcern(PathsOf(a), PathsOf(b)) || AnyConcern(RemotePathsOf(a), RemotePathsOf(b));
}

std::string ServerPathOf(const Intent& intent, const std::string& path) {
  return intent.folder == "/" ? path : intent.folder + path;
}

}  // namespace

Result<Intent> StoreImpl::BeginIntent(Intent intent) {
  for (const std::string& path : PathsOf(intent)) {
    if (!IsNormalPath(path) || path == "/") return Fail(EINVAL, "path " + path);
  }
  MutexLock lock(mu_);
  intent.id = NextIntentId();
  intent.remote_from = cache::RemotePathOf(intents_, intent.from);
  const bool renames = intent.kind == Intent::Kind::kRename;
  if (renames) intent.remote_to = cache::RemotePathOf(intents_, intent.to);
  if (intent.remote_from.empty() || (renames && intent.remote_to.empty())) {
    return Fail(ESTALE, "a rename of " + intent.from + " is still to come on the server");
  }
  if (auto free = CheckNoCollision(intent); !free) return Fail(free.error());
  if (intent.what == ItemKind::kDir) {
    if (auto quiet = CheckQuiet(intent); !quiet) return Fail(quiet.error());
  }
  const ItemId goes =
      intent.kind == Intent::Kind::kRemove ? intent.source_item : intent.target_item;
  if (const Record* record = Find(goes)) intent.closed_ns = record->row.closed.ctime_ns;
  if (auto put = journal_->PutIntent(intent); !put) return Fail(put.error());
  intents_.push_back(intent);
  return intent;
}

uint64_t StoreImpl::NextIntentId() const { return intents_.empty() ? 1 : intents_.back().id + 1; }

Status StoreImpl::CheckNoCollision(const Intent& intent) const {
  for (const Intent& other : intents_) {
    if (other.id == intent.id || !other.under_way() || !Collide(intent, other)) continue;
    return Fail(EBUSY, intent.from + ": " + other.from + " is under way");
  }
  return {};
}

// A directory goes nowhere while uploads are under way in it, and one that is to be deleted may not
// hold anything that is shown elsewhere.
Status StoreImpl::CheckQuiet(const Intent& intent) const {
  const bool removed = intent.kind == Intent::Kind::kRemove;
  const std::string& goes = removed ? intent.remote_from : intent.remote_to;
  const bool uploading = IsUploadingInLocked(ServerPathOf(intent, intent.remote_from)) ||
                         IsUploadingInLocked(ServerPathOf(intent, goes));
  if (!uploading && !HoldsDeferredLocked(goes)) return {};
  return Fail(ESTALE, "uploads or renames are under way in " + intent.from);
}

std::vector<Intent>::iterator StoreImpl::FindIntent(uint64_t id) {
  return std::find_if(intents_.begin(), intents_.end(),
                      [id](const Intent& intent) { return intent.id == id; });
}

std::vector<Intent>::iterator StoreImpl::FindDeferredTo(const std::string& path) {
  return std::find_if(intents_.begin(), intents_.end(),
                      [&](const Intent& intent) { return intent.deferred && intent.to == path; });
}

Status StoreImpl::DropIntent(uint64_t id) {
  MutexLock lock(mu_);
  const auto intent = FindIntent(id);
  if (intent == intents_.end()) return Fail(ENOENT, "no such intent");
  if (intent->deferred) {
    Intent next = *intent;
    next.begun = false;
    next.remote_to.clear();
    next.passing.clear();
    if (auto put = journal_->PutIntent(next); !put) return put;
    *intent = std::move(next);
    return {};
  }
  if (auto dropped = journal_->DropIntent(id); !dropped) return dropped;
  intents_.erase(intent);
  return {};
}

Status StoreImpl::FinishIntent(uint64_t id, Caller caller) {
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    const auto intent = FindIntent(id);
    if (intent == intents_.end()) return Fail(ENOENT, "no such intent");
    const Also end = [&]() -> Status {
      mu_.AssertHeld();
      return journal_->DropIntent(id);
    };
    Intent now = *intent;
    if (now.deferred) return FinishDeferred(now);
    if (caller == Caller::kWasRefused) KeepWhatIsNewer(now);
    auto done = now.kind == Intent::Kind::kRemove ? FinishRemoval(now, end, doomed)
                                                  : FinishRename(now, end, doomed);
    if (!done) return done;
    intents_.erase(FindIntent(id));
    if (now.kind == Intent::Kind::kRename && now.what == ItemKind::kDir) CarryOver(now);
    if (now.kind == Intent::Kind::kRename && now.what == ItemKind::kFile) {
      MoveHolds(now.remote_from, now.remote_to);
    }
    NoteDeferred();
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

// The item that goes was written to since its caller was told that nothing had happened: it is
// another one than was meant.
void StoreImpl::KeepWhatIsNewer(Intent& intent) const {
  ItemId& goes = intent.kind == Intent::Kind::kRemove ? intent.source_item : intent.target_item;
  const Record* record = Find(goes);
  if (record == nullptr || intent.closed_ns == Intent::kUnknown) return;
  const Row& row = record->row;
  const bool open = row.state == State::kOpen || row.state == State::kInterrupted;
  if (open || row.closed.ctime_ns != intent.closed_ns) goes = 0;
}

// The name shows an item that came after the intent was begun: that one stays.
Status StoreImpl::FinishRemoval(const Intent& intent, const Also& end,
                                std::vector<Keeper::Doomed>& doomed) {
  const Record* record = ItemAt(intent.from);
  const bool taken = record != nullptr && record->row.id != intent.source_item;
  if (taken || HasItemsBeneath(intent.from)) return end();
  const GoneRow gone{intent.from, intent.what, intent.source, clock_.WallNs()};
  return RemoveLocked(intent.from, gone, end, doomed);
}

Status StoreImpl::FinishRename(const Intent& intent, const Also& end,
                               std::vector<Keeper::Doomed>& doomed) {
  const auto taken = [&](const std::string& path, ItemId item) {
    mu_.AssertHeld();
    const Record* record = ItemAt(path);
    return record != nullptr && record->row.id != item;
  };
  const GoneRow gone{intent.from, intent.what, intent.source, clock_.WallNs()};
  const bool from_taken = taken(intent.from, intent.source_item);
  const bool to_taken = taken(intent.to, intent.target_item) || HasItemsBeneath(intent.to);
  if (!from_taken && !to_taken) return RenameLocked(intent.from, intent.to, gone, end, doomed);
  if (from_taken || ItemAt(intent.from) != nullptr || HasItemsBeneath(intent.from)) return end();
  return RemoveLocked(intent.from, gone, end, doomed);
}

std::vector<Intent> StoreImpl::Intents() const {
  MutexLock lock(mu_);
  return intents_;
}

bool StoreImpl::IsBusy(const std::string& server_path) const {
  MutexLock lock(mu_);
  return IsBusyLocked(server_path);
}

bool StoreImpl::IsBusyLocked(const std::string& server_path) const {
  for (const Intent& intent : intents_) {
    if (!intent.under_way()) continue;
    for (const std::string& path : RemotePathsOf(intent)) {
      if (IsAtOrBeneath(server_path, ServerPathOf(intent, path))) return true;
    }
  }
  return false;
}

bool StoreImpl::IsUploadedTo(const std::string& server_path, const std::string& path,
                             ItemId except) const {
  MutexLock lock(mu_);
  return std::any_of(items_.begin(), items_.end(), [&](const auto& entry) {
    const Row& row = entry.second->row;
    if (entry.first == except || row.upload_generation == 0 || row.kept) return false;
    // What was deleted here is looked for under its own name too.
    return IsAtOrBeneath(row.rare().upload_path, server_path) ||
           (row.state == State::kRemoving && IsAtOrBeneath(row.path, path));
  });
}

}  // namespace outboxfs::cache
