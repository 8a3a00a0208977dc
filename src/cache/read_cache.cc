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
  if (version.digests.empty() && version.id.empty() && version.mtime_ns == 0) return nullptr;
  MutexLock lock(mu_);
  if (!usable_) return nullptr;
  if (const auto known = by_path_.find(path); known != by_path_.end()) {
    if (SameVersion(known->second->version, version)) {
      entries_.splice(entries_.end(), entries_, known->second);
      return known->second->file;
    }
    known->second->file->dropped_ = true;
    DropLocked(known->second, replaced_);
  }
  auto file = std::make_shared<KeptFile>(*this, directory_ + "/" + std::to_string(++next_name_));
  entries_.push_back({path, version, file, 0});
  by_path_[path] = std::prev(entries_.end());
  return file;
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
