// Mount paths as text: "/" separated, absolute, normalised; "/" is the root. Pure.
#pragma once

#include <string>
#include <string_view>

namespace outboxfs::cache {

// True for "/" and for "/a/b" without empty, "." or ".." parts and without NUL.
bool IsNormalPath(std::string_view path);
// "/a/b" -> "/a", "/a" -> "/", "/" -> "".
std::string_view ParentOf(std::string_view path);
// "/a/b" -> "b", "/" -> "".
std::string_view NameOf(std::string_view path);

// Everything beneath `dir` (and nothing else but, for the root, the root itself) sorts into
// [BeneathBegin, BeneathEnd), because '0' follows '/' in the byte order.
std::string BeneathBegin(std::string_view dir);
std::string BeneathEnd(std::string_view dir);

}  // namespace outboxfs::cache
