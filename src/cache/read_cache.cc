#include "cache/read_cache.h"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "common/disk.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// How much may be written before the free space is looked at again.
constexpr uint64_t kLookEvery = 64 << 20;

constexpr uint64_t kDirectAlignment = 4096;

// Known by its size alone: it could be any.
bool IsWeak(const Identity& version) {
  return version.digests.empty() && version.id.empty() && version.mtime_ns == 0;
}

bool IsAligned(std::span<const std::byte> data, uint64_t offset) {
  const auto at = reinterpret_cast<uintptr_t>(data.data());
  return (at | offset | data.size()) % kDirectAlignment == 0;
}

// Beside the page cache where that can be: the kernel has these bytes already, for their reader.
Status WriteKept(const std::string& name, std::span<const std::byte> data, uint64_t offset) {
  constexpr int kFlags = O_WRONLY | O_CREAT;
  if (IsAligned(data, offset)) {
    const auto direct = disk::Open(name, kFlags | O_DIRECT);
    if (direct && disk::WriteAt(direct->get(), data, offset)) return {};
  }
  const auto file = disk::Open(name, kFlags);
  return file ? disk::WriteAt(file->get(), data, offset) : Fail(file.error());
}

}  // namespace

// ---- One file -------------------------------------------------------------------------------

KeptFile::Run KeptFile::FirstRun(const ByteRange& range) const {
  if (dropped_) return {range, false};
  MutexLock lock(mu_);
  const auto missing = here_.Missing(range);
  if (missing.empty()) return {range, true};
  if (missing.front().begin == range.begin) return {missing.front(), false};
  return {{range.begin, missing.front().begin}, true};
}

bool KeptFile::Read(std::span<std::byte> out, uint64_t offset) const {
  if (dropped_) return false;
  {
    MutexLock lock(mu_);
    if (!here_.Covers({offset, offset + out.size()})) return false;
  }
  const auto file = disk::Open(name_, O_RDONLY);
  if (!file) return false;
  const auto got = disk::ReadAt(file->get(), out, offset);
  return got && *got == out.size();
}

void KeptFile::Fill(std::span<const std::byte> data, uint64_t offset) {
  const auto turn = owner_.writes_.TryTake();
  if (!turn) return;
  const ByteRange range{offset, offset + data.size()};
  uint64_t added = 0;
  {
    MutexLock lock(mu_);
    if (dropped_) return;
    for (const ByteRange& gap : here_.Missing(range)) added += gap.size();
  }
  if (added == 0 || !owner_.Reserve(*this, added)) return;
  if (const Status written = WriteKept(name_, data, offset); !written) {
    Log::Debug("read cache: {}", written.error().text);
    return owner_.Drop(*this);
  }
  {
    MutexLock lock(mu_);
    if (!dropped_) return here_.Fill(range, ExtentKind::kClean);
  }
  RemoveFile();  // dropped meanwhile, and so it was made anew
}

void KeptFile::Drop() {
  dropped_ = true;
  RemoveFile();
}

void KeptFile::RemoveFile() const {
  if (const auto removed = disk::Remove(name_); !removed) Log::Debug("{}", removed.error().text);
}

// ---- All of them ------------------------------------------------------------------------------

ReadCache::ReadCache(std::string directory, Limits limits)
    : directory_(std::move(directory)), limits_(limits) {
  // NOLINTNEXTLINE(bugprone-unused-return-value): what cannot be removed shows below
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  if (limits_.bytes == 0) return;
  const Status made = disk::MakeDirs(directory_);
  MutexLock lock(mu_);
  usable_ = made.has_value();
  if (!made) Log::Warning("what is read is not kept: {}", made.error().text);
}

ReadCache::~ReadCache() = default;

ReadCache::Dropped::~Dropped() {
  for (const auto& file : files) file->Drop();
}

std::shared_ptr<KeptFile> ReadCache::Open(const std::string& path, const Identity& version) {
  if (IsWeak(version)) return nullptr;
  MutexLock lock(mu_);
  if (!usable_) return nullptr;
  auto entry = FindLocked(path, version);
  if (entry == entries_.end()) entry = AddLocked(path, version);
  entries_.splice(entries_.end(), entries_, entry);
  return entry->file;
}

