#include "fs/names.h"

#include <spdlog/fmt/fmt.h>
#include <xxhash.h>

#include <algorithm>
#include <cctype>
#include <cerrno>

#include "remote/utf8.h"

namespace outboxfs::fs {
namespace {

constexpr size_t kMaxNameBytes = 255;
constexpr size_t kMaxExtensionBytes = 40;
constexpr std::string_view kHiddenPrefix = ".obx-";
constexpr size_t kHexDigits = 8;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isxdigit(c) != 0; });
}

}  // namespace

Status CheckName(std::string_view name) {
  if (name.empty() || name == "." || name == "..") return FailErrno(EINVAL, "name");
  if (name.size() > kMaxNameBytes) return FailErrno(ENAMETOOLONG, "name");
  if (!remote::IsUtf8(name)) return Fail(EILSEQ, "name is not UTF-8");
  return {};
}

bool IsHiddenName(std::string_view name) {
  constexpr size_t kDevice = kHiddenPrefix.size();
  constexpr size_t kNumber = kDevice + kHexDigits + 1;
  constexpr size_t kEnd = kNumber + kHexDigits;
  return name.size() >= kEnd && name.starts_with(kHiddenPrefix) &&
         IsHex(name.substr(kDevice, kHexDigits)) && name[kNumber - 1] == '-' &&
         IsHex(name.substr(kNumber, kHexDigits)) && (name.size() == kEnd || name[kEnd] == '.');
}

std::string HiddenName(std::string_view device_id, uint64_t number, std::string_view like) {
  const auto device = static_cast<uint32_t>(XXH3_64bits(device_id.data(), device_id.size()));
  const size_t dot = like.rfind('.');
  std::string_view extension;
  if (dot != std::string_view::npos && dot != 0) extension = like.substr(dot);
  if (extension.size() > kMaxExtensionBytes) extension = {};
  return fmt::format("{}{:08x}-{:08x}{}", kHiddenPrefix, device, static_cast<uint32_t>(number),
                     extension);
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
