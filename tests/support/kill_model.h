// What a mount has to show after its daemon was killed: everything that was acknowledged, and of
// the one call that was not, all of it or nothing (of a write: also its beginning).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

namespace outboxfs::test {

struct ModelFile {
  std::shared_ptr<const std::string> bytes;
  bool closed = true;               // its last close() has returned
  std::optional<int64_t> mtime_ns;  // of the last utimensat() that nothing has changed since
};

// A tree, by paths without a slash at the beginning. Cheap to copy: contents are shared.
struct Model {
  std::map<std::string, ModelFile> files;
  std::set<std::string> dirs;

  bool IsEmptyDir(const std::string& path) const {
    const std::string inside = path + "/";
    const auto file = files.lower_bound(inside);
    const auto dir = dirs.lower_bound(inside);
    return (file == files.end() || !file->first.starts_with(inside)) &&
           (dir == dirs.end() || !dir->starts_with(inside));
  }
  // As rename(2): what is at `to` is replaced.
  void Rename(const std::string& from, const std::string& to) {
    if (const auto file = files.find(from); file != files.end()) {
      ModelFile moved = file->second;
      files.erase(file);
      files[to] = std::move(moved);
      return;
    }
    std::map<std::string, ModelFile> new_files;
    std::set<std::string> new_dirs;
    const auto renamed = [&](const std::string& path) {
      const bool inside = path == from || path.starts_with(from + "/");
      return inside ? to + path.substr(from.size()) : path;
    };
    for (const auto& [path, file] : files) new_files[renamed(path)] = file;
    for (const auto& path : dirs) new_dirs.insert(renamed(path));
    files = std::move(new_files);
    dirs = std::move(new_dirs);
  }
};

// Whether `found` is `before` with a beginning of what makes it `after`.
inline bool IsOnTheWay(const std::string& found, const std::string& before,
                       const std::string& after) {
  size_t same = 0;
  while (same < found.size() && same < after.size() && found[same] == after[same]) ++same;
  if (same == found.size() && same >= before.size()) return true;
  return found.size() == before.size() && found.compare(same, found.npos, before, same) == 0;
}

}  // namespace outboxfs::test