bool ReadCache::Adopt(const std::string& path, const Identity& version, const std::string& file,
                      SteadyTime until) {
  if (IsWeak(version) || version.size == 0) return false;
  std::shared_ptr<KeptFile> kept;
  {
    MutexLock lock(mu_);
    if (!usable_) return false;
    // Readers may have begun to fill it; whoever has the old one open goes on with the server.
    if (const auto known = FindLocked(path, version); known != entries_.end()) {
      known->file->dropped_ = true;
      DropLocked(known, replaced_);
    }
    const auto entry = AddLocked(path, version);
    entry->until = until;
    kept = entry->file;
  }
  if (!Reserve(*kept, version.size)) return false;
  if (const Status moved = disk::Rename(file, kept->name_); !moved) {
    Log::Debug("read cache: {}", moved.error().text);
    Drop(*kept);
    return false;
  }
  MutexLock lock(kept->mu_);
  kept->here_.Fill({0, version.size}, ExtentKind::kClean);
  return true;
}

void ReadCache::DropExpired(SteadyTime now) {
  Dropped dropped;
  MutexLock lock(mu_);
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const auto next = std::next(entry);
    if (entry->until <= now) DropLocked(entry, dropped);
    entry = next;
  }
}

uint64_t ReadCache::bytes() const {
  MutexLock lock(mu_);
  return bytes_;
}

bool ReadCache::Reserve(const KeptFile& file, uint64_t bytes) {
  Dropped dropped;
  MutexLock lock(mu_);
  dropped.files.swap(replaced_.files);
  const auto entry = FindLocked(file);
  if (entry == entries_.end()) return false;
  entries_.splice(entries_.end(), entries_, entry);
  while (bytes_ + bytes > limits_.bytes || !HasFreeSpaceLocked(bytes)) {
    const bool last = entries_.begin() == entry;  // larger than the cache: not kept at all
    DropLocked(entries_.begin(), dropped);
    if (last) return false;
  }
  entry->bytes += bytes;
  bytes_ += bytes;
  return true;
}

bool ReadCache::HasFreeSpaceLocked(uint64_t bytes) {
  unchecked_ += bytes;
  if (unchecked_ < kLookEvery) return true;
  const auto free = disk::FreeBytes(directory_);
  if (free && *free > limits_.free_reserve) {
    unchecked_ = 0;
    return true;
  }
  return false;
}

ReadCache::Entries::iterator ReadCache::FindLocked(const KeptFile& file) {
  return std::find_if(entries_.begin(), entries_.end(),
                      [&file](const Entry& entry) { return entry.file.get() == &file; });
}

ReadCache::Entries::iterator ReadCache::FindLocked(const std::string& path,
                                                   const Identity& version) {
  const auto known = by_path_.find(path);
  if (known == by_path_.end()) return entries_.end();
  if (SameVersion(known->second->version, version)) return known->second;
  known->second->file->dropped_ = true;
  DropLocked(known->second, replaced_);
  return entries_.end();
}

ReadCache::Entries::iterator ReadCache::AddLocked(const std::string& path,
                                                  const Identity& version) {
  auto file = std::make_shared<KeptFile>(*this, directory_ + "/" + std::to_string(++next_name_));
  entries_.push_back({path, version, std::move(file), 0, SteadyTime::max()});
  return by_path_[path] = std::prev(entries_.end());
}

void ReadCache::Drop(const KeptFile& file) {
  Dropped dropped;
  MutexLock lock(mu_);
  if (const auto entry = FindLocked(file); entry != entries_.end()) DropLocked(entry, dropped);
}

void ReadCache::DropLocked(Entries::iterator entry, Dropped& dropped) {
  dropped.files.push_back(entry->file);
  bytes_ -= entry->bytes;
  by_path_.erase(entry->path);
  entries_.erase(entry);
}

}  // namespace outboxfs::cache
