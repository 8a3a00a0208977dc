// Pure functions on full server paths ("/" separated, no trailing slash, "/" alone is the root).
#pragma once

#include <string>
#include <string_view>

#include "remote/temp_names.h"

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

// Where a result stands if a directory above it was renamed with it inside: in that of `target`,
// the item's path by now (empty: it has none), under its own name already or under its temporary
// one. Empty: nowhere else.
std::string NewPlace(const std::string& uploaded_to, const std::string& target);

using remote::DeviceTag;
using remote::IsTempName;
using remote::TempName;

}  // namespace outboxfs::upload
