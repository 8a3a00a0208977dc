#include "cache/layout.h"

#include <charconv>

#include "common/disk.h"
#include "common/log.h"

namespace outboxfs::cache {

std::string Layout::StagedDir(unsigned index) const {
  return fmt::format("{}/staged/{:02x}", directory_, index);
}

std::string Layout::StagedFile(ItemId id) const {
  return fmt::format("{}/staged/{:02x}/{:016x}", directory_, DirIndexOf(id), id);
}

std::optional<ItemId> Layout::ParseStaged(unsigned index, std::string_view name) {
  if (name.size() != 16) return std::nullopt;
  ItemId id = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), id, 16);
  if (error != std::errc() || end != name.data() + name.size()) return std::nullopt;
  if (DirIndexOf(id) != index || fmt::format("{:016x}", id) != name) return std::nullopt;
  return id;
}

Status Layout::MakeDirectories() const {
  if (auto made = disk::MakeDirs(LostFound()); !made) return made;
  if (auto made = disk::MakeDirs(Staged()); !made) return made;
  return disk::SyncDir(directory_);
}

}  // namespace outboxfs::cache
