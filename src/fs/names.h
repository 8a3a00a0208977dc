// Names and paths as this room needs them: what the kernel may name, and how mount paths and server
// paths belong together. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "common/result.h"
#include "remote/temp_names.h"

namespace outboxfs::fs {

// A single name from the kernel. ENAMETOOLONG above 255 bytes; EILSEQ when it is not UTF-8 (gRPC's
// strings must be); EINVAL when empty, "." or "..".
Status CheckName(std::string_view name);

// The temporary names of uploads and renames: never shown, never made by a caller.
using remote::IsTempName;

// The file that keeps a symlink (--links), named as rclone names it: "x" <-> "x.rclonelink".
bool IsLinkName(std::string_view name);
std::string LinkName(std::string_view name);
std::string PlainName(std::string_view link_name);  // REQUIRES: IsLinkName

// "/" + "a" -> "/a", "/a" + "b" -> "/a/b".
std::string JoinPath(std::string_view dir, std::string_view name);
// The full server path of a mount path, under the folder that the mount's root stands for.
std::string ServerPath(std::string_view remote_folder, std::string_view mount_path);
// The other way; nullopt when the server path is outside the folder.
std::optional<std::string> MountPath(std::string_view remote_folder, std::string_view server_path);

}  // namespace outboxfs::fs
