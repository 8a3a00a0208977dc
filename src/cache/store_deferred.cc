// Deferred renames and removals: done here at once, and on the server when no upload is under way
// any more beneath, because what a server does with an upload into a directory that it no longer
// has is anybody's guess.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "cache/renames.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

std::string ServerPath(const std::string& folder, const std::string& remote_path) {
  return folder == "/" ? remote_path : folder + remote_path;
}

// `path`, which is at or beneath `from`, after `from` became `to`.
std::string Carried(const std::string& path, const std::string& from, const std::string& to) {
  return to + path.substr(from.size());
}

}  // namespace

std::string StoreImpl::RemotePathOf(const std::string& path) const {
  if (!any_deferred_) return path;
  MutexLock lock(mu_);
  return cache::RemotePathOf(intents_, path);
}

std::string StoreImpl::MountPathOf(const std::string& remote_path) const {
  if (!any_deferred_) return remote_path;
  MutexLock lock(mu_);
  return cache::MountPathOf(intents_, remote_path);
}

bool StoreImpl::AwaitsRename(const std::string& path) const {
  if (!any_deferred_) return false;
  MutexLock lock(mu_);
  return cache::AwaitsRename(intents_, path);
}

void StoreImpl::NoteDeferred() {
  any_deferred_ = std::any_of(intents_.begin(), intents_.end(),
                              [](const Intent& intent) { return intent.deferred; });
}

// What is parked stays as it is until a person comes; it goes along (CarryUploads).
bool StoreImpl::IsUploadingTo(const std::string& server_path) const {
  MutexLock lock(mu_);
  return IsUploading([&](const std::string& path) { return IsAtOrBeneath(path, server_path); });
}

std::vector<Item> StoreImpl::UploadsAt(const std::string& server_path) const {
  MutexLock lock(mu_);
  std::vector<Item> there;
  for (const auto& [id, record] : items_) {
    const Row& row = record->row;
    if (row.upload_generation == 0 || row.rare().upload_path != server_path) continue;
    there.push_back(ToItem(row));
  }
  return there;
}

bool StoreImpl::IsUploadingIn(const std::string& server_dir) const {
  MutexLock lock(mu_);
  return IsUploadingInLocked(server_dir);
}

bool StoreImpl::IsUploadingInLocked(const std::string& server_dir) const {
  const std::string beneath = BeneathBegin(server_dir);
  return IsUploading([&](const std::string& path) { return path.starts_with(beneath); });
}

bool StoreImpl::IsUploading(const std::function<bool(const std::string&)>& concerns) const {
  return std::any_of(items_.begin(), items_.end(), [&](const auto& entry) {
    const Row& row = entry.second->row;
    if (row.upload_generation == 0 || row.kept || row.state == State::kParked) return false;
    return concerns(row.rare().upload_path);
  });
}

