#include "cache/store.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/paths.h"
#include "cache/store_impl.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

uint64_t RemoteSize(const Row& row) { return row.rare().replaced ? row.rare().replaced->size : 0; }

}  // namespace

// ---- Pin ----------------------------------------------------------------------------------

Pin::Pin(Pin&& other) noexcept
    : store_(std::exchange(other.store_, nullptr)),
      file_(std::move(other.file_)),
      writable_(other.writable_) {}

Pin& Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    Reset();
    store_ = std::exchange(other.store_, nullptr);
    file_ = std::move(other.file_);
    writable_ = other.writable_;
  }
  return *this;
}

Pin::~Pin() { Reset(); }

void Pin::Reset() {
  if (file_ == nullptr) return;
  std::exchange(store_, nullptr)->Unpin(std::exchange(file_, nullptr), writable_);
}

Pin Store::MakePin(Store* store, std::shared_ptr<StagedFile> file, bool writable) {
  Pin pin;
  pin.store_ = store;
  pin.file_ = std::move(file);
  pin.writable_ = writable;
  return pin;
}

Result<std::unique_ptr<Store>> Store::Open(const StoreOptions& options, const Clock& clock) {
  return StoreImpl::Open(options, clock);
}

// ---- Looking ------------------------------------------------------------------------------

Overlay StoreImpl::ToOverlay(const Name& name) {
  Overlay overlay;
  if (name.item != nullptr) {
    overlay.kind = Overlay::Kind::kItem;
    overlay.item = ToItem(name.item->row);
  } else if (name.ghost) {
    overlay.kind = name.ghost->kind;
    overlay.memory = name.ghost->memory;
    overlay.since = name.ghost->since;
  }
  return overlay;
}

Overlay StoreImpl::Lookup(const std::string& path) const {
  MutexLock lock(mu_);
  const auto found = names_.find(path);
  return found == names_.end() ? Overlay{} : ToOverlay(found->second);
}

std::optional<Item> StoreImpl::Get(ItemId id) const {
  MutexLock lock(mu_);
  const Record* record = Find(id);
  if (record == nullptr) return std::nullopt;
  return ToItem(record->row);
}

std::vector<const Names::value_type*> StoreImpl::NamesIn(const std::string& dir) const {
  std::vector<const Names::value_type*> found;
  const std::string begin = BeneathBegin(dir);
  const std::string end = BeneathEnd(dir);
  auto it = names_.lower_bound(begin);
  if (it != names_.end() && it->first == dir) ++it;  // the root itself
  while (it != names_.end() && it->first < end) {
    const size_t slash = it->first.find('/', begin.size());
    if (slash == std::string::npos) {
      found.push_back(&*it);
      ++it;
    } else {
      // Deeper: jump behind the whole tree of that child.
      it = names_.lower_bound(BeneathEnd(it->first.substr(0, slash)));
    }
  }
  return found;
}

std::vector<OverlayEntry> StoreImpl::ListDir(const std::string& dir) const {
  std::vector<OverlayEntry> entries;
  MutexLock lock(mu_);
  const auto names = NamesIn(dir);
  entries.reserve(names.size());
  for (const auto* name : names) {
    Overlay overlay = ToOverlay(name->second);
    if (overlay.kind == Overlay::Kind::kNone) continue;
    entries.push_back({std::string(NameOf(name->first)), std::move(overlay)});
  }
  return entries;
}

std::vector<Item> StoreImpl::All() const {
  std::vector<Item> all;
  {
    MutexLock lock(mu_);
    all.reserve(items_.size());
    for (const auto& [id, record] : items_) {
      if (!record->unlinked) all.push_back(ToItem(record->row));
    }
  }
  const auto age = [](const Item& item) { return std::max(item.changed_ns, item.sealed_ns); };
  std::sort(all.begin(), all.end(), [&](const Item& a, const Item& b) {
    return age(a) != age(b) ? age(a) < age(b) : a.id < b.id;
  });
  return all;
}

StoreTotals StoreImpl::Totals() const {
  MutexLock lock(mu_);
  StoreTotals totals = totals_;
  totals.bytes_staged += keeper_.bytes_to_remove();
  // Files that are being written grow without a word to us.
  for (const ItemId id : writing_) {
    const Record* record = Find(id);
    if (record == nullptr || record->unlinked || !record->file) continue;
    const auto st = record->file->Stat();
    if (!st) continue;
    totals.bytes_staged += static_cast<uint64_t>(st->st_blocks) * 512;
    totals.bytes_staged -= record->row.disk_bytes;
  }
  return totals;
}

// ---- Tables -------------------------------------------------------------------------------

Record* StoreImpl::Find(ItemId id) const {
  const auto found = items_.find(id);
  return found == items_.end() ? nullptr : found->second.get();
}

Record* StoreImpl::ItemAt(const std::string& path) const {
  const auto found = names_.find(path);
  return found == names_.end() ? nullptr : found->second.item;
}

Record& StoreImpl::Insert(Row row, ExtentMap changes) {
  auto record = std::make_unique<Record>();
  record->row = std::move(row);
  if (record->row.partial) {
    record->presence = std::make_shared<Presence>(RemoteSize(record->row), std::move(changes));
  }
  Record& inserted = *record;
  items_[inserted.row.id] = std::move(record);
  if (inserted.row.state != State::kRemoving) names_[inserted.row.path].item = &inserted;
  Account(inserted, +1);
  return inserted;
}

