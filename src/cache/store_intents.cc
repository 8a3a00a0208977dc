// Remote removals and renames that a caller waits for: journalled before their first step; what
// they do to the names here comes when it is known that they happened.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "cache/store_impl.h"

namespace outboxfs::cache {
namespace {

bool IsAtOrBeneath(std::string_view path, std::string_view top) {
  return path == top || top == "/" || path.starts_with(BeneathBegin(top));
}

bool Concern(const std::string& a, const std::string& b) {
  return IsAtOrBeneath(a, b) || IsAtOrBeneath(b, a);
}

std::vector<std::string> PathsOf(const Intent& intent) {
  if (intent.kind == Intent::Kind::kRemove) return {intent.from};
  return {intent.from, intent.to};
}

bool Collide(const Intent& a, const Intent& b) {
  for (const std::string& path : PathsOf(a)) {
    for (const std::string& other : PathsOf(b)) {
      if (Concern(path, other)) return true;
    }
  }
  return false;
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
  intent.id = intents_.empty() ? 1 : intents_.back().id + 1;
  for (const Intent& other : intents_) {
    if (Collide(intent, other)) {
      return Fail(EBUSY, intent.from + ": " + other.from + " is under way");
    }
  }
  const ItemId goes =
      intent.kind == Intent::Kind::kRemove ? intent.source_item : intent.target_item;
  if (const Record* record = Find(goes)) intent.closed_ns = record->row.closed.ctime_ns;
  if (auto put = journal_->PutIntent(intent); !put) return Fail(put.error());
  intents_.push_back(intent);
  return intent;
}

std::vector<Intent>::iterator StoreImpl::FindIntent(uint64_t id) {
  return std::find_if(intents_.begin(), intents_.end(),
                      [id](const Intent& intent) { return intent.id == id; });
}

Status StoreImpl::DropIntent(uint64_t id) {
  MutexLock lock(mu_);
  const auto intent = FindIntent(id);
  if (intent == intents_.end()) return Fail(ENOENT, "no such intent");
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
    if (caller == Caller::kWasRefused) KeepWhatIsNewer(now);
    auto done = now.kind == Intent::Kind::kRemove ? FinishRemoval(now, end, doomed)
                                                  : FinishRename(now, end, doomed);
    if (!done) return done;
    intents_.erase(intent);
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
  for (const Intent& intent : intents_) {
    for (const std::string& path : PathsOf(intent)) {
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
