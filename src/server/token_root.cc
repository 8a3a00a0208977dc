#include "server/token_root.h"

#include <cerrno>

#include "server/path.h"

namespace outboxfs::server {

Result<std::string> InnerPath(const std::string& path, const Knobs& knobs, bool above) {
  if (knobs.token_root.empty()) return path;  // the service normalises and answers for it
  if (knobs.token_root_is_root) return knobs.token_root + "/" + path;
  Result<std::string> clean = NormalizePath(path);
  if (!clean) return Fail(clean.error());
  const bool on_the_way = above && IsWithin(knobs.token_root, *clean);
  if (on_the_way || IsWithin(*clean, knobs.token_root)) return clean;
  return Fail(EACCES, "outside of the token's root");
}

std::string NextOnTheWay(const std::string& folder, const Knobs& knobs) {
  const size_t begin = folder == "/" ? 1 : folder.size() + 1;
  return knobs.token_root.substr(0, knobs.token_root.find('/', begin));
}

std::string OuterPath(const std::string& path, const Knobs& knobs) {
  const std::string& root = knobs.token_root;
  if (root.empty() || !knobs.token_root_is_root || !IsWithin(path, root)) return path;
  return path == root ? "/" : path.substr(root.size());
}

}  // namespace outboxfs::server
