// Names: remove and rename.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/paths.h"
#include "cache/renames.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// Parked because of its name alone, which it loses.
bool WasRefusedByName(const Row& row) {
  const bool sealed = row.kind == ItemKind::kDir || row.generation != 0;
  return row.state == State::kParked && sealed &&
         (row.error_code == EEXIST || row.error_code == EINVAL || row.error_code == EISDIR ||
          row.error_code == ENAMETOOLONG);
}

void TryAgain(Row& row) {
  row.state = State::kWaiting;
  row.attempts = 0;
  row.not_before_ns = 0;
  row.error_code = 0;
  row.EditRare([](RareFields& rare) { rare.reason.clear(); });
}

// What becomes of a removed item that the remote may know of.
Row Removing(const Row& row) {
  Row next = row;
  next.state = State::kRemoving;
  next.attempts = 0;
  next.not_before_ns = 0;
  return next;
}

}  // namespace

// ---- Remove -------------------------------------------------------------------------------

Status StoreImpl::JournalRemoval(const Record& record) {
  if (record.row.upload_generation == 0) return journal_->Delete(record.row.id, record.row.kind);
  return journal_->Save(Removing(record.row));
}

void StoreImpl::ApplyRemoval(Record& record, std::vector<Keeper::Doomed>& doomed) {
  ++record.epoch;
  if (record.row.kind == ItemKind::kFile) {
    doomed.push_back({record.row.id, record.row.disk_bytes, record.pins == 0});
  }
  Detach(record);
  if (record.row.upload_generation != 0) {
    Apply(record, Removing(record.row));
  } else if (record.pins > 0) {
    Unlink(record);
  } else {
    Erase(record);
  }
}

// Its path may soon be another file's: whoever still knows the item must not act on that one.
void StoreImpl::Unlink(Record& record) {
  Account(record, -1);
  record.unlinked = true;
  record.row.path.clear();
  feed_.Publish(record.row.id);
}

bool StoreImpl::HasItemsBeneath(const std::string& path) const {
  const std::string end = BeneathEnd(path);
  for (auto it = names_.lower_bound(BeneathBegin(path)); it != names_.end() && it->first < end;
       ++it) {
    if (it->second.item != nullptr) return true;
  }
  return false;
}

// ESTALE is for callers that decided by what they had seen.
Status StoreImpl::CheckSeen(const std::string& path, const std::optional<Seen>& seen) const {
  if (!seen) return {};
  const Record* record = ItemAt(path);
  const ItemId item = record == nullptr ? 0 : record->row.id;
  const Generation upload = record == nullptr ? 0 : record->row.upload_generation;
  if (item == seen->item && upload == seen->upload_generation) return {};
  return Fail(ESTALE, path + " has changed");
}

// What the remote may show at `path` after the name is gone here.
Result<GoneRow> StoreImpl::GoneRowOf(const std::string& path) const {
  GoneRow gone{.path = path, .since_ns = clock_.WallNs()};
  const auto name = names_.find(path);
  if (name != names_.end() && name->second.item != nullptr) {
    const Row& row = name->second.item->row;
    gone.kind = row.kind;
    if (row.upload_generation == 0) {
      gone.identity = row.rare().replaced;
    } else if (row.upload_generation == row.generation && row.kind == ItemKind::kFile) {
      gone.identity = Identity{.size = row.size, .digests = row.rare().digests};
    }
    return gone;
  }
  const auto memory = journal_->FindMemory(path);
  if (!memory) return Fail(memory.error());
  if (*memory) {
    gone.kind = (*memory)->kind;
    gone.identity = (*memory)->identity;
  }
  return gone;
}

Status StoreImpl::Remove(const std::string& path, bool remote_exists,
                         const std::optional<Seen>& seen) {
  if (!IsNormalPath(path) || path == "/") return Fail(EINVAL, "path " + path);
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    if (auto right = CheckSeen(path, seen); !right) return right;
    std::optional<GoneRow> gone;
    if (remote_exists) {
      auto row = GoneRowOf(path);
      if (!row) return Fail(row.error());
      gone = *std::move(row);
    }
    if (auto removed = RemoveLocked(path, gone, {}, doomed); !removed) return removed;
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

Status StoreImpl::RemoveLocked(const std::string& path, const std::optional<GoneRow>& gone,
                               const Also& also, std::vector<Keeper::Doomed>& doomed) {
  if (HasItemsBeneath(path)) return Fail(ENOTEMPTY, path);
  Record* record = ItemAt(path);
  // Giving a staged copy up is no removal: what was known of the remote file stays known.
  const bool keep_behind = record != nullptr && record->row.partial && !gone && !also;
  // What was to be renamed on the server is no more.
  const auto deferred = keep_behind ? intents_.end() : FindDeferredTo(path);
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (record != nullptr) {
      if (auto removed = JournalRemoval(*record); !removed || keep_behind) return removed;
    }
    if (auto dropped = journal_->DropTree(path); !dropped) return dropped;
    if (deferred != intents_.end()) {
      if (auto dropped = journal_->DropIntent(deferred->id); !dropped) return dropped;
    }
    if (gone) {
      if (auto put = journal_->PutGone(*gone); !put) return put;
    }
    return also ? also() : Status{};
  });
  if (!done) return done;
  if (deferred != intents_.end()) {
    const std::vector<Intent> before = intents_;
    intents_.erase(deferred);
    NoteDeferred();
    PublishReleased(before);
  }
  if (record != nullptr) ApplyRemoval(*record, doomed);
  if (!keep_behind) {
    DropGhostsBeneath(path);
    DropGhost(path);
    if (gone) Hide(*gone);
  }
  return {};
}

