#include "cache/presence.h"

#include <algorithm>

namespace outboxfs::cache {

std::vector<ByteRange> Presence::Missing(const ByteRange& range) const {
  MutexLock lock(mu_);
  return map_.Missing(range.Intersect({0, remote_size_}));
}

bool Presence::HasChanges() const {
  MutexLock lock(mu_);
  return map_.Bytes(ExtentKind::kDirty) + map_.Bytes(ExtentKind::kZero) > 0;
}

Status Presence::Fill(const ByteRange& range, const Write& write) {
  MutexLock lock(mu_);
  for (const ByteRange& gap : map_.Missing(range.Intersect({0, remote_size_}))) {
    if (auto written = write(gap); !written) return written;
    map_.Set(gap, ExtentKind::kClean);
  }
  return {};
}

Status Presence::Change(const ByteRange& range, ExtentKind kind, const Write& write,
                        const Write& record) {
  MutexLock lock(mu_);
  if (auto written = write(range); !written || range.empty()) return written;
  const std::vector<Extent> there = map_.Present(range);
  if (there.size() == 1 && there.front().kind == kind && there.front().range == range) return {};
  if (auto recorded = record(range); !recorded) return recorded;
  map_.Set(range, kind);
  return {};
}

std::vector<Extent> Presence::Changes() const {
  MutexLock lock(mu_);
  std::vector<Extent> changes = map_.All();
  std::erase_if(changes, [](const Extent& extent) { return extent.kind == ExtentKind::kClean; });
  return changes;
}

}  // namespace outboxfs::cache
