// What a start finds in the directory, and the end of a run.
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <limits>
#include <random>
#include <utility>

#include "cache/bytes.h"
#include "cache/owner.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

constexpr auto kExitSync = std::chrono::seconds(10);

// Changes with every boot of the machine.
std::string BootId() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::string NewDeviceId() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", random());
  return id;
}

Status ScanDir(const Layout& layout, unsigned index, std::vector<ItemId>& ids) {
  const std::string path = layout.StagedDir(index);
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(path.c_str()), ::closedir);
  if (!dir && errno == ENOENT) return {};  // made when it is needed
  if (!dir) return FailErrno(errno, "opendir " + path);
  while (const dirent* entry = ::readdir(dir.get())) {  // NOLINT(concurrency-mt-unsafe): own DIR
    if (const auto id = Layout::ParseStaged(index, entry->d_name)) ids.push_back(*id);
  }
  return {};
}

// The ids of all backing files, sorted.
Result<std::vector<ItemId>> ScanStaged(const Layout& layout) {
  std::vector<ItemId> ids;
  for (unsigned index = 0; index < kStagedDirs; ++index) {
    if (auto done = ScanDir(layout, index, ids); !done) return Fail(done.error());
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

void SetReason(Row& row, int code, std::string_view reason) {
  row.error_code = code;
  row.EditRare([&](RareFields& rare) { rare.reason = reason; });
}

void Interrupt(Row& row, std::string_view reason) {
  row.state = State::kInterrupted;
  SetReason(row, 0, reason);
}

void Park(Row& row, std::string_view reason) {
  row.state = State::kParked;
  SetReason(row, EIO, reason);
}

// Of a partly hydrated file the fetched bytes change nothing but the ctime.
bool SameMark(const Row& row, const Mark& was, const Mark& is) {
  if (!row.partial) return was == is;
  return was.taken() && was.size == is.size && was.mtime_ns == is.mtime_ns;
}

// An item that was open, or closed but not sealed (docs/ARCHITECTURE.md, "Closing and sealing").
// After a power cut the closed mark alone proves nothing: times and sizes can be on disk without
// the bytes.
void RecoverUnsealed(Row& row, const BytesState& bytes, bool same_boot) {
  row.size = bytes.mark.size;
  row.disk_bytes = bytes.disk_bytes;
  if (bytes.foreign_writer) return Interrupt(row, "still written by another process");
  const bool was_sealed = row.before != State::kOpen && row.before != State::kInterrupted &&
                          row.before != State::kSealing;
  if (row.state == State::kOpen && was_sealed && same_boot && row.seal == bytes.mark) {
    row.state =
        row.before == State::kClean || row.before == State::kParked ? row.before : State::kWaiting;
    return;
  }
  if (row.state == State::kOpen) row.TakeTimes(bytes.mark);
  if (row.state == State::kOpen && !SameMark(row, row.closed, bytes.mark)) {
    return Interrupt(row, "was being written when outboxfs ended");
  }
  if (!same_boot && !SameMark(row, row.synced, bytes.mark)) {
    return Interrupt(row, "the machine stopped before it was on stable storage");
  }
  row.state = row.partial ? State::kHydrating : State::kSealing;
}

// False: the row goes. `changes`: of a partly hydrated file, what was written to it.
bool RecoverFile(Row& row, const Layout& layout, bool has_bytes, bool same_boot,
                 const ExtentMap& changes) {
  if (row.state == State::kRemoving) return true;
  const bool was_clean = row.state == State::kClean || row.before == State::kClean;
  if (row.partial && was_clean && changes.empty()) return false;
  if (!has_bytes) {
    if (row.state == State::kClean) return false;
    Park(row, "its staged bytes are missing");
    return true;
  }
  const bool clean = row.state == State::kClean;
  if (clean && BytesAreAsSealed(layout.StagedFile(row.id), row.seal)) return false;
  const bool closing = row.state == State::kSealing || row.state == State::kHydrating;
  if (!clean && row.state != State::kOpen && !closing) return true;
  const auto bytes = InspectBytes(layout.StagedFile(row.id));
  if (!bytes) {
    Park(row, bytes.error().text);
  } else if (clean) {
    Interrupt(row, "changed after it was uploaded, when outboxfs had ended");
  } else {
    RecoverUnsealed(row, *bytes, same_boot);
  }
  // Back to clean without a pin: nothing keeps the bytes.
  return row.state != State::kClean;
}

}  // namespace

StoreImpl::StoreImpl(const StoreOptions& options, const Clock& clock)
    : layout_(options.directory),
      memory_limit_(options.memory_limit),
      read_limits_(options.read_cache),
      keep_(options.keep),
      mountpoint_(options.mountpoint),
      clock_(clock),
      started_(clock.Now()),
      dirty_dirs_(layout_),
      sealer_(*this),
      keeper_(layout_, dirty_dirs_, *this) {}

Result<std::unique_ptr<Store>> StoreImpl::Open(const StoreOptions& options, const Clock& clock) {
  std::unique_ptr<StoreImpl> store(new StoreImpl(options, clock));
  if (auto started = store->Start(); !started) {
    Error error = started.error();
    return Fail(error.Prepend("cache"));
  }
  return store;
}

Status StoreImpl::Start() {
  auto lock_file = TakeOwnership(layout_.directory(), layout_.Lock(), mountpoint_);
  if (!lock_file) return Fail(lock_file.error());
  lock_file_ = std::move(*lock_file);
  if (auto made = layout_.MakeDirectories(); !made) return made;
  read_cache_.emplace(layout_.Read(), read_limits_);
  if (auto opened = OpenJournal(); !opened) return opened;
  if (auto recovered = Recover(); !recovered) return recovered;
  sealer_.Start();
  keeper_.Start();
  return {};
}

Status StoreImpl::OpenJournal() {
  auto journal = Journal::Open(layout_.Journal(), layout_.Ballast(), memory_limit_);
  if (!journal) return Fail(journal.error());
  MutexLock lock(mu_);
  journal_ = std::move(*journal);
  boot_id_ = BootId();
  auto device = journal_->Meta("device_id");
  if (!device) return Fail(device.error());
  device_id_ = *device ? **device : NewDeviceId();
  if (!*device) {
    // Also the first write of a new journal: the log's file is there for the barrier.
    if (auto saved = journal_->SetMeta("device_id", device_id_); !saved) return saved;
  }
  if (auto saved = journal_->SetMeta("started", std::to_string(clock_.WallNs())); !saved) {
    return saved;
  }
  auto barrier = WalBarrier::Open(layout_.Wal());
  if (!barrier) return Fail(barrier.error());
  barrier_.emplace(std::move(*barrier));
  auto checkpointer = Checkpointer::Open(layout_.Journal());
  if (!checkpointer) return Fail(checkpointer.error());
  checkpointer_.emplace(std::move(*checkpointer));
  return disk::SyncDir(layout_.directory());
}

Status StoreImpl::Recover() {
  auto on_disk = ScanStaged(layout_);
  if (!on_disk) return Fail(on_disk.error());
  MutexLock lock(mu_);
  auto contents = journal_->Load();
  if (!contents) return Fail(contents.error());
  const auto number = [&](const char* key) -> uint64_t {
    mu_.AssertHeld();
    const auto value = journal_->Meta(key);
    return value && *value ? std::strtoull((*value)->c_str(), nullptr, 10) : 0;
  };
  next_id_ = std::max<ItemId>({1, number("id_high"), on_disk->empty() ? 0 : on_disk->back() + 1});
  next_ino_ = std::max<Ino>(2, number("ino_high"));
  for (const Row& row : contents->rows) {
    next_id_ = std::max(next_id_, row.id + 1);
    next_ino_ = std::max(next_ino_, row.ino + 1);
  }
  id_high_ = next_id_;
  ino_high_ = next_ino_;
  return AdoptAll(std::move(*contents), std::move(*on_disk));
}

Status StoreImpl::AdoptAll(Journal::Contents contents, std::vector<ItemId> on_disk) {
  Findings findings;
  findings.on_disk = std::move(on_disk);
  findings.extents = std::move(contents.extents);
  const auto boot = journal_->Meta("boot_id");
  if (!boot) return Fail(boot.error());
  findings.same_boot = *boot && **boot == boot_id_;
  auto done = journal_->Transact([&]() -> Status {
    mu_.AssertHeld();
    for (Row& row : contents.rows) {
      if (auto reviewed = ReviewRow(row, findings); !reviewed) return reviewed;
    }
    return journal_->SetMeta("boot_id", boot_id_);
  });
  if (!done) return done;
  for (Row& row : contents.rows) {
    if (row.id == 0) continue;
    ExtentMap changes = std::move(findings.extents[row.id]);
    Adopt(std::move(row), std::move(changes));
  }
  // Rows of an earlier run are older than every listing of this one.
  constexpr SteadyTime kLongAgo = SteadyTime::min();
  for (GoneRow& gone : contents.gone) {
    const std::string path = gone.path;
    Hide(std::move(gone));
    names_[path].ghost->since = kLongAgo;
  }
  for (Memory& memory : contents.unconfirmed) {
    const std::string path = memory.path;
    ShowUploaded(std::move(memory));
    names_[path].ghost->since = kLongAgo;
  }
  intents_ = std::move(contents.intents);
  NoteDeferred();
  for (const ItemId id : contents.doomed) {
    findings.known.push_back(id);
    findings.doomed.push_back({id, 0, true});
  }
  keeper_.RemoveSoon(findings.doomed);
  return KeepUnknown(findings);
}

// Decides what a row of an earlier run is now. Its id becomes 0 when it goes.
Status StoreImpl::ReviewRow(Row& row, Findings& findings) {
  if (row.kind == ItemKind::kDir) return {};
  const Row before = row;
  const bool has_bytes =
      std::binary_search(findings.on_disk.begin(), findings.on_disk.end(), row.id);
  const bool keep =
      RecoverFile(row, layout_, has_bytes, findings.same_boot, findings.extents[row.id]);
  if (has_bytes) findings.known.push_back(row.id);
  if (has_bytes && (!keep || row.state == State::kRemoving)) {
    findings.doomed.push_back({row.id, row.disk_bytes, true});
  }
  if (!keep) {
    row.id = 0;
    return ForgetClean(before);
  }
  if (!has_bytes && row.state == State::kParked) ++report_.missing;
  const bool changed = row.state != before.state || row.size != before.size ||
                       row.rare().reason != before.rare().reason;
  return changed ? journal_->Save(row) : Status{};
}

// The row of a clean item goes; attributes that were changed meanwhile stay remembered.
Status StoreImpl::ForgetClean(const Row& row) {
  if (auto gone = journal_->Delete(row.id, row.kind); !gone) return gone;
  if (!row.attr_changed) return {};
  auto memory = journal_->FindMemory(row.path);
  if (!memory) return Fail(memory.error());
  Memory next{row.path, row.ino, row.kind, row.attr, {}, !*memory || (*memory)->confirmed};
  if (row.rare().replaced) next.identity = *row.rare().replaced;
  return journal_->PutMemory(next);
}

void StoreImpl::Adopt(Row row, ExtentMap changes) {
  // A truncation may have come to the file and not to the journal: nothing behind its end comes
  // back.
  if (row.partial) changes.Set({row.size, std::numeric_limits<uint64_t>::max()}, ExtentKind::kZero);
  const bool unsealed = row.state == State::kSealing;
  if (row.state == State::kInterrupted) {
    ++report_.interrupted;
  } else if (row.state != State::kParked && row.state != State::kRemoving) {
    ++report_.pending;
  }
  Record& record = Insert(std::move(row), std::move(changes));
  if (unsealed) SealAgainLocked(record);
}

// Never deletion of bytes that we cannot explain; an empty file is a backing file made ahead.
Status StoreImpl::KeepUnknown(Findings& findings) {
  std::sort(findings.known.begin(), findings.known.end());
  std::vector<ItemId> unknown;
  std::set_difference(findings.on_disk.begin(), findings.on_disk.end(), findings.known.begin(),
                      findings.known.end(), std::back_inserter(unknown));
  for (const ItemId id : unknown) {
    const std::string path = layout_.StagedFile(id);
    struct stat st {};
    if (::lstat(path.c_str(), &st) < 0) return FailErrno(errno, path);
    if (st.st_size == 0) {
      if (auto gone = disk::Remove(path); !gone) return gone;
      continue;
    }
    const std::string kept = fmt::format("{}/{:016x}", layout_.LostFound(), id);
    if (auto moved = disk::Rename(path, kept); !moved) return moved;
    Log::Warning("staged file {:016x} ({} bytes) is not in the journal; kept in {}", id, st.st_size,
                 kept);
    ++report_.lost_found;
  }
  return {};
}

StoreImpl::~StoreImpl() {
  sealer_.Stop();
  keeper_.Stop();
  if (barrier_) FlushOnExit();
}

// Files that are closed and not sealed yet are made durable, within limits, so that they count as
// closed also after a reboot; sealing goes on at the next start.
void StoreImpl::FlushOnExit() {
  const SteadyTime deadline = std::chrono::steady_clock::now() + kExitSync;
  MutexLock lock(mu_);
  for (const auto& [id, record] : items_) {
    if (record->unlinked || record->row.state != State::kSealing) continue;
    if (std::chrono::steady_clock::now() > deadline) break;
    auto fd = disk::Open(layout_.StagedFile(id), O_RDONLY);
    if (!fd || !disk::DataSync(fd->get())) continue;
    const auto st = disk::Stat(fd->get());
    if (!st) continue;
    record->row.synced = Mark::Of(*st);
    if (auto saved = journal_->Save(record->row); !saved) Log::Warning("{}", saved.error().text);
  }
  if (auto synced = SyncJournal(); !synced) Log::Warning("{}", synced.error().text);
}

}  // namespace outboxfs::cache
