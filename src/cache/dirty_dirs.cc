#include "cache/dirty_dirs.h"

#include <utility>

#include "common/disk.h"

namespace outboxfs::cache {

void DirtyDirs::Add(ItemId id) {
  MutexLock lock(mu_);
  dirty_.set(Layout::DirIndexOf(id));
}

Status DirtyDirs::SyncAll() {
  MutexLock order(syncing_);
  std::bitset<kStagedDirs> taken;
  {
    MutexLock lock(mu_);
    std::swap(taken, dirty_);
  }
  for (unsigned index = 0; index < kStagedDirs; ++index) {
    if (!taken.test(index)) continue;
    if (auto synced = disk::SyncDir(layout_.StagedDir(index)); !synced) {
      MutexLock lock(mu_);
      dirty_ |= taken;
      return synced;
    }
  }
  return {};
}

}  // namespace outboxfs::cache
