#include "upload/paths.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <cstdint>

namespace outboxfs::upload {
namespace {

constexpr std::string_view kTempPrefix = ".obx-";
constexpr size_t kTagDigits = 8;
constexpr size_t kMaxTempName = 40;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string_view ExtensionOf(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view() : name.substr(dot);
}

}  // namespace

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

std::string DeviceTag(std::string_view device_id) {
  const std::string_view head = device_id.substr(0, kTagDigits);
  if (head.size() == kTagDigits && IsHex(head)) return std::string(head);
  uint32_t hash = 2166136261U;  // FNV-1a: any stable spread over 32 bits will do
  for (const char c : device_id) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return fmt::format("{:08x}", hash);
}

std::string TempName(std::string_view device_tag, cache::ItemId item, std::string_view name) {
  std::string temp =
      fmt::format("{}{}-{:08x}", kTempPrefix, device_tag, static_cast<uint32_t>(item));
  const std::string_view extension = ExtensionOf(name);
  if (temp.size() + extension.size() <= kMaxTempName) temp += extension;
  return temp;
}

bool IsTempName(std::string_view name) {
  if (!name.starts_with(kTempPrefix)) return false;
  const std::string_view rest = name.substr(kTempPrefix.size());
  return rest.size() >= 2 * kTagDigits + 1 && IsHex(rest.substr(0, kTagDigits)) &&
         rest[kTagDigits] == '-' && IsHex(rest.substr(kTagDigits + 1, kTagDigits)) &&
         (rest.size() == 2 * kTagDigits + 1 || rest[2 * kTagDigits + 1] == '.');
}

}  // namespace outboxfs::upload