Status StoreImpl::DeferRename(Intent intent, const std::optional<Seen>& seen) {
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    if (auto right = CheckSeen(intent.from, seen); !right) return right;
    intent.kind = Intent::Kind::kRename;
    auto gone = PrepareDeferred(intent);
    if (!gone) return Fail(gone.error());
    // One that was deferred before goes on, to the newer name.
    const bool known = std::any_of(intents_.begin(), intents_.end(), [&](const Intent& other) {
      return other.deferred && other.to == intent.from;
    });
    const Also also = [&]() -> Status {
      mu_.AssertHeld();
      return known ? Status() : journal_->PutIntent(intent);
    };
    if (auto done = RenameLocked(intent.from, intent.to, *gone, also, doomed); !done) return done;
    if (!known) intents_.push_back(std::move(intent));
    NoteDeferred();
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

Status StoreImpl::DeferRemoval(Intent intent, const std::optional<Seen>& seen) {
  std::vector<Keeper::Doomed> doomed;
  MutexLock lock(mu_);
  if (auto right = CheckSeen(intent.from, seen); !right) return right;
  intent.kind = Intent::Kind::kRemove;
  auto gone = PrepareDeferred(intent);
  if (!gone) return Fail(gone.error());
  const Also also = [&]() -> Status {
    mu_.AssertHeld();
    return journal_->PutIntent(intent);
  };
  if (auto done = RemoveLocked(intent.from, *gone, also, doomed); !done) return done;
  intents_.push_back(std::move(intent));
  NoteDeferred();
  return {};
}

Result<GoneRow> StoreImpl::PrepareDeferred(Intent& intent) const {
  intent.deferred = true;
  intent.id = NextIntentId();
  intent.remote_from = cache::RemotePathOf(intents_, intent.from);
  if (intent.remote_from.empty()) return Fail(ESTALE, intent.from + " is not on the server");
  if (auto free = CheckNoCollision(intent); !free) return Fail(free.error());
  return GoneRowOf(intent.from);
}

bool StoreImpl::HoldsDeferred(const std::string& remote_path) const {
  if (!any_deferred_) return false;
  MutexLock lock(mu_);
  return HoldsDeferredLocked(remote_path);
}

bool StoreImpl::HoldsDeferredLocked(const std::string& remote_path) const {
  return std::any_of(intents_.begin(), intents_.end(), [&](const Intent& intent) {
    return intent.deferred && intent.remote_from != remote_path &&
           IsAtOrBeneath(intent.remote_from, remote_path);
  });
}

Result<Intent> StoreImpl::BeginDeferred(uint64_t id, const std::string& remote_to,
                                        const std::string& passing) {
  MutexLock lock(mu_);
  const auto intent = FindIntent(id);
  if (intent == intents_.end() || intent->under_way()) return Fail(ESTALE, "no such rename waits");
  Intent next = *intent;
  next.begun = true;
  next.remote_to = remote_to;
  next.passing = passing;
  if (next.remote_from != remote_to) {
    const bool removed = next.kind == Intent::Kind::kRemove;
    if (IsUploadingInLocked(ServerPath(next.folder, next.remote_from)) ||
        (removed && HoldsDeferredLocked(next.remote_from))) {
      return Fail(EBUSY, "uploads are under way in " + next.remote_from);
    }
    if (auto free = CheckNoCollision(next); !free) return Fail(free.error());
    for (const Intent& other : intents_) {
      if (!other.under_way() && other.remote_from == remote_to) {
        return Fail(EBUSY, other.to + " is still to make room");
      }
    }
  }
  if (auto put = journal_->PutIntent(next); !put) return Fail(put.error());
  return *intent = next;
}

Status StoreImpl::GiveUpDeferred(uint64_t id) {
  MutexLock lock(mu_);
  const auto intent = FindIntent(id);
  if (intent == intents_.end()) return Fail(ENOENT, "no such intent");
  if (auto dropped = journal_->DropIntent(id); !dropped) return dropped;
  const std::vector<Intent> before = intents_;
  const std::string remote = intent->remote_from;
  intents_.erase(intent);
  NoteDeferred();
  const std::string path = cache::MountPathOf(intents_, remote);
  if (!path.empty() && IsFreeName(path)) {
    if (auto dropped = journal_->DropGone(path); !dropped) return dropped;
    DropGhost(path);
  }
  PublishReleased(before);
  return {};
}

void StoreImpl::NoteTrouble(uint64_t id, const std::string& trouble) {
  MutexLock lock(mu_);
  if (const auto intent = FindIntent(id); intent != intents_.end()) intent->trouble = trouble;
}

// The server has it at `remote_to` now (a removed one: nowhere). That is where it is to be, or
// (names that are swapped) only out of another's way.
Status StoreImpl::FinishDeferred(const Intent& intent) {
  const bool removed = intent.kind == Intent::Kind::kRemove;
  Intent next = intent;
  next.begun = false;
  next.remote_from = next.remote_to;
  next.remote_to.clear();
  next.passing.clear();
  const auto at = FindIntent(intent.id);
  std::vector<Intent> others(intents_);
  others.erase(others.begin() + (at - intents_.begin()));
  const bool arrived = removed || cache::RemotePathOf(others, next.to) == next.remote_from;
  // Where the server had it until now, which a lagging listing goes on to show.
  const std::string left = cache::MountPathOf(others, intent.remote_from);
  std::optional<GoneRow> gone;
  const bool moved = intent.remote_from != next.remote_from && !intent.is_aside();
  if (arrived && moved && IsFreeName(left)) {
    gone = GoneRow{.path = left, .kind = intent.what, .since_ns = clock_.WallNs()};
  }
  const CarriedRows carried = removed ? CarriedRows() : CarryUploads(intent);
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (auto put = JournalCarried(carried); !put) return put;
    if (gone) {
      if (auto put = journal_->PutGone(*gone); !put) return put;
    }
    return arrived ? journal_->DropIntent(intent.id) : journal_->PutIntent(next);
  });
  if (!done) return done;
  const std::vector<Intent> before = intents_;
  if (arrived) {
    intents_.erase(at);
  } else {
    *at = next;
  }
  if (!removed) ApplyCarried(intent, carried);
  NoteDeferred();
  if (gone) Hide(*std::move(gone));
  if (arrived && !removed) ShowAnew(next.to);
  PublishReleased(before);
  return {};
}

