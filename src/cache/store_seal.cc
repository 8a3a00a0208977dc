// Sealing and evicting: what the sealer found becomes a generation, what is verified loses its
// bytes.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <span>
#include <utility>

#include "cache/bytes.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// Seals per transaction: few enough that nobody waits for the lock for long.
constexpr size_t kCommitAtOnce = 32;
constexpr uint64_t kCheckpointBytes = 16ULL * 1024 * 1024;
// A log that writers keep ahead of the checkpoints.
constexpr uint64_t kRunawayBytes = 4 * kCheckpointBytes;
constexpr uint64_t kShortRest = 256ULL * 1024;

}  // namespace

std::optional<SealJob> StoreImpl::BeginSeal(ItemId id) {
  MutexLock lock(mu_);
  const Record* record = Find(id);
  if (record == nullptr || record->unlinked || record->row.state != State::kSealing) {
    return std::nullopt;
  }
  return SealJob{id, record->epoch, layout_.StagedFile(id)};
}

void StoreImpl::NoteDurable(const SealJob& job, const Mark& mark) {
  MutexLock lock(mu_);
  Record* record = Find(job.id);
  if (record == nullptr || record->unlinked || record->epoch != job.epoch) return;
  Row next = record->row;
  next.synced = mark;
  if (auto saved = Change(*record, std::move(next)); !saved) {
    Log::Warning("{}: {}", record->row.path, saved.error().text);
  }
}

// The row after a seal, and whether it is a new generation. Bytes equal to those of the last
// generation are no news: its seal, its digests and its upload stand again
// (docs/ARCHITECTURE.md, "Closing and sealing").
Result<std::pair<Row, bool>> StoreImpl::Sealed(const Record& record, const SealResult& result) {
  Row next = record.row;
  bool same = false;
  if (next.generation != 0 || next.clean) {
    const auto last = journal_->LoadSums(next.id);
    if (!last && last.error().code != EIO) return Fail(last.error());
    same = last && *last && **last == result.sums;
  }
  next.state = same && next.clean ? State::kClean : State::kWaiting;
  next.size = result.mark.size;
  next.disk_bytes = result.disk_bytes;
  next.seal = result.mark;
  next.synced = result.mark;  // the sums were taken of durable bytes
  next.attempts = 0;
  next.not_before_ns = 0;
  next.error_code = 0;
  next.EditRare([&](RareFields& rare) {
    rare.reason.clear();
    if (!same) rare.digests.clear();
  });
  if (same) return std::pair(std::move(next), false);
  ++next.generation;
  next.clean = next.accepted = false;
  next.sealed_ns = clock_.WallNs();
  return std::pair(std::move(next), true);
}

Status StoreImpl::CommitSeals(std::vector<SealResult> results) {
  if (auto synced = dirty_dirs_.SyncAll(); !synced) return synced;
  std::vector<Committed> committed;
  Status done;
  for (std::span<const SealResult> rest = results; done && !rest.empty();) {
    const size_t count = std::min(rest.size(), kCommitAtOnce);
    done = CommitSome(rest.first(count), committed);
    rest = rest.subspan(count);
  }
  if (committed.empty()) return done;
  if (auto durable = barrier_->Sync(); !durable) {
    Log::Error("{}", durable.error().text);  // sealed all the same; shown as not durable
  } else {
    NoteAllDurable(committed);
  }
  return done;
}

Status StoreImpl::CommitSome(std::span<const SealResult> results,
                             std::vector<Committed>& committed) {
  MutexLock lock(mu_);
  std::vector<std::pair<Record*, Row>> sealed;
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    for (const SealResult& result : results) {
      Record* record = Find(result.id);
      if (record == nullptr || record->unlinked || record->epoch != result.epoch) continue;
      if (record->row.state != State::kSealing) continue;
      auto next = Sealed(*record, result);
      if (!next) return Fail(next.error());
      if (auto saved = journal_->Save(next->first); !saved) return saved;
      if (next->second) {
        if (auto saved = journal_->SaveSums(result.id, result.sums); !saved) return saved;
      }
      sealed.emplace_back(record, std::move(next->first));
    }
    return {};
  });
  if (!done) return done;
  for (auto& [record, next] : sealed) {
    committed.push_back({next.id, record->epoch});
    Apply(*record, std::move(next));
  }
  return {};
}

