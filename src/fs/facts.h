// What a name stands for, put together from the overlay, the remote listing and the attribute
// memory: staged wins, and what the remote cannot keep comes from the memory. Pure.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "cache/item.h"
#include "cache/store.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"

namespace outboxfs::fs {

// Owner and modes of entries for which nobody knows better.
struct Defaults {
  uid_t uid = 0;
  gid_t gid = 0;
  mode_t dir_mode = 0755;
  mode_t file_mode = 0644;
};

struct Facts {
  cache::ItemKind kind = cache::ItemKind::kFile;
  cache::Ino ino = 0;  // 0: purely remote, has none yet
  cache::Attr attr;
  uint64_t size = 0;        // bytes
  bool is_link = false;     // a file that is shown as a symbolic link
  bool remembered = false;  // staged, or the attribute memory is of this version
  uint64_t as_of = 0;       // how many ends of writing it is not older than (Filesystem::closes_)
  bool is_dir() const { return kind == cache::ItemKind::kDir; }
};

cache::Identity IdentityOf(const remote::Entry& entry);

// nullopt: there is no such name. `entry` and `memory` may be null; `memory` is what Recall knows
// of the path.
std::optional<Facts> FactsOf(const Defaults& defaults, const cache::Overlay& overlay,
                             const remote::Entry* entry, const cache::Memory* memory);

// One name of a directory. `entry` is the remote's, if nothing here stands before it.
struct NamedFacts {
  std::string name;
  Facts facts;
  std::optional<remote::Entry> entry;
};
// The union of a listing (null: none) and the overlay, sorted by name; hidden names are left out,
// and of several remote entries with one name the first counts.
std::vector<NamedFacts> MergeDirectory(const Defaults& defaults, const remote::Listing* listing,
                                       const std::vector<cache::OverlayEntry>& overlays,
                                       const std::vector<cache::Memory>& memories);

struct stat ToStat(const Facts& facts);

}  // namespace outboxfs::fs
