#include "remote/link_cache.h"

#include <algorithm>
#include <utility>

namespace outboxfs::remote {
namespace {

constexpr size_t kMaxLinks = 4096;
constexpr std::chrono::seconds kLongest{600};  // also for links that never expire: they may move

// Not used in its last fifth, so that a range that is asked for now does not outlast it.
SteadyTime KeepUntil(SteadyTime now, const DownloadLink& link) {
  if (!link.expires_in_s) return now + kLongest;
  const int64_t seconds = std::clamp<int64_t>(*link.expires_in_s, 0, kLongest.count());
  return now + std::chrono::milliseconds(seconds * 800);
}

}  // namespace

Result<std::shared_ptr<const DownloadLink>> LinkCache::Get(const std::string& path,
                                                           const std::stop_token& stop) {
  const SteadyTime now = clock_.Now();
  {
    MutexLock lock(mu_);
    const auto at = links_.find(path);
    if (at != links_.end() && now < at->second.until) return at->second.link;
  }
  Result<DownloadLink> fetched = names_.GetDownloadLink(path, stop);
  if (!fetched) return Fail(fetched.error());
  auto link = std::make_shared<const DownloadLink>(*std::move(fetched));
  MutexLock lock(mu_);
  if (links_.size() >= kMaxLinks) links_.clear();  // cheap to get again
  links_.insert_or_assign(path, Kept{link, KeepUntil(now, *link)});
  return link;
}

void LinkCache::Forget(const std::string& path) {
  MutexLock lock(mu_);
  links_.erase(path);
}

}  // namespace outboxfs::remote
