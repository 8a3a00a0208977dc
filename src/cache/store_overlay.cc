// Attribute memory, and the overlay of what a lagging listing still shows or does not show yet.
#include <algorithm>
#include <utility>

#include "cache/paths.h"
#include "cache/renames.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// A listing that was begun so long after a change is not lagging behind it; two of them are
// believed.
constexpr std::chrono::seconds kLag{60};
constexpr int kContradictions = 2;
// The server's clock and ours.
constexpr int64_t kClockSkewNs = 2'000'000'000;

// Is what is listed something else than what was deleted?
bool IsAnother(const GoneRow& gone, const Listed& listed) {
  if (!listed.identity) return false;
  if (gone.kind != listed.kind) return true;
  const Identity& now = *listed.identity;
  if (!gone.identity) return gone.since_ns != 0 && now.mtime_ns > gone.since_ns + kClockSkewNs;
  if (!SameVersion(*gone.identity, now)) return true;
  // The same bytes once more are another file.
  Identity facts = now;
  facts.digests.clear();
  return !SameVersion(*gone.identity, facts);
}

}  // namespace

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
    if (auto dropped = DropXattrsOfAnother(memory); !dropped) return dropped;
    if (auto put = journal_->PutMemory(memory); !put || memory.confirmed) return put;
    return journal_->DropGone(memory.path);
  });
  if (!done) return done;
  const auto found = names_.find(memory.path);
  const bool uploaded = found != names_.end() && found->second.ghost &&
                        found->second.ghost->kind == Overlay::Kind::kUploaded;
  if (!memory.confirmed) {
    ShowUploaded(memory);
  } else if (uploaded) {
    DropGhost(memory.path);
  }
  return {};
}

// What was remembered of a file that somebody else has replaced since must not come back with the
// attributes of the new one, which keeps the inode number.
Status StoreImpl::DropXattrsOfAnother(const Memory& memory) {
  if (memory.kind == ItemKind::kDir) return {};
  const auto before = journal_->FindMemory(memory.path);
  if (!before) return Fail(before.error());
  if (!*before || SameVersion((*before)->identity, memory.identity)) return {};
  return journal_->DropXattrs(memory.ino);
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

// ---- Listings -----------------------------------------------------------------------------

void Store::Reconcile(const std::string& dir, SteadyTime begun,
                      const std::vector<std::string>& names) {
  std::vector<std::string_view> sorted(names.begin(), names.end());
  std::sort(sorted.begin(), sorted.end());
  ReconcileEntries(dir, begun, [&](const std::string& name) -> std::optional<Listed> {
    if (!std::binary_search(sorted.begin(), sorted.end(), name)) return std::nullopt;
    return Listed{};
  });
}

// Where uploads under way may put something yet, which is not somebody else's. An item knows the
// server's path only, which ends with the mount's.
std::vector<std::string_view> StoreImpl::UploadPaths() const {
  std::vector<std::string_view> paths;
  for (const auto& [id, record] : items_) {
    if (record->row.upload_generation != 0) paths.push_back(record->row.rare().upload_path);
  }
  return paths;
}

// What an upload put at a name that is gone here has been taken away by now, but listings that lag
// still show it, as younger than the removal of the name.
void StoreImpl::UploadLeft(const Row& row) {
  const std::string& path = row.rare().upload_path;
  for (size_t at = path.find('/'); at != std::string::npos; at = path.find('/', at + 1)) {
    const auto name = names_.find(cache::MountPathOf(intents_, path.substr(at)));
    Ghost* ghost = name == names_.end() ? nullptr : name->second.ghost.get();
    if (ghost == nullptr || ghost->kind != Overlay::Kind::kGone) continue;
    ghost->since = clock_.Now();
    ghost->gone.since_ns = clock_.WallNs();
    ghost->contradictions = 0;
  }
}

bool StoreImpl::IsNoLagAnyMore(Ghost& ghost, SteadyTime begun) const {
  // What an earlier run did may have been done just before this one.
  if (begun <= std::max(ghost.since, started_) + kLag) return false;
  if (ghost.contradictions > 0 && begun <= ghost.contradicted) return false;
  ghost.contradicted = begun;
  return ++ghost.contradictions >= kContradictions;
}

StoreImpl::Verdict StoreImpl::JudgeGhost(Ghost& ghost, SteadyTime begun,
                                         const std::optional<Listed>& listed) {
  if (ghost.kind == Overlay::Kind::kUploaded) {
    if (listed) return Verdict::kConfirm;
    const bool told = ghost.doubted && begun >= *ghost.doubted;
    return told || IsNoLagAnyMore(ghost, begun) ? Verdict::kForget : Verdict::kKeep;
  }
  if (!listed) return Verdict::kForget;
  const bool stands = IsAnother(ghost.gone, *listed) || IsNoLagAnyMore(ghost, begun);
  return stands ? Verdict::kForget : Verdict::kKeep;
}

// What the server lists at the path is not what is shown there: it is on its way, or to be moved.
bool StoreImpl::IsListedOtherwise(const std::string& path) const {
  if (intents_.empty()) return false;
  const bool named = std::any_of(intents_.begin(), intents_.end(), [&](const Intent& intent) {
    return intent.to == path || (!intent.deferred && intent.from == path);
  });
  return named || cache::RemotePathOf(intents_, path).empty();
}

void StoreImpl::ReconcileEntries(const std::string& dir, SteadyTime begun,
                                 const ListedNames& listed) {
  MutexLock lock(mu_);
  std::vector<std::pair<std::string, Verdict>> settled;
  std::optional<std::vector<std::string_view>> uploads;
  const auto may_still_appear = [&](const std::string& path) {
    mu_.AssertHeld();
    if (!uploads) uploads = UploadPaths();
    const std::string remote = cache::RemotePathOf(intents_, path);
    return std::any_of(uploads->begin(), uploads->end(),
                       [&](std::string_view upload) { return upload.ends_with(remote); });
  };
  for (const auto* name : NamesIn(dir)) {
    Ghost* ghost = name->second.ghost.get();
    if (ghost == nullptr || ghost->since >= begun || IsListedOtherwise(name->first)) continue;
    if (ghost->kind == Overlay::Kind::kGone && may_still_appear(name->first)) continue;
    const auto shown = listed(std::string(NameOf(name->first)));
    const Verdict verdict = JudgeGhost(*ghost, begun, shown);
    if (verdict != Verdict::kKeep) settled.emplace_back(name->first, verdict);
  }
  if (settled.empty()) return;
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    for (const auto& [path, verdict] : settled) {
      const Ghost& ghost = *names_.at(path).ghost;
      Memory memory = ghost.memory;
      memory.confirmed = true;
      Status saved;
      if (verdict == Verdict::kConfirm) {
        saved = journal_->PutMemory(memory);
      } else if (ghost.kind == Overlay::Kind::kUploaded) {
        saved = journal_->DropMemory(path);
      } else {
        saved = journal_->DropGone(path);
      }
      if (!saved) return saved;
    }
    return {};
  });
  if (!done) return Log::Warning("listing of {}: {}", dir, done.error().text);
  for (const auto& [path, verdict] : settled) DropGhost(path);
}

void StoreImpl::DoubtUploaded(const std::string& path) {
  MutexLock lock(mu_);
  const auto found = names_.find(path);
  if (found == names_.end() || !found->second.ghost) return;
  if (found->second.ghost->kind != Overlay::Kind::kUploaded) return;
  found->second.ghost->doubted = clock_.Now();
}

}  // namespace outboxfs::cache
