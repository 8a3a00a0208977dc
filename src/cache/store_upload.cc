// The way of one sealed generation to the remote, as the uploader reports it.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/bytes.h"
#include "cache/renames.h"
#include "cache/sealed_reader.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// How much of the ledger may be lost with the daemon.
constexpr uint64_t kLedgerBytes = 64ULL * 1024 * 1024;
constexpr auto kLedgerTime = std::chrono::seconds(1);

bool HoldsSeal(State state) {
  return state == State::kWaiting || state == State::kUploading || state == State::kVerifying ||
         state == State::kPlacing || state == State::kParked;
}

void ClearUpload(Row& row) {
  row.upload_generation = 0;
  row.renamed = row.kept = row.stands = false;
  row.EditRare([](RareFields& rare) {
    rare.upload_path.clear();
    rare.upload_id.clear();
    rare.sent.reset();
  });
}

void ClearFailure(Row& row) {
  row.attempts = 0;
  row.not_before_ns = 0;
  row.error_code = 0;
  row.EditRare([](RareFields& rare) { rare.reason.clear(); });
}

}  // namespace

Result<Record*> StoreImpl::FindSealed(ItemId id, Generation generation) const {
  Record* record = Find(id);
  if (record == nullptr || record->unlinked) return Fail(ESTALE, "the item is gone");
  if (record->row.generation != generation || !HoldsSeal(record->row.state)) {
    return Fail(ESTALE, record->row.path + ": this generation is over");
  }
  return record;
}

Status StoreImpl::EditSealed(ItemId id, Generation generation, const Edit& edit) {
  MutexLock lock(mu_);
  auto record = FindSealed(id, generation);
  if (!record) return Fail(record.error());
  Row next = (*record)->row;
  edit(next);
  return Change(**record, std::move(next));
}

bool StoreImpl::IsCurrent(ItemId id, Generation generation) const {
  MutexLock lock(mu_);
  return FindSealed(id, generation).has_value();
}

Result<std::unique_ptr<SealedReader>> StoreImpl::OpenSealed(ItemId id, Generation generation) {
  auto pin = PinFile(id, false);
  if (!pin) {
    const bool stale = pin.error().code == ENOENT && !IsCurrent(id, generation);
    return Fail(stale ? ESTALE : EIO, pin.error().text);
  }
  Mark seal;
  std::optional<BlockSums> sums;
  {
    MutexLock lock(mu_);
    auto record = FindSealed(id, generation);
    if (!record) return Fail(record.error());
    seal = (*record)->row.seal;
    auto loaded = journal_->LoadSums(id);
    if (!loaded) return Fail(loaded.error());
    sums = std::move(*loaded);
  }
  if (!sums || sums->size() != seal.size) {
    return Fail(EIO, "the checksums of this seal are missing");
  }
  return MakeSealedReader(*this, std::move(*pin), generation, seal, std::move(*sums));
}

Status StoreImpl::MarkStarting(ItemId id, Generation generation, const std::string& upload_path,
                               const std::optional<Identity>& replaced,
                               const std::optional<std::string>& at) {
  MutexLock lock(mu_);
  auto record = FindSealed(id, generation);
  if (!record) return Fail(record.error());
  if (at && (*record)->row.path != *at) return Fail(EAGAIN, *at + " was renamed meanwhile");
  Row next = (*record)->row;
  // What was begun there is what the rename waits for.
  const bool goes_on = next.upload_generation != 0 && next.rare().upload_path == upload_path;
  if (!goes_on && (IsBusyLocked(upload_path) || cache::AwaitsRename(intents_, next.path))) {
    return Fail(EAGAIN, "a rename of its directory comes first");
  }
  next.state = State::kUploading;
  next.upload_generation = generation;
  next.renamed = next.based = next.accepted = next.kept = next.stands = false;
  next.EditRare([&](RareFields& rare) {
    rare.upload_path = upload_path;
    rare.upload_id.clear();
    rare.replaced = replaced;
    rare.sent = Identity{next.size, 0, "", rare.digests};
  });
  // What an earlier upload was served proves nothing about this one.
  if (auto dropped = journal_->DropLedger(id); !dropped) return dropped;
  (*record)->ledger.reset();
  return Change(**record, std::move(next));
}

// The id is kept also when the generation is over by now: it is what the upload is cancelled by.
Status StoreImpl::MarkStarted(ItemId id, Generation generation, const std::string& upload_id) {
  MutexLock lock(mu_);
  auto sealed = FindSealed(id, generation);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked || record->row.upload_generation != generation) {
    return sealed ? Fail(ESTALE, "no such upload was begun") : Fail(sealed.error());
  }
  Row next = record->row;
  next.EditRare([&](RareFields& rare) { rare.upload_id = upload_id; });
  if (auto changed = Change(*record, std::move(next)); !changed) return changed;
  return sealed ? Status() : Fail(sealed.error());
}

