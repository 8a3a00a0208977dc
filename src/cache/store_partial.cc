// Partly hydrated files: staged copies of remote files, some bytes of which are still only on the
// server (docs/ARCHITECTURE.md, "Closing and sealing").
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "cache/bytes.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

constexpr uint64_t kEnd = std::numeric_limits<uint64_t>::max();

Status ShapeCopy(const std::string& backing, uint64_t size, const Attr& attr) {
  if (::truncate(backing.c_str(), static_cast<off_t>(size)) < 0) {
    return FailErrno(errno, "staged file");
  }
  return SetBytesTimes(backing, attr);
}

Status NotHydrating() { return Fail(ESTALE, "the file is not waiting for missing bytes"); }

}  // namespace

Result<Item> StoreImpl::StageRemote(const std::string& path, Ino ino, const Attr& attr,
                                    const Identity& identity) {
  const auto id = keeper_.TakeBackingFile();
  if (!id) return Fail(id.error());
  Row row;
  row.id = *id;
  row.ino = ino;
  row.path = path;
  row.attr = attr;
  row.state = State::kClean;
  row.clean = row.partial = row.based = true;
  row.size = identity.size;
  row.EditRare([&](RareFields& rare) { rare.replaced = identity; });
  auto item = AddNew(std::move(row), true);
  if (!item) {
    keeper_.GiveBack(*id);
    return item;
  }
  // Only now: a backing file that has a size and no row would be somebody's lost bytes.
  if (auto shaped = ShapeCopy(layout_.StagedFile(*id), identity.size, attr); !shaped) {
    if (auto undone = Remove(path, false, std::nullopt); !undone) {
      Log::Warning("{}", undone.error().text);
    }
    return Fail(shaped.error());
  }
  return item;
}

std::shared_ptr<Presence> StoreImpl::PresenceOf(ItemId id) const {
  MutexLock lock(mu_);
  const Record* record = Find(id);
  return record == nullptr ? nullptr : record->presence;
}

std::vector<ByteRange> StoreImpl::Missing(ItemId id, const ByteRange& range) const {
  const auto presence = PresenceOf(id);
  return presence ? presence->Missing(range) : std::vector<ByteRange>();
}

Status StoreImpl::FillMissing(const Pin& pin, uint64_t offset, std::span<const std::byte> data) {
  const auto presence = PresenceOf(pin->id());
  if (!presence) return {};
  return presence->Fill({offset, offset + data.size()}, [&](const ByteRange& gap) {
    return pin->WriteFetched(data.subspan(gap.begin - offset, gap.size()), gap.begin);
  });
}

// Before the caller is told that its change is done.
Status StoreImpl::RecordChange(ItemId id, const ByteRange& range, ExtentKind kind) {
  MutexLock lock(mu_);
  const Record* record = Find(id);
  if (record == nullptr || record->unlinked) return {};
  return journal_->AddExtent(id, {range, kind});
}

Status StoreImpl::ChangePart(ItemId id, const ByteRange& range, ExtentKind kind,
                             const Presence::Write& write) {
  const auto presence = PresenceOf(id);
  if (!presence) return write(range);
  return presence->Change(range, kind, write, [&](const ByteRange& changed) {
    return RecordChange(id, changed, kind);
  });
}

Status StoreImpl::WritePart(const Pin& pin, uint64_t offset, std::span<const std::byte> data) {
  return ChangePart(pin->id(), {offset, offset + data.size()}, ExtentKind::kDirty,
                    [&](const ByteRange&) { return pin->Write(data, offset); });
}

Status StoreImpl::ResizePart(const Pin& pin, uint64_t size) {
  const auto st = pin->Stat();
  if (!st) return Fail(st.error());
  const auto old_size = static_cast<uint64_t>(st->st_size);
  const ByteRange zeros = size < old_size ? ByteRange{size, kEnd} : ByteRange{old_size, size};
  return ChangePart(pin->id(), zeros, ExtentKind::kZero,
                    [&](const ByteRange&) { return pin->Truncate(size); });
}

Status StoreImpl::AllocatePart(const Pin& pin, int mode, const ByteRange& range) {
  const auto allocate = [&](const ByteRange&) {
    return pin->Allocate(mode, range.begin, range.size());
  };
  if (mode == FALLOC_FL_KEEP_SIZE) return allocate(range);
  if (mode == 0) {
    const auto st = pin->Stat();
    if (!st) return Fail(st.error());
    const auto size = static_cast<uint64_t>(st->st_size);
    const ByteRange grown{std::min(size, range.end), range.end};
    return ChangePart(pin->id(), grown, ExtentKind::kZero, allocate);
  }
  if ((mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE)) == 0) {
    return FailErrno(EOPNOTSUPP, "fallocate");  // would shift bytes that are not here
  }
  return ChangePart(pin->id(), range, ExtentKind::kZero, allocate);
}

// ---- After the last close -------------------------------------------------------------------

bool StoreImpl::IsWhole(ItemId id, uint64_t size) const { return Missing(id, {0, size}).empty(); }

Status StoreImpl::HydrationDone(ItemId id) {
  const auto pin = PinFile(id, false);
  if (!pin) return Fail(pin.error());
  // The extents may be forgotten only when all that was fetched is on the disk: after a power cut
  // nothing would tell holes from zeros.
  const auto st = (*pin)->Stat();
  if (!st) return Fail(st.error());
  if (!IsWhole(id, static_cast<uint64_t>(st->st_size))) return Fail(EAGAIN, "bytes are missing");
  if (auto synced = (*pin)->Sync(); !synced) return synced;
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked || record->row.state != State::kHydrating) {
    return NotHydrating();
  }
  Row next = record->row;
  next.state = State::kSealing;
  next.partial = false;
  next.error_code = 0;
  next.EditRare([](RareFields& rare) { rare.reason.clear(); });
  next.closed = next.synced = Mark::Of(*st);
  auto saved = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    if (auto dropped = journal_->DropExtents(id); !dropped) return dropped;
    return journal_->Save(next);
  });
  if (!saved) return saved;
  record->presence.reset();
  Apply(*record, std::move(next));
  ++record->epoch;
  EnqueueSeal(*record);
  return {};
}

Status StoreImpl::HydrationFailed(ItemId id, const Error& error, bool park) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked || record->row.state != State::kHydrating) {
    return NotHydrating();
  }
  Row next = record->row;
  next.error_code = error.code;
  next.EditRare([&](RareFields& rare) { rare.reason = error.text; });
  if (park) next.state = State::kParked;
  return Change(*record, std::move(next));
}

}  // namespace outboxfs::cache
