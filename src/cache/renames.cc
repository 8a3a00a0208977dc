#include "cache/renames.h"

#include <algorithm>

#include "cache/paths.h"

namespace outboxfs::cache {
namespace {

// The deferred intent whose `end` is at or closest above `path`.
const Intent* Closest(const std::vector<Intent>& intents, const std::string& path,
                      std::string Intent::*end) {
  const Intent* closest = nullptr;
  for (const Intent& intent : intents) {
    if (!intent.deferred || intent.is_aside() || (intent.*end).empty()) continue;
    if (!IsAtOrBeneath(path, intent.*end)) continue;
    if (closest == nullptr || (closest->*end).size() < (intent.*end).size()) closest = &intent;
  }
  return closest;
}

std::string ToRemote(const std::vector<Intent>& intents, const std::string& path) {
  const Intent* above = Closest(intents, path, &Intent::to);
  return above == nullptr ? path : above->remote_from + path.substr(above->to.size());
}

std::string ToMount(const std::vector<Intent>& intents, const std::string& remote_path) {
  const Intent* above = Closest(intents, remote_path, &Intent::remote_from);
  if (above == nullptr) return remote_path;
  if (above->kind == Intent::Kind::kRemove) return "";
  return above->to + remote_path.substr(above->remote_from.size());
}

}  // namespace

bool IsAtOrBeneath(std::string_view path, std::string_view top) {
  return path == top || top == "/" || path.starts_with(BeneathBegin(top));
}

std::string RemotePathOf(const std::vector<Intent>& intents, const std::string& path) {
  std::string remote = ToRemote(intents, path);
  return ToMount(intents, remote) == path ? remote : "";
}

std::string MountPathOf(const std::vector<Intent>& intents, const std::string& remote_path) {
  std::string path = ToMount(intents, remote_path);
  return !path.empty() && ToRemote(intents, path) == remote_path ? path : "";
}

bool AwaitsRename(const std::vector<Intent>& intents, const std::string& path) {
  return Closest(intents, path, &Intent::to) != nullptr || RemotePathOf(intents, path).empty();
}

}  // namespace outboxfs::cache