// Nothing that the server has is known to be there.
bool StoreImpl::IsFreeName(const std::string& path) const {
  if (path.empty() || ItemAt(path) != nullptr) return false;
  const auto name = names_.find(path);
  return name == names_.end() || !name->second.ghost ||
         name->second.ghost->kind == Overlay::Kind::kGone;
}

// Listings may lag behind the server from now on, not from when it was renamed here.
void StoreImpl::ShowAnew(const std::string& path) {
  const auto name = names_.find(path);
  Ghost* ghost = name == names_.end() ? nullptr : name->second.ghost.get();
  if (ghost == nullptr || ghost->kind != Overlay::Kind::kUploaded) return;
  ghost->since = clock_.Now();
  ghost->contradictions = 0;
  ghost->doubted.reset();
}

// The uploader looks again at what had to wait; there may be nothing, but it may wait for that.
void StoreImpl::PublishReleased(const std::vector<Intent>& before) {
  for (const auto& [id, record] : items_) {
    if (!record->unlinked && cache::AwaitsRename(before, record->row.path)) feed_.Publish(id);
  }
  constexpr ItemId kNone = 0;
  feed_.Publish(kNone);
}

// What a rename on the server, of `intent`, takes along: other deferred renames beneath, and what
// uploads have left that are not under way.
StoreImpl::CarriedRows StoreImpl::CarryUploads(const Intent& intent) const {
  CarriedRows carried;
  for (const Intent& other : intents_) {
    if (!other.deferred || other.id == intent.id) continue;
    if (!IsAtOrBeneath(other.remote_from, intent.remote_from)) continue;
    carried.intents.push_back(other);
    std::string& path = carried.intents.back().remote_from;
    path = Carried(path, intent.remote_from, intent.remote_to);
  }
  const std::string from = ServerPath(intent.folder, intent.remote_from);
  const std::string to = ServerPath(intent.folder, intent.remote_to);
  for (const auto& [id, record] : items_) {
    const Row& row = record->row;
    if (row.upload_generation == 0 || !IsAtOrBeneath(row.rare().upload_path, from)) continue;
    Row next = row;
    next.EditRare(
        [&](RareFields& rare) { rare.upload_path = Carried(rare.upload_path, from, to); });
    carried.rows.emplace_back(record.get(), std::move(next));
  }
  return carried;
}

Status StoreImpl::JournalCarried(const CarriedRows& carried) {
  for (const Intent& intent : carried.intents) {
    if (auto put = journal_->PutIntent(intent); !put) return put;
  }
  for (const auto& [record, next] : carried.rows) {
    if (auto saved = journal_->Save(next); !saved) return saved;
  }
  return {};
}

void StoreImpl::ApplyCarried(const Intent& intent, const CarriedRows& carried) {
  MoveHolds(intent.remote_from, intent.remote_to);
  for (const Intent& other : carried.intents) *FindIntent(other.id) = other;
  for (const auto& [record, next] : carried.rows) {
    Row row = record->row;
    const std::string& path = next.rare().upload_path;
    row.EditRare([&path](RareFields& rare) { rare.upload_path = path; });
    Apply(*record, std::move(row));
  }
}

// After a directory was renamed on the server while a caller waited.
void StoreImpl::CarryOver(const Intent& intent) {
  const CarriedRows carried = CarryUploads(intent);
  const auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    return JournalCarried(carried);
  });
  if (!done) Log::Warning("{}: {}", intent.to, done.error().text);
  ApplyCarried(intent, carried);
}

// What a rename here does to those that are deferred: they lead to the new names.
std::vector<Intent> StoreImpl::MovedIntents(const std::string& from, const std::string& to) const {
  std::vector<Intent> moved;
  for (const Intent& intent : intents_) {
    if (!intent.deferred || intent.to.empty() || !IsAtOrBeneath(intent.to, from)) continue;
    moved.push_back(intent);
    moved.back().to = Carried(intent.to, from, to);
  }
  return moved;
}

}  // namespace outboxfs::cache
