// Names: remove, rename, attribute memory, and the overlay of what a lagging listing still shows.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/paths.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

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

Status StoreImpl::Remove(const std::string& path, bool remote_exists) {
  if (!IsNormalPath(path) || path == "/") return Fail(EINVAL, "path " + path);
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    if (HasItemsBeneath(path)) return Fail(ENOTEMPTY, path);
    Record* record = ItemAt(path);
    // Giving a staged copy up is no removal: what was known of the remote file stays known.
    const bool keep_behind = record != nullptr && record->row.partial && !remote_exists;
    auto done = journal_->Transact([&]() -> Status {
      mu_.AssertHeld();
      if (record != nullptr) {
        if (auto removed = JournalRemoval(*record); !removed || keep_behind) return removed;
      }
      if (auto dropped = journal_->DropTree(path); !dropped || !remote_exists) return dropped;
      return journal_->PutGone(path);
    });
    if (!done) return done;
    if (record != nullptr) ApplyRemoval(*record, doomed);
    if (!keep_behind) {
      DropGhostsBeneath(path);
      DropGhost(path);
      if (remote_exists) SetGhost(path, Overlay::Kind::kGone, {});
    }
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

// ---- Rename -------------------------------------------------------------------------------

Status StoreImpl::Rename(const std::string& from, const std::string& to,
                         bool remote_exists_at_from) {
  if (!IsNormalPath(from) || !IsNormalPath(to) || from == "/" || to == "/") {
    return Fail(EINVAL, "rename " + from + " to " + to);
  }
  if (from == to) return {};
  if (to.starts_with(BeneathBegin(from))) return Fail(EINVAL, to + " is beneath " + from);
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    if (HasItemsBeneath(to)) return Fail(ENOTEMPTY, to);
    std::vector<std::pair<Record*, Row>> moved;
    const auto move = [&](Record* record) {
      if (record == nullptr) return;
      Row next = record->row;
      next.path = to + next.path.substr(from.size());
      next.changed_ns = clock_.WallNs();
      moved.emplace_back(record, std::move(next));
    };
    move(ItemAt(from));
    const std::string end = BeneathEnd(from);
    for (auto it = names_.lower_bound(BeneathBegin(from)); it != names_.end() && it->first < end;
         ++it) {
      move(it->second.item);
    }
    Record* target = ItemAt(to);
    auto done = journal_->Transact([&]() -> Status {
      mu_.AssertHeld();
      if (target != nullptr) {
        if (auto removed = JournalRemoval(*target); !removed) return removed;
      }
      return JournalRename(moved, from, to, remote_exists_at_from);
    });
    if (!done) return done;
    if (target != nullptr) ApplyRemoval(*target, doomed);
    ApplyRename(std::move(moved), from, to, remote_exists_at_from);
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

Status StoreImpl::JournalRename(const std::vector<std::pair<Record*, Row>>& moved,
                                const std::string& from, const std::string& to, bool gone) {
  if (auto dropped = journal_->DropTree(to); !dropped) return dropped;
  for (const auto& [record, next] : moved) {
    if (auto saved = journal_->Save(next); !saved) return saved;
  }
  if (auto trees = journal_->MoveTree(from, to); !trees) return trees;
  if (ItemAt(from) == nullptr) {
    // A remote entry was renamed: its new name shows at once, whatever a lagging listing says.
    auto memory = journal_->FindMemory(to);
    if (!memory) return Fail(memory.error());
    if (*memory) {
      (*memory)->confirmed = false;
      if (auto put = journal_->PutMemory(**memory); !put) return put;
    }
  }
  return gone ? journal_->PutGone(from) : Status{};
}

void StoreImpl::ApplyRename(std::vector<std::pair<Record*, Row>> moved, const std::string& from,
                            const std::string& to, bool gone) {
  DropGhost(to);
  DropGhostsBeneath(to);
  const bool remote_entry = ItemAt(from) == nullptr;
  std::vector<Names::node_type> nodes;
  if (const auto top = names_.find(from); top != names_.end()) nodes.push_back(names_.extract(top));
  const std::string end = BeneathEnd(from);
  for (auto it = names_.lower_bound(BeneathBegin(from)); it != names_.end() && it->first < end;) {
    nodes.push_back(names_.extract(it++));
  }
  for (Names::node_type& node : nodes) {
    node.key() = to + node.key().substr(from.size());
    if (node.mapped().ghost) node.mapped().ghost->memory.path = node.key();
    names_.insert(std::move(node));
  }
  for (auto& [record, next] : moved) Apply(*record, std::move(next));
  if (remote_entry) {
    if (auto memory = journal_->FindMemory(to); memory && *memory) {
      SetGhost(to, Overlay::Kind::kUploaded, **memory);
    }
  }
  if (gone) SetGhost(from, Overlay::Kind::kGone, {});
}

// ---- Attribute memory ---------------------------------------------------------------------

std::optional<Memory> StoreImpl::Recall(const std::string& path) const {
  MutexLock lock(mu_);
  auto memory = journal_->FindMemory(path);
  if (memory) return std::move(*memory);
  Log::Warning("attributes of {}: {}", path, memory.error().text);
  return std::nullopt;
}

std::vector<Memory> StoreImpl::RecallDir(const std::string& dir) const {
  MutexLock lock(mu_);
  auto memories = journal_->MemoriesIn(dir);
  if (memories) return std::move(*memories);
  Log::Warning("attributes in {}: {}", dir, memories.error().text);
  return {};
}

Status StoreImpl::Remember(const Memory& memory) {
  if (!IsNormalPath(memory.path)) return Fail(EINVAL, "path " + memory.path);
  MutexLock lock(mu_);
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (auto put = journal_->PutMemory(memory); !put || memory.confirmed) return put;
    return journal_->DropGone(memory.path);
  });
  if (!done) return done;
  const auto found = names_.find(memory.path);
  const bool uploaded = found != names_.end() && found->second.ghost &&
                        found->second.ghost->kind == Overlay::Kind::kUploaded;
  if (!memory.confirmed) {
    SetGhost(memory.path, Overlay::Kind::kUploaded, memory);
  } else if (uploaded) {
    DropGhost(memory.path);
  }
  return {};
}

