#include "server/path.h"

#include <algorithm>
#include <cerrno>

namespace outboxfs::server {

Status CheckName(std::string_view name) {
  const bool bad = name.empty() || name == "." || name == ".." || name.size() > 255 ||
                   name.find('/') != std::string_view::npos ||
                   name.find('\0') != std::string_view::npos;
  if (bad) return Fail(EINVAL, "invalid name");
  return {};
}

Result<std::string> NormalizePath(std::string_view path) {
  std::string clean;
  while (!path.empty()) {
    const size_t slash = std::min(path.find('/'), path.size());
    const std::string_view name = path.substr(0, slash);
    path.remove_prefix(std::min(slash + 1, path.size()));
    if (name.empty()) continue;
    if (Status ok = CheckName(name); !ok) return Fail(ok.error());
    if (clean.empty() && name == kPrivateFolder) return Fail(EINVAL, "reserved name");
    clean += '/';
    clean += name;
  }
  return clean.empty() ? "/" : clean;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

std::string JoinPath(const std::string& parent, std::string_view name) {
  return (parent == "/" ? "" : parent) + "/" + std::string(name);
}

bool IsWithin(const std::string& path, const std::string& folder) {
  return folder == "/" || path == folder || path.starts_with(folder + "/");
}

std::string NumberedName(const std::string& path, int number) {
  const std::string name = NameOf(path);
  const size_t dot = name.rfind('.');
  const size_t stem = dot == 0 || dot == std::string::npos ? name.size() : dot;
  return JoinPath(ParentOf(path),
                  name.substr(0, stem) + "(" + std::to_string(number) + ")" + name.substr(stem));
}

}  // namespace outboxfs::server