void StoreImpl::NoteAllDurable(const std::vector<Committed>& committed) {
  std::vector<ItemId> evictable;
  {
    MutexLock lock(mu_);
    for (const auto& [id, epoch] : committed) {
      Record* record = Find(id);
      if (record == nullptr || record->unlinked || record->epoch != epoch) continue;
      Account(*record, -1);
      record->durable = true;
      Account(*record, +1);
      if (EvictableLocked(*record)) evictable.push_back(id);
    }
  }
  for (const ItemId id : evictable) TryEvict(id);
}

void StoreImpl::DelaySeal(const SealJob& job, const Error& why) {
  MutexLock lock(mu_);
  Record* record = Find(job.id);
  if (record == nullptr || record->unlinked || record->epoch != job.epoch) return;
  if (record->row.state != State::kSealing) return;
  Row next = record->row;
  next.error_code = why.code;
  next.EditRare([&](RareFields& rare) { rare.reason = why.text; });
  if (why.retry != outboxfs::Retry::kPark) {
    // The reason is only to be looked at; after a restart the seal finds out by itself.
    if (record->row.rare().reason != why.text) Apply(*record, std::move(next));
    return;
  }
  next.before = State::kSealing;  // Retry: the last seal is not of these bytes
  next.state = State::kParked;
  if (auto saved = Change(*record, std::move(next)); !saved) Log::Error("{}", saved.error().text);
}

void StoreImpl::SealAgainLocked(Record& record) {
  ++record.epoch;
  Account(record, -1);
  record.durable = false;
  Account(record, +1);
  EnqueueSeal(record);
}

void StoreImpl::NoticeChanged(ItemId id, Generation generation) {
  MutexLock lock(mu_);
  auto record = FindSealed(id, generation);
  if (!record) return;
  Row next = (*record)->row;
  next.state = State::kSealing;
  if (auto saved = Change(**record, std::move(next)); !saved) {
    return Log::Error("{}", saved.error().text);
  }
  SealAgainLocked(**record);
}

// ---- Eviction -----------------------------------------------------------------------------

bool StoreImpl::EvictableLocked(const Record& record) const {
  return record.row.state == State::kClean && !record.unlinked && record.pins == 0;
}

Status StoreImpl::EvictLocked(Record& record) {
  const Row& row = record.row;
  const auto name = names_.find(row.path);
  Ghost* ghost = name == names_.end() ? nullptr : name->second.ghost.get();
  const bool unconfirmed = ghost != nullptr && ghost->kind == Overlay::Kind::kUploaded;
  Memory memory{row.path, row.ino, row.kind, row.attr, {}, !unconfirmed};
  if (row.rare().replaced) memory.identity = *row.rare().replaced;
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (auto gone = journal_->Delete(row.id, row.kind); !gone || !row.attr_changed) return gone;
    return journal_->PutMemory(memory);
  });
  if (!done) return done;
  if (unconfirmed && row.attr_changed) ghost->memory = std::move(memory);
  Erase(record);
  return {};
}

