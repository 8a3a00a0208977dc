#include "server/recent.h"

#include <algorithm>
#include <utility>

namespace outboxfs::server {

void Recent::Note(const std::string& path, std::optional<Entry> before) {
  const auto knobs = knobs_.Get();
  const Millis longest = std::max({knobs->listing_lag, knobs->hash_lag, knobs->download_lag});
  const SteadyTime now = RealClock().Now();
  MutexLock lock(mu_);
  std::erase_if(changes_, [&](const auto& item) { return item.second.when + longest < now; });
  if (longest.count() > 0) changes_[path] = {now, std::move(before)};
}

std::optional<Entry> Recent::Shown(Entry entry) const {
  const auto knobs = knobs_.Get();
  const SteadyTime now = RealClock().Now();
  MutexLock lock(mu_);
  const auto found = changes_.find(entry.path);
  if (found == changes_.end()) return entry;
  if (now < found->second.when + knobs->listing_lag) return found->second.before;
  if (now < found->second.when + knobs->hash_lag) entry.hashes.clear();
  return entry;
}

bool Recent::DownloadBroken(const std::string& path) const {
  const auto knobs = knobs_.Get();
  MutexLock lock(mu_);
  const auto found = changes_.find(path);
  return found != changes_.end() && RealClock().Now() < found->second.when + knobs->download_lag;
}

}  // namespace outboxfs::server
