#include "fs/names.h"

#include <cerrno>

#include "remote/utf8.h"

namespace outboxfs::fs {
namespace {

constexpr size_t kMaxNameBytes = 255;
constexpr std::string_view kLinkSuffix = ".rclonelink";

}  // namespace

Status CheckName(std::string_view name) {
  if (name.empty() || name == "." || name == "..") return FailErrno(EINVAL, "name");
  if (name.size() > kMaxNameBytes) return FailErrno(ENAMETOOLONG, "name");
  if (!remote::IsUtf8(name)) return Fail(EILSEQ, "name is not UTF-8");
  return {};
}

bool IsLinkName(std::string_view name) {
  return name.size() > kLinkSuffix.size() && name.ends_with(kLinkSuffix);
}

std::string LinkName(std::string_view name) { return std::string(name).append(kLinkSuffix); }

std::string PlainName(std::string_view link_name) {
  link_name.remove_suffix(kLinkSuffix.size());
  return std::string(link_name);
}

std::string JoinPath(std::string_view dir, std::string_view name) {
  std::string path(dir == "/" ? "" : dir);
  path += '/';
  path += name;
  return path;
}

std::string ServerPath(std::string_view remote_folder, std::string_view mount_path) {
  if (remote_folder == "/") return std::string(mount_path);
  std::string path(remote_folder);
  if (mount_path != "/") path += mount_path;
  return path;
}

std::optional<std::string> MountPath(std::string_view remote_folder, std::string_view server_path) {
  if (remote_folder == "/") return std::string(server_path);
  if (server_path == remote_folder) return "/";
  if (!server_path.starts_with(remote_folder) || server_path[remote_folder.size()] != '/') {
    return std::nullopt;
  }
  return std::string(server_path.substr(remote_folder.size()));
}

}  // namespace outboxfs::fs