Ledger& StoreImpl::LedgerOf(Record& record) const {
  const Generation generation = record.row.generation;
  if (!record.ledger || record.ledger->generation != generation) {
    record.ledger = std::make_unique<Ledger>();
    record.ledger->generation = generation;
    record.ledger->saved_at = clock_.Now();
    auto saved = journal_->LoadLedger(record.row.id, generation);
    if (!saved) Log::Warning("{}: {}", record.row.path, saved.error().text);
    if (saved && *saved) record.ledger->served = std::move(**saved);
  }
  return *record.ledger;
}

void StoreImpl::MarkServed(ItemId id, Generation generation, const ByteRange& range) {
  MutexLock lock(mu_);
  auto record = FindSealed(id, generation);
  if (!record) return;
  Ledger& ledger = LedgerOf(**record);
  ledger.served.Set(range, ExtentKind::kClean);
  ledger.unsaved_bytes += range.size();
  const SteadyTime now = clock_.Now();
  if (ledger.unsaved_bytes < kLedgerBytes && now - ledger.saved_at < kLedgerTime) return;
  ledger.unsaved_bytes = 0;
  ledger.saved_at = now;
  if (auto saved = journal_->SaveLedger(id, generation, ledger.served); !saved) {
    Log::Warning("{}: {}", (*record)->row.path, saved.error().text);
  }
}

bool StoreImpl::ServedWhole(ItemId id, Generation generation) const {
  MutexLock lock(mu_);
  auto record = FindSealed(id, generation);
  return record && LedgerOf(**record).served.Covers({0, (*record)->row.size});
}

Status StoreImpl::SetDigests(ItemId id, Generation generation, const Digests& digests) {
  return EditSealed(id, generation, [&](Row& row) {
    row.EditRare([&](RareFields& rare) {
      for (const auto& [type, hex] : digests) {
        rare.digests[type] = hex;
        if (rare.sent && row.upload_generation == generation) rare.sent->digests[type] = hex;
      }
    });
  });
}

Status StoreImpl::MarkVerifying(ItemId id, Generation generation) {
  return EditSealed(id, generation, [](Row& row) { row.state = State::kVerifying; });
}

Status StoreImpl::MarkPlacing(ItemId id, Generation generation) {
  return EditSealed(id, generation, [](Row& row) { row.state = State::kPlacing; });
}

Status StoreImpl::SetUploadPath(ItemId id, Generation generation, const std::string& upload_path) {
  return EditSealed(id, generation, [&](Row& row) {
    row.stands = true;
    row.EditRare([&](RareFields& rare) { rare.upload_path = upload_path; });
  });
}

Status StoreImpl::MarkDone(ItemId id, Generation generation, const std::string& path,
                           const Identity& identity) {
  Mark seal;
  bool has_bytes = false;
  {
    MutexLock lock(mu_);
    auto record = FindSealed(id, generation);
    if (!record) return Fail(record.error());
    seal = (*record)->row.seal;
    has_bytes = (*record)->row.kind == ItemKind::kFile;
  }
  if (has_bytes && !BytesAreAsSealed(layout_.StagedFile(id), seal)) {
    NoticeChanged(id, generation);
    return Fail(ESTALE, path + ": changed after it was sealed");
  }
  Keeper::Doomed doomed{id, 0, true};
  {
    MutexLock lock(mu_);
    auto record = FindSealed(id, generation);
    if (!record) return Fail(record.error());
    if ((*record)->row.path != path) return Fail(EAGAIN, path + " was renamed meanwhile");
    doomed.disk_bytes = (*record)->row.disk_bytes;
    doomed.keepsake = KeepsakeOf((*record)->row, identity);
    has_bytes = has_bytes && (*record)->pins == 0;
    if (auto finished = FinishLocked(**record, identity); !finished) return finished;
  }
  if (has_bytes) keeper_.RemoveSoon({doomed});
  return {};
}

// The row leaves and the memory of it comes in one transaction. A pinned file stays readable from
// its local bytes until the last pin goes.
Status StoreImpl::FinishLocked(Record& record, const Identity& identity) {
  Row next = record.row;
  Memory memory{next.path, next.ino, next.kind, next.attr, identity, false};
  const bool pinned = record.pins > 0;
  next.state = State::kClean;
  next.clean = next.based = true;
  next.attr_changed = false;
  ClearUpload(next);
  ClearFailure(next);
  next.EditRare([&](RareFields& rare) { rare.replaced = identity; });
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    auto left = pinned ? journal_->Save(next) : journal_->Delete(next.id, next.kind);
    return left ? journal_->PutMemory(memory) : left;
  });
  if (!done) return done;
  UploadLeft(record.row);
  ShowUploaded(std::move(memory));
  if (pinned) {
    Apply(record, std::move(next));
  } else {
    Erase(record);
  }
  return {};
}

