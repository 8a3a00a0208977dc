// Every path under the cache directory, made and parsed here only:
//   lock            flock of the owning daemon, holds its pid and mountpoint
//   journal.db      SQLite (with -wal and -shm)
//   ballast         room that is held back for the journal (ballast.h)
//   staged/xx/<id>  backing files; id in 16 hex digits, xx = bits 8..15 of it, so that files made
//                   one after the other share a directory and one directory sync serves many
//   lost+found/     backing files that the journal does not know
//   read/           bytes of remote files that were read (read_cache.h); emptied at the start
// Pure but for MakeDirectories.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cache/item.h"
#include "common/result.h"

namespace outboxfs::cache {

inline constexpr unsigned kStagedDirs = 256;

class Layout {
 public:
  explicit Layout(std::string directory) : directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }
  std::string Lock() const { return directory_ + "/lock"; }
  std::string Journal() const { return directory_ + "/journal.db"; }
  std::string Wal() const { return Journal() + "-wal"; }
  std::string Ballast() const { return directory_ + "/ballast"; }
  std::string Staged() const { return directory_ + "/staged"; }
  std::string StagedDir(unsigned index) const;
  std::string StagedFile(ItemId id) const;
  static unsigned DirIndexOf(ItemId id) { return static_cast<unsigned>(id >> 8) % kStagedDirs; }
  std::string LostFound() const { return directory_ + "/lost+found"; }
  std::string Read() const { return directory_ + "/read"; }

  // The id of the file `name` in staged directory `index`; nullopt: not a name that we made.
  static std::optional<ItemId> ParseStaged(unsigned index, std::string_view name);

  // All but the 256 staged directories, which are made when they are needed.
  Status MakeDirectories() const;

 private:
  const std::string directory_;
};

}  // namespace outboxfs::cache