Status StoreImpl::ForgetMemory(const std::string& path) {
  MutexLock lock(mu_);
  if (auto dropped = journal_->DropMemory(path); !dropped) return dropped;
  const auto found = names_.find(path);
  if (found != names_.end() && found->second.ghost &&
      found->second.ghost->kind == Overlay::Kind::kUploaded) {
    DropGhost(path);
  }
  return {};
}

void StoreImpl::Reconcile(const std::string& dir, SteadyTime begun,
                          const std::vector<std::string>& names) {
  std::vector<std::string_view> listed(names.begin(), names.end());
  std::sort(listed.begin(), listed.end());
  MutexLock lock(mu_);
  std::vector<std::string> settled;
  for (const auto* name : NamesIn(dir)) {
    const Ghost* ghost = name->second.ghost.get();
    if (ghost == nullptr || ghost->since >= begun) continue;
    const bool shown = std::binary_search(listed.begin(), listed.end(), NameOf(name->first));
    const bool expected = ghost->kind == Overlay::Kind::kUploaded;
    if (shown == expected) settled.push_back(name->first);
  }
  if (settled.empty()) return;
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    for (const std::string& path : settled) {
      const Ghost& ghost = *names_.at(path).ghost;
      Memory memory = ghost.memory;
      memory.confirmed = true;
      const bool uploaded = ghost.kind == Overlay::Kind::kUploaded;
      auto saved = uploaded ? journal_->PutMemory(memory) : journal_->DropGone(path);
      if (!saved) return saved;
    }
    return {};
  });
  if (!done) return Log::Warning("listing of {}: {}", dir, done.error().text);
  for (const std::string& path : settled) DropGhost(path);
}

}  // namespace outboxfs::cache