Status StoreImpl::MarkFailed(ItemId id, Generation generation, const Error& error,
                             int64_t not_before_ns, bool park) {
  return EditSealed(id, generation, [&](Row& row) {
    row.state = park ? State::kParked : State::kWaiting;
    ++row.attempts;
    row.not_before_ns = park ? 0 : not_before_ns;
    row.error_code = error.code;
    row.EditRare([&](RareFields& rare) { rare.reason = error.text; });
  });
}

Status StoreImpl::MarkUploadMoved(ItemId id, const std::string& upload_path) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked) return Fail(ENOENT, "no such staged item");
  if (record->row.upload_generation == 0) return {};
  Row next = record->row;
  next.stands = true;
  next.EditRare([&](RareFields& rare) { rare.upload_path = upload_path; });
  return Change(*record, std::move(next));
}

Status StoreImpl::MarkUploadOver(ItemId id, const std::optional<std::string>& at, bool kept) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked) return Fail(ENOENT, "no such staged item");
  if (at && (record->row.path != *at || record->row.state == State::kRemoving)) {
    return Fail(EAGAIN, *at + " was renamed or deleted meanwhile");
  }
  if (record->row.upload_generation == 0) return {};
  if (kept) {
    Row next = record->row;
    next.kept = true;
    return Change(*record, std::move(next));
  }
  UploadLeft(record->row);
  Row next = record->row;
  ClearUpload(next);
  return Change(*record, std::move(next));
}

Status StoreImpl::ForgetRemoved(ItemId id) {
  std::vector<Keeper::Doomed> doomed;
  {
    MutexLock lock(mu_);
    Record* record = Find(id);
    if (record == nullptr || record->unlinked) return Fail(ENOENT, "no such staged item");
    if (record->row.state != State::kRemoving) return Fail(EINVAL, "the item was not removed");
    const ItemKind kind = record->row.kind;
    if (auto gone = journal_->Transact([&] {
          mu_.AssertHeld();
          return journal_->Delete(id, kind);
        });
        !gone) {
      return gone;
    }
    UploadLeft(record->row);
    // The bytes went with the name; this clears the mark.
    if (kind == ItemKind::kFile) doomed.push_back({id, 0, false});
    if (record->pins == 0) {
      Erase(*record);
    } else {
      Unlink(*record);
    }
  }
  keeper_.RemoveSoon(doomed);
  return {};
}

Status StoreImpl::Accept(ItemId id) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked) return Fail(ENOENT, "no such staged item");
  const Row& row = record->row;
  if (row.state != State::kParked || row.error_code != kUnprovenCode) {
    return Fail(EINVAL, row.path + " is not parked as unproven");
  }
  Row next = row;
  ClearFailure(next);
  next.accepted = true;
  next.state = State::kWaiting;
  return Change(*record, std::move(next));
}

Status StoreImpl::MarkStanding(ItemId id, Generation generation, const std::string& upload_path) {
  return EditSealed(id, generation, [&](Row& row) {
    row.state = State::kUploading;
    row.upload_generation = generation;
    row.EditRare([&](RareFields& rare) { rare.upload_path = upload_path; });
  });
}

Status StoreImpl::Retry(ItemId id) {
  MutexLock lock(mu_);
  Record* record = Find(id);
  if (record == nullptr || record->unlinked) return Fail(ENOENT, "no such staged item");
  const State state = record->row.state;
  if (state != State::kParked && state != State::kInterrupted && state != State::kWaiting) {
    return {};
  }
  Row next = record->row;
  ClearFailure(next);
  // Whoever asks for it has seen that the remote has another version.
  next.based = false;
  if (record->row.error_code == EEXIST) next.renamed = next.upload_generation != 0;
  const bool seal_failed = state == State::kParked && next.before == State::kSealing;
  const bool unsealed = state == State::kInterrupted || next.generation == 0 || seal_failed;
  next.state = next.partial ? State::kHydrating : unsealed ? State::kSealing : State::kWaiting;
  if (auto changed = Change(*record, std::move(next)); !changed) return changed;
  if (record->row.state == State::kSealing) SealAgainLocked(*record);
  return {};
}

}  // namespace outboxfs::cache
