// Server paths: absolute, "/"-separated UTF-8, "/" is the root. Normalised: no empty, "." or ".."
// component, no NUL, no trailing slash.
#pragma once

#include <string>
#include <string_view>

#include "common/result.h"

namespace outboxfs::server {

// The folder below the served directory that holds the server's own files; never listed.
inline constexpr std::string_view kPrivateFolder = ".outboxfs-server";

// EINVAL for a path that cannot name anything. Accepts doubled and trailing slashes.
Result<std::string> NormalizePath(std::string_view path);
// EINVAL unless `name` can be one entry of a folder.
Status CheckName(std::string_view name);
// Of a normalised path; the root is its own parent and has an empty name.
std::string ParentOf(const std::string& path);
std::string NameOf(const std::string& path);
std::string JoinPath(const std::string& parent, std::string_view name);
// Whether `path` is `folder` or lies below it.
bool IsWithin(const std::string& path, const std::string& folder);
// "/a/b(1).txt" for number 1 of "/a/b.txt".
std::string NumberedName(const std::string& path, int number);

}  // namespace outboxfs::server
