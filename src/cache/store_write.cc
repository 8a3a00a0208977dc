// Making items and changing their bytes and attributes: what fs asks for.
#include <cerrno>
#include <utility>

#include "cache/bytes.h"
#include "cache/paths.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

constexpr uint64_t kIdBlock = 4096;  // numbers reserved by one write of the journal

bool WasSealed(State state) {
  return state != State::kOpen && state != State::kInterrupted && state != State::kSealing;
}

}  // namespace

// ---- Numbers ------------------------------------------------------------------------------

Result<ItemId> StoreImpl::ReserveIds(unsigned count) {
  MutexLock lock(mu_);
  return ReserveIdsLocked(count);
}

Result<ItemId> StoreImpl::ReserveIdsLocked(unsigned count) {
  if (next_id_ + count > id_high_) {
    const ItemId high = next_id_ + count + kIdBlock;
    if (auto saved = journal_->SetMeta("id_high", std::to_string(high)); !saved) {
      return Fail(saved.error());
    }
    id_high_ = high;
  }
  return std::exchange(next_id_, next_id_ + count);
}

Ino StoreImpl::NewIno() {
  MutexLock lock(mu_);
  if (next_ino_ >= ino_high_) {
    // A failed write is made good at the next number; rows carry their own numbers besides.
    if (auto saved = journal_->SetMeta("ino_high", std::to_string(next_ino_ + kIdBlock)); saved) {
      ino_high_ = next_ino_ + kIdBlock;
    } else {
      Log::Warning("inode numbers: {}", saved.error().text);
    }
  }
  return next_ino_++;
}

// ---- New items ----------------------------------------------------------------------------

// `keep_behind`: what is known of the remote entry of that name stays behind the item.
Result<Item> StoreImpl::AddNew(Row row, bool keep_behind) {
  if (!IsNormalPath(row.path) || row.path == "/") return Fail(EINVAL, "path " + row.path);
  row.changed_ns = clock_.WallNs();
  MutexLock lock(mu_);
  if (ItemAt(row.path) != nullptr) return Fail(EEXIST, row.path);
  if (auto room = journal_->CheckRoom(); !room) return Fail(room.error());
  if (row.id == 0) {
    const auto id = ReserveIdsLocked(1);
    if (!id) return Fail(id.error());
    row.id = *id;
  }
  const auto added = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (auto saved = journal_->Save(row); !saved || keep_behind) return saved;
    if (auto dropped = journal_->DropGone(row.path); !dropped) return dropped;
    return journal_->DropMemory(row.path);
  });
  if (!added) return Fail(added.error());
  if (!keep_behind) DropGhost(row.path);
  Record& record = Insert(std::move(row));
  feed_.Publish(record.row.id);
  return ToItem(record.row);
}

Result<Item> StoreImpl::CreateFile(const std::string& path, Ino ino, const Attr& attr) {
  const auto id = keeper_.TakeBackingFile();
  if (!id) return Fail(id.error());
  // It may have been made a while ago.
  if (auto set = SetBytesTimes(layout_.StagedFile(*id), attr); !set) return Fail(set.error());
  Row row;
  row.id = *id;
  row.ino = ino;
  row.path = path;
  row.attr = attr;
  auto item = AddNew(std::move(row), false);
  if (!item) keeper_.GiveBack(*id);
  return item;
}

Result<Item> StoreImpl::MakeDir(const std::string& path, Ino ino, const Attr& attr) {
  Row row;
  row.ino = ino;
  row.path = path;
  row.attr = attr;
  row.kind = ItemKind::kDir;
  row.state = State::kWaiting;
  row.generation = 1;
  row.sealed_ns = clock_.WallNs();
  return AddNew(std::move(row), false);
}

// ---- Writing ------------------------------------------------------------------------------

Result<struct stat> StoreImpl::StatBacking(ItemId id) const {
  std::shared_ptr<StagedFile> file;
  {
    MutexLock lock(mu_);
    const Record* record = Find(id);
    if (record == nullptr) return Fail(ENOENT, "no such staged file");
    if (record->row.kind == ItemKind::kDir) return Fail(EISDIR, record->row.path);
    file = record->file;
  }
  if (file) return file->Stat();
  struct stat st {};
  if (::stat(layout_.StagedFile(id).c_str(), &st) < 0) return FailErrno(errno, "staged file");
  return st;
}

Status StoreImpl::BeginWrite(ItemId id) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr) return Fail(ENOENT, "no such staged file");
  if (record->unlinked || record->row.state == State::kOpen) return {};
  if (record->row.kind == ItemKind::kDir) return Fail(EISDIR, record->row.path);
  if (record->row.state == State::kRemoving) return Fail(ENOENT, "the staged file was removed");
  Row next = record->row;
  next.before = next.state;
  next.state = State::kOpen;
  if (auto changed = Change(*record, std::move(next)); !changed) return changed;
  ++record->epoch;
  return {};
}

Status StoreImpl::MarkClosed(ItemId id) {
  const auto st = StatBacking(id);
  if (!st) return Fail(st.error());
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr) return Fail(ENOENT, "no such staged file");
  if (record->unlinked || record->row.state != State::kOpen) return {};
  const Mark mark = Mark::Of(*st);
  if (record->row.closed == mark) return {};
  Row next = record->row;
  next.closed = mark;
  next.TakeTimes(mark);
  next.size = mark.size;
  next.disk_bytes = static_cast<uint64_t>(st->st_blocks) * 512;
  return Change(*record, std::move(next));
}