void StoreImpl::Detach(const Record& record) {
  const auto found = names_.find(record.row.path);
  if (found == names_.end() || found->second.item != &record) return;
  found->second.item = nullptr;
  if (!found->second.ghost) names_.erase(found);
}

void StoreImpl::Erase(Record& record) {
  const ItemId id = record.row.id;
  Detach(record);
  if (!record.unlinked) Account(record, -1);
  writing_.erase(id);
  items_.erase(id);
  feed_.Publish(id);
}

void StoreImpl::ShowUploaded(Memory memory) {
  auto ghost = std::make_unique<Ghost>();
  ghost->kind = Overlay::Kind::kUploaded;
  ghost->since = clock_.Now();
  ghost->memory = std::move(memory);
  names_[ghost->memory.path].ghost = std::move(ghost);
}

void StoreImpl::Hide(GoneRow gone) {
  auto ghost = std::make_unique<Ghost>();
  ghost->kind = Overlay::Kind::kGone;
  ghost->since = clock_.Now();
  ghost->gone = std::move(gone);
  names_[ghost->gone.path].ghost = std::move(ghost);
}

void StoreImpl::DropGhost(const std::string& path) {
  const auto found = names_.find(path);
  if (found == names_.end()) return;
  found->second.ghost.reset();
  if (found->second.item == nullptr) names_.erase(found);
}

void StoreImpl::DropGhostsBeneath(const std::string& path) {
  const std::string end = BeneathEnd(path);
  for (auto it = names_.lower_bound(BeneathBegin(path)); it != names_.end() && it->first < end;) {
    it->second.ghost.reset();
    it = it->second.item == nullptr ? names_.erase(it) : std::next(it);
  }
}

void StoreImpl::Account(const Record& record, int sign) {
  const Row& row = record.row;
  if (row.kind != ItemKind::kFile || row.state == State::kRemoving) return;
  const auto one = static_cast<uint64_t>(static_cast<int64_t>(sign));  // wraps round, and back
  totals_.bytes_staged += one * row.disk_bytes;
  if (row.state == State::kOpen) {
    totals_.files_open += one;
    return;
  }
  if (!record.durable) {
    totals_.files_not_durable += one;
    totals_.bytes_not_durable += one * row.size;
  }
  if (row.state == State::kInterrupted) {
    totals_.files_interrupted += one;
  } else if (row.state == State::kParked) {
    totals_.files_parked += one;
  } else if (row.state != State::kClean) {
    totals_.files_pending += one;
    totals_.bytes_pending += one * row.size;
  }
}

void StoreImpl::Apply(Record& record, Row next) {
  Account(record, -1);
  record.row = std::move(next);
  Account(record, +1);
  feed_.Publish(record.row.id);
}

Status StoreImpl::Change(Record& record, Row next) {
  if (!IsLegal(record.row.state, next.state)) {
    return Fail(EINVAL, fmt::format("item {} cannot go from {} to {}", record.row.id,
                                    ToString(record.row.state), ToString(next.state)));
  }
  if (auto saved = journal_->Save(next); !saved) return saved;
  Apply(record, std::move(next));
  return {};
}

// ---- Pins ---------------------------------------------------------------------------------

Result<Pin> StoreImpl::PinFile(ItemId id, bool writable) {
  std::shared_ptr<StagedFile> file;
  {
    MutexLock lock(mu_);
    Record* record = Find(id);
    if (record == nullptr) return Fail(ENOENT, "no such staged file");
    if (record->row.kind == ItemKind::kDir) return Fail(EISDIR, record->row.path);
    const bool no_bytes = record->unlinked || record->row.state == State::kRemoving;
    if (no_bytes && !record->file) return Fail(ENOENT, "the staged file was removed");
    ++record->pins;  // from here on it is not evicted
    file = record->file;
  }
  if (!file) {
    auto opened = StagedFile::Open(id, layout_.StagedFile(id));
    MutexLock lock(mu_);
    Record* record = Find(id);  // pinned: still there
    if (opened && !record->file) record->file = std::move(*opened);
    file = record->file;  // maybe another one's
    if (!file) {
      if (--record->pins == 0 && record->unlinked) Erase(*record);
      return Fail(opened.error());
    }
  }
  if (writable) {
    if (auto opened = file->OpenForWriting(); !opened) {
      Unpin(std::move(file), false);
      return Fail(opened.error());
    }
    MutexLock lock(mu_);
    if (Find(id)->write_pins++ == 0) writing_.insert(id);
  }
  return MakePin(this, std::move(file), writable);
}

void StoreImpl::Unpin(std::shared_ptr<StagedFile> file, bool writable) {
  const ItemId id = file->id();
  if (writable) file->CloseForWriting();
  bool evict = false;
  std::shared_ptr<StagedFile> last;  // closed after the lock: a close may free a large file
  {
    MutexLock lock(mu_);
    Record* record = Find(id);
    if (writable && --record->write_pins == 0) writing_.erase(id);
    if (--record->pins > 0) return;
    last = std::exchange(record->file, nullptr);
    if (record->unlinked) {
      Erase(*record);
    } else {
      evict = EvictableLocked(*record);
    }
  }
  file.reset();
  last.reset();
  if (evict) TryEvict(id);
}

}  // namespace outboxfs::cache