void StoreImpl::TryEvict(ItemId id) {
  Mark seal;
  bool partial = false;
  {
    MutexLock lock(mu_);
    const Record* record = Find(id);
    if (record == nullptr || !EvictableLocked(*record)) return;
    seal = record->row.seal;
    partial = record->row.partial;
  }
  const auto bytes = InspectBytes(layout_.StagedFile(id));
  // What is written to a partial file goes past us: then it is not clean.
  const bool unchanged = bytes && (bytes->mark == seal || partial);
  Keeper::Doomed doomed{id, 0, true};
  {
    MutexLock lock(mu_);
    Record* record = Find(id);
    if (record == nullptr || !EvictableLocked(*record) || record->row.seal != seal) return;
    if (unchanged && bytes->foreign_writer) {
      // Mostly the kernel, which lets go of a passthrough file a moment after the release.
      evict_later_.insert(id);
      return;
    }
    if (!unchanged) {
      Row next = record->row;
      next.state = State::kSealing;
      if (auto saved = Change(*record, std::move(next)); saved) SealAgainLocked(*record);
      return;
    }
    const Row& row = record->row;
    doomed.disk_bytes = row.disk_bytes;
    if (!partial && row.rare().replaced) doomed.keepsake = KeepsakeOf(row, *row.rare().replaced);
    if (auto gone = EvictLocked(*record); !gone) {
      return Log::Warning("evict: {}", gone.error().text);  // the next start tries again
    }
  }
  keeper_.RemoveSoon({doomed});
}

std::shared_ptr<const Keepsake> StoreImpl::KeepsakeOf(const Row& row,
                                                      const Identity& version) const {
  if (keep_.count() <= 0) return nullptr;
  return std::make_shared<const Keepsake>(Keepsake{row.path, version, row.seal});
}

// Called a moment after the row went: the file may have got a writer whom nobody told us of.
bool StoreImpl::Keep(ItemId id, const Keepsake& keepsake) {
  const std::string file = layout_.StagedFile(id);
  const auto bytes = InspectBytes(file);
  if (!bytes || bytes->foreign_writer || bytes->mark != keepsake.seal) return false;
  return read_cache_->Adopt(keepsake.path, keepsake.version, file, clock_.Now() + keep_);
}

// The marks that bytes are to go have served.
void StoreImpl::BytesRemoved(const std::vector<ItemId>& ids) {
  for (size_t done = 0; done < ids.size(); done += kCommitAtOnce) {
    MutexLock lock(mu_);
    const auto saved = journal_->Transact([&]() -> Status {
      mu_.AssertHeld();
      for (size_t i = done; i < std::min(done + kCommitAtOnce, ids.size()); ++i) {
        if (auto dropped = journal_->DropDoomed(ids[i]); !dropped) return dropped;
      }
      return {};
    });
    if (!saved) return Log::Warning("{}", saved.error().text);  // the next start drops them
  }
}

// ---- Upkeep -------------------------------------------------------------------------------

void StoreImpl::Tick() {
  std::vector<std::shared_ptr<StagedFile>> growing;
  std::set<ItemId> evict;
  uint64_t log = 0;
  bool full = false;  // the disk: the log then lives on what is held back for it
  {
    MutexLock lock(mu_);
    evict.swap(evict_later_);
    for (const ItemId id : writing_) {
      if (const Record* record = Find(id); record->file) growing.push_back(record->file);
    }
    log = journal_->wal_bytes();
    full = !journal_->CheckRoom();
  }
  for (const ItemId id : evict) TryEvict(id);
  read_cache_->DropExpired(clock_.Now());
  // What is on its way to the disk early makes the fdatasync at the close short.
  for (const auto& file : growing) ::sync_file_range(file->read_fd(), 0, 0, SYNC_FILE_RANGE_WRITE);
  if ((log < kCheckpointBytes && !full) || log == checkpointed_bytes_) return;
  checkpointed_bytes_ = log;
  Checkpoint();
  if (log < kRunawayBytes && !full) return;
  // The log starts again at its beginning only when a checkpoint has caught up with it. So, seldom,
  // the writers wait for the rest, if it is short.
  if (Checkpoint() > kShortRest) return;
  MutexLock lock(mu_);
  Checkpoint();
}

uint64_t StoreImpl::Checkpoint() {
  const auto rest = checkpointer_->Checkpoint();
  if (rest) return *rest;
  Log::Warning("{}", rest.error().text);
  return UINT64_MAX;
}

}  // namespace outboxfs::cache
