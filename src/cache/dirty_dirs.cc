#include "cache/dirty_dirs.h"

#include <utility>

#include "common/disk.h"

namespace outboxfs::cache {

void DirtyDirs::Add(ItemId id) {
  MutexLock lock(mu_);
  dirty_.set(Layout::DirIndexOf(id));
}

void DirtyDirs::AddDir() {
  MutexLock lock(mu_);
  dirty_.set(kStagedDirs);
}

Status DirtyDirs::SyncAll() {
  MutexLock order(syncing_);
  std::bitset<kStagedDirs + 1> taken;
  {
    MutexLock lock(mu_);
    std::swap(taken, dirty_);
  }
  for (unsigned index = 0; index <= kStagedDirs; ++index) {
    if (!taken.test(index)) continue;
    const std::string dir = index == kStagedDirs ? layout_.Staged() : layout_.StagedDir(index);
    if (auto synced = disk::SyncDir(dir); !synced) {
      MutexLock lock(mu_);
      dirty_ |= taken;
      return synced;
    }
  }
  return {};
}

}  // namespace outboxfs::cache