Status StoreImpl::EndWrite(ItemId id, bool changed) {
  const auto st = StatBacking(id);
  // Of a partial file the fetched bytes need not be on the disk yet, also when none is missing.
  const bool whole = PresenceOf(id) == nullptr;
  bool evict = false;
  {
    MutexLock lock(mu_);
    Record* record = Find(id);
    if (record == nullptr) return Fail(ENOENT, "no such staged file");
    if (record->unlinked || record->row.state != State::kOpen) return {};
    if (!st) return Fail(st.error());
    const Row& row = record->row;
    // A new file has nothing to go back to. Nor has one whose bytes moved without a word to fs.
    const bool moved = WasSealed(row.before) && row.seal.taken() && row.seal != Mark::Of(*st);
    if (changed || moved || row.before == State::kOpen) {
      return CloseLocked(*record, *st, whole);
    }
    RestoreLocked(*record);
    evict = EvictableLocked(*record);
  }
  if (evict) TryEvict(id);
  return {};
}

void StoreImpl::RestoreLocked(Record& record) {
  Row next = record.row;
  switch (next.before) {
    case State::kUploading:
    case State::kVerifying:
    case State::kPlacing:
      // The open voided that upload. Its facts stay: the uploader takes it up again or cancels it.
      next.state = State::kWaiting;
      break;
    case State::kOpen:
    case State::kInterrupted:
    case State::kSealing:
    case State::kWaiting:
    case State::kParked:
    case State::kClean:
    case State::kRemoving:
    case State::kHydrating:
      next.state = next.before;
      break;
  }
  // A start finds the bytes unchanged and does the same, so a failing journal keeps nothing open.
  if (auto saved = journal_->Save(next); !saved) Log::Error("{}", saved.error().text);
  Apply(record, std::move(next));
  if (record.row.state == State::kSealing) EnqueueSeal(record);
}

// From here on the item is the sealer's. The row need not be saved when the closed mark is: a start
// takes both for closed. So a failing journal does not keep a file from being sealed either; the
// sealer waits until it can be written again.
Status StoreImpl::CloseLocked(Record& record, const struct stat& st, bool whole) {
  Row next = record.row;
  const Mark mark = Mark::Of(st);
  const bool marked = next.closed == mark && !next.partial;
  next.state = whole ? State::kSealing : State::kHydrating;
  next.closed = mark;
  next.TakeTimes(mark);
  next.size = mark.size;
  next.disk_bytes = static_cast<uint64_t>(st.st_blocks) * 512;
  next.error_code = 0;
  next.EditRare([](RareFields& rare) { rare.reason.clear(); });
  if (!marked) {
    if (auto saved = journal_->Save(next); !saved) Log::Error("{}", saved.error().text);
  }
  Account(record, -1);
  record.durable = false;
  Account(record, +1);
  Apply(record, std::move(next));
  ++record.epoch;
  if (whole) EnqueueSeal(record);
  return {};
}

void StoreImpl::EnqueueSeal(const Record& record) {
  sealer_.Enqueue(record.row.id, record.row.size);
}

Status StoreImpl::SetAttr(ItemId id, const Attr& attr) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr) return Fail(ENOENT, "no such staged item");
  if (record->row.attr == attr) return {};
  Row next = record->row;
  next.attr = attr;
  next.attr_changed = true;
  next.changed_ns = clock_.WallNs();
  if (!record->unlinked) return Change(*record, std::move(next));
  record->row = std::move(next);
  return {};
}

// ---- Durability ---------------------------------------------------------------------------

Status StoreImpl::Sync(ItemId id) {
  const auto pin = PinFile(id, false);
  if (!pin && pin.error().code == EISDIR) return SyncJournal();
  if (!pin) return Fail(pin.error());
  const auto before = (*pin)->Stat();
  if (!before) return Fail(before.error());
  if (auto synced = (*pin)->Sync(); !synced) return synced;
  {
    MutexLock lock(mu_);
    Record* record = Find(id);
    if (record->unlinked) return {};
    const State state = record->row.state;
    const bool unsealed =
        state == State::kOpen || state == State::kSealing || state == State::kHydrating;
    const Mark synced = Mark::Of(*before);
    // Syncing takes long: what was changed and closed in the meantime knows better.
    const auto after = (*pin)->Stat();
    const bool latest = after && Mark::Of(*after) == synced;
    if (unsealed && (latest || state == State::kOpen) && record->row.synced != synced) {
      Row next = record->row;
      next.synced = synced;
      if (latest) next.size = synced.size;
      // Times that were set after the last close are in the row only.
      const bool news = latest && synced.mtime_ns != next.closed.mtime_ns;
      if (state == State::kOpen && news) next.TakeTimes(synced);
      if (auto saved = Change(*record, std::move(next)); !saved) return saved;
    }
  }
  return SyncJournal();
}

Status StoreImpl::SyncJournal() {
  if (auto synced = dirty_dirs_.SyncAll(); !synced) return synced;
  return barrier_->Sync();
}

}  // namespace outboxfs::cache
