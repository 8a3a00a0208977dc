// Versions on the server that are read on after their name is gone here: what would delete one puts
// it aside instead, under a hidden name, and it goes when nobody reads it any more.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "cache/renames.h"
#include "cache/store_impl.h"

namespace outboxfs::cache {

HoldId StoreImpl::Hold(const std::string& path) {
  MutexLock lock(mu_);
  const HoldId id = ++last_hold_;
  holds_[id] = cache::RemotePathOf(intents_, path);
  return id;
}

std::string StoreImpl::HeldAt(HoldId id) const {
  MutexLock lock(mu_);
  const auto hold = holds_.find(id);
  return hold == holds_.end() ? "" : hold->second;
}

void StoreImpl::ReleaseHold(HoldId id) {
  MutexLock lock(mu_);
  holds_.erase(id);
}

bool StoreImpl::IsHeld(const std::string& remote_path) const {
  MutexLock lock(mu_);
  return std::any_of(holds_.begin(), holds_.end(),
                     [&](const auto& hold) { return hold.second == remote_path; });
}

Status StoreImpl::PutAside(const std::string& folder, const std::string& remote_path,
                           const std::string& aside) {
  MutexLock lock(mu_);
  const Intent removal{.id = NextIntentId(),
                       .kind = Intent::Kind::kRemove,
                       .folder = folder,
                       .from = aside,
                       .remote_from = aside,
                       .deferred = true};
  if (auto put = journal_->PutIntent(removal); !put) return put;
  intents_.push_back(removal);
  NoteDeferred();
  MoveHolds(remote_path, aside);
  return {};
}

Status StoreImpl::PutBack(const std::string& aside, const std::string& remote_path) {
  MutexLock lock(mu_);
  MoveHolds(aside, remote_path);
  const auto removal = std::find_if(intents_.begin(), intents_.end(), [&](const Intent& intent) {
    return intent.is_aside() && intent.remote_from == aside;
  });
  if (removal == intents_.end()) return {};
  if (auto dropped = journal_->DropIntent(removal->id); !dropped) return dropped;
  intents_.erase(removal);
  NoteDeferred();
  return {};
}

// Beneath too: of a directory that is renamed on the server.
void StoreImpl::MoveHolds(const std::string& from, const std::string& to) {
  for (auto& [id, path] : holds_) {
    if (IsAtOrBeneath(path, from)) path.replace(0, from.size(), to);
  }
}

}  // namespace outboxfs::cache
