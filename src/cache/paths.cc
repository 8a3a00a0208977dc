#include "cache/paths.h"

namespace outboxfs::cache {

bool IsNormalPath(std::string_view path) {
  if (path.empty() || path[0] != '/' || path.find('\0') != std::string_view::npos) return false;
  if (path.size() == 1) return true;
  for (size_t begin = 1; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return path.back() != '/';
}

std::string_view ParentOf(std::string_view path) {
  if (path == "/") return "";
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return "";
  return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

std::string_view NameOf(std::string_view path) { return path.substr(path.rfind('/') + 1); }

std::string BeneathBegin(std::string_view dir) {
  return dir == "/" ? std::string("/") : std::string(dir) + "/";
}

std::string BeneathEnd(std::string_view dir) {
  return dir == "/" ? std::string("0") : std::string(dir) + "0";
}

}  // namespace outboxfs::cache
