// What the server remembers about the content of its files: their hashes, kept in an extended
// attribute of the file (in memory where the file system has none), valid while size and
// modification time stay the same; and an index from hash to file for rapid uploads.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "common/mutex.h"
#include "common/result.h"

struct stat;

namespace outboxfs::server {

// Hash type number -> hex text.
using Hashes = std::map<uint32_t, std::string>;

// Thread-safe. Paths here are paths of the local file system.
class HashMemory {
 public:
  explicit HashMemory(std::string directory) : directory_(std::move(directory)) {}

  // Called on the finished file before it gets its name.
  void Remember(int fd, const Hashes& hashes);
  // Empty when nothing is known, or the file was changed since.
  Hashes Recall(const std::string& local_path, const struct stat& st) const;

  // From now on content with these hashes is known to be at `local_path`.
  void Index(const std::string& local_path, uint64_t size, const Hashes& hashes);
  // A file whose remembered hashes and size are those asked for: every given hash that it knows
  // must be equal, and one at least. Walks the directory once, at the first call.
  std::optional<std::string> Find(uint64_t size, const Hashes& hashes);

 private:
  void WalkOnce() ABSL_LOCKS_EXCLUDED(mu_);

  const std::string directory_;
  mutable Mutex mu_;
  bool walked_ ABSL_GUARDED_BY(mu_) = false;
  // "type size hash" -> path
  std::unordered_map<std::string, std::string> index_ ABSL_GUARDED_BY(mu_);
  // inode number -> record, for file systems without extended attributes
  std::unordered_map<uint64_t, std::string> fallback_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::server
