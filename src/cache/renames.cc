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
    if (!intent.deferred || !IsAtOrBeneath(path, intent.*end)) continue;
    if (closest == nullptr || (closest->*end).size() < (intent.*end).size()) closest = &intent;
  }
  return closest;
}

std::string Carry(const std::vector<Intent>& intents, const std::string& path,
                  std::string Intent::*from, std::string Intent::*to) {
  const Intent* above = Closest(intents, path, from);
  return above == nullptr ? path : above->*to + path.substr((above->*from).size());
}

std::string ToRemote(const std::vector<Intent>& intents, const std::string& path) {
  return Carry(intents, path, &Intent::to, &Intent::remote_from);
}

std::string ToMount(const std::vector<Intent>& intents, const std::string& remote_path) {
  return Carry(intents, remote_path, &Intent::remote_from, &Intent::to);
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
  return ToRemote(intents, path) == remote_path ? path : "";
}

bool AwaitsRename(const std::vector<Intent>& intents, const std::string& path) {
  return Closest(intents, path, &Intent::to) != nullptr || RemotePathOf(intents, path).empty();
}

}  // namespace outboxfs::cache