// ---- Rename -------------------------------------------------------------------------------

Status StoreImpl::Rename(const std::string& from, const std::string& to, bool remote_exists_at_from,
                         const std::optional<Seen>& seen) {
  if (!IsNormalPath(from) || !IsNormalPath(to) || from == "/" || to == "/") {
    return Fail(EINVAL, "rename " + from + " to " + to);
  }
  if (from == to) return {};
  if (to.starts_with(BeneathBegin(from))) return Fail(EINVAL, to + " is beneath " + from);
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    if (auto right = CheckSeen(from, seen); !right) return right;
    std::optional<GoneRow> gone;
    if (remote_exists_at_from) {
      auto row = GoneRowOf(from);
      if (!row) return Fail(row.error());
      gone = *std::move(row);
    }
    if (auto renamed = RenameLocked(from, to, gone, {}, doomed); !renamed) return renamed;
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

Status StoreImpl::RenameLocked(const std::string& from, const std::string& to,
                               const std::optional<GoneRow>& gone, const Also& also,
                               std::vector<Keeper::Doomed>& doomed) {
  if (HasItemsBeneath(to)) return Fail(ENOTEMPTY, to);
  if (FindDeferredTo(to) != intents_.end()) {
    return Fail(EBUSY, to + " is still to be renamed on the server");
  }
  Moved moved = RowsMoved(from, to);
  const std::vector<Intent> moved_intents = MovedIntents(from, to);
  Record* target = ItemAt(to);
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (target != nullptr) {
      if (auto removed = JournalRemoval(*target); !removed) return removed;
    }
    if (auto renamed = JournalRename(moved, from, to); !renamed) return renamed;
    for (const Intent& intent : moved_intents) {
      if (auto put = journal_->PutIntent(intent); !put) return put;
    }
    if (gone) {
      if (auto put = journal_->PutGone(*gone); !put) return put;
    }
    return also ? also() : Status{};
  });
  if (!done) return done;
  if (target != nullptr) ApplyRemoval(*target, doomed);
  for (const Intent& intent : moved_intents) *FindIntent(intent.id) = intent;
  ApplyRename(std::move(moved), from, to);
  if (gone) Hide(*gone);
  return {};
}

StoreImpl::Moved StoreImpl::RowsMoved(const std::string& from, const std::string& to) const {
  Moved moved;
  const auto move = [&](Record* record) {
    if (record == nullptr) return;
    Row next = record->row;
    next.path = to + next.path.substr(from.size());
    next.changed_ns = clock_.WallNs();
    if (record->row.path == from) {  // not only its directory: it may replace another file
      next.renamed |= next.upload_generation != 0 && !next.kept;
      next.kept = false;
      next.based = false;
      if (WasRefusedByName(next)) TryAgain(next);
    }
    moved.emplace_back(record, std::move(next));
  };
  move(ItemAt(from));
  const std::string end = BeneathEnd(from);
  for (auto it = names_.lower_bound(BeneathBegin(from)); it != names_.end() && it->first < end;
       ++it) {
    move(it->second.item);
  }
  const Record* top = ItemAt(from);
  if (top != nullptr && top->row.kind == ItemKind::kFile) return moved;
  // What is still to be removed on the server goes along with its directory.
  for (const auto& [id, record] : items_) {
    const Row& row = record->row;
    if (row.state == State::kRemoving && row.path.starts_with(BeneathBegin(from))) {
      move(record.get());
    }
  }
  return moved;
}

Status StoreImpl::JournalRename(const Moved& moved, const std::string& from,
                                const std::string& to) {
  if (auto dropped = journal_->DropTree(to); !dropped) return dropped;
  for (const auto& [record, next] : moved) {
    if (auto saved = journal_->Save(next); !saved) return saved;
  }
  // A name that was gone there is not what is renamed.
  if (auto dropped = journal_->DropGone(from); !dropped) return dropped;
  if (auto trees = journal_->MoveTree(from, to); !trees) return trees;
  if (ItemAt(from) != nullptr) return {};
  // A remote entry was renamed: its new name shows at once, whatever a lagging listing says.
  auto memory = journal_->FindMemory(to);
  if (!memory) return Fail(memory.error());
  if (!*memory) return {};
  (*memory)->confirmed = false;
  return journal_->PutMemory(**memory);
}

void StoreImpl::ApplyRename(Moved&& moved, const std::string& from, const std::string& to) {
  DropGhost(to);
  DropGhostsBeneath(to);
  const bool remote_entry = ItemAt(from) == nullptr;
  const auto before = names_.find(from);
  if (before != names_.end() && before->second.ghost &&
      before->second.ghost->kind == Overlay::Kind::kGone) {
    DropGhost(from);
  }
  std::vector<Names::node_type> nodes;
  if (const auto top = names_.find(from); top != names_.end()) nodes.push_back(names_.extract(top));
  const std::string end = BeneathEnd(from);
  for (auto it = names_.lower_bound(BeneathBegin(from)); it != names_.end() && it->first < end;) {
    nodes.push_back(names_.extract(it++));
  }
  for (Names::node_type& node : nodes) {
    node.key() = to + node.key().substr(from.size());
    if (Ghost* ghost = node.mapped().ghost.get()) {
      ghost->memory.path = ghost->gone.path = node.key();
    }
    names_.insert(std::move(node));
  }
  for (auto& [record, next] : moved) Apply(*record, std::move(next));
  if (!remote_entry) return;
  if (auto memory = journal_->FindMemory(to); memory && *memory) ShowUploaded(std::move(**memory));
}

}  // namespace outboxfs::cache
