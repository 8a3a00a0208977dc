#include "upload/paths.h"

#include <spdlog/fmt/fmt.h>

namespace outboxfs::upload {

std::string ParentOf(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

std::string NameOf(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

std::string JoinPath(std::string_view dir, std::string_view name) {
  return dir == "/" ? fmt::format("/{}", name) : fmt::format("{}/{}", dir, name);
}

std::string ToServerPath(std::string_view remote_folder, std::string_view mount_path) {
  if (remote_folder == "/") return std::string(mount_path);
  if (mount_path == "/") return std::string(remote_folder);
  return fmt::format("{}{}", remote_folder, mount_path);
}

std::string ToMountPath(std::string_view remote_folder, std::string_view server_path) {
  if (remote_folder == "/") return std::string(server_path);
  if (server_path == remote_folder) return "/";
  if (!server_path.starts_with(remote_folder)) return "";
  const std::string_view rest = server_path.substr(remote_folder.size());
  return rest.starts_with('/') ? std::string(rest) : std::string();
}

std::string NewPlace(const std::string& uploaded_to, const std::string& target) {
  if (target.empty()) return "";
  const std::string name = NameOf(uploaded_to);
  const std::string dir = ParentOf(target);
  if (dir == ParentOf(uploaded_to)) return "";
  if (name != NameOf(target) && !IsTempName(name)) return "";
  return JoinPath(dir, name);
}

}  // namespace outboxfs::upload
