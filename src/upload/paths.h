// Pure functions on full server paths ("/" separated, no trailing slash, "/" alone is the root).
#pragma once

#include <string>
#include <string_view>

#include "cache/item.h"

namespace outboxfs::upload {

// "/a/b" -> "/a"; "/a" and "/" -> "/".
std::string ParentOf(std::string_view path);
// "/a/b" -> "b"; "/" -> "".
std::string NameOf(std::string_view path);
std::string JoinPath(std::string_view dir, std::string_view name);
// The full server path of a mount path, in a mount whose root is `remote_folder`.
std::string ToServerPath(std::string_view remote_folder, std::string_view mount_path);
// The way back; empty when `server_path` is not below `remote_folder`.
std::string ToMountPath(std::string_view remote_folder, std::string_view server_path);

// Eight hex digits that stand for this device in temporary names.
std::string DeviceTag(std::string_view device_id);
// ".obx-<device tag>-<8 hex of item>" and the last extension of `name` if both fit into 40 bytes
// (HARD-CASES 19). The same item has the same temporary name for ever, so what a crash leaves is
// found again.
std::string TempName(std::string_view device_tag, cache::ItemId item, std::string_view name);
bool IsTempName(std::string_view name);

}  // namespace outboxfs::upload
