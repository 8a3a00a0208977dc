// One inode of the mount: a file or directory that the kernel knows, or that is open.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "cache/item.h"
#include "cache/store.h"
#include "common/mutex.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"

namespace outboxfs::fs {

// How the open handles of a file are served. Belongs to the node and changes only while no handle
// is open: the kernel answers EIO when modes are mixed on an inode.
enum class Mode {
  kClosed,       // no handle
  kPassthrough,  // the kernel reads and writes the backing file itself
  kDaemon,       // through us
};

struct Node;
using NodePtr = std::shared_ptr<Node>;

// What the open handles of one file share.
struct OpenFile {
  int handles = 0;
  int writers = 0;
  Mode mode = Mode::kClosed;
  int backing_id = 0;      // kPassthrough: the kernel's name of the backing file
  cache::ItemId item = 0;  // 0: purely remote
  cache::Attr attr;        // of the item, as last known: an unlinked one has no row any more
  // Pins: the item's bytes stay while a handle is open. Shared, so that I/O goes on outside the
  // lock.
  std::shared_ptr<cache::Pin> read_pin;
  std::shared_ptr<cache::Pin> write_pin;  // while writers > 0
  bool dirty = false;                     // changed through us, or known to be new
  bool partial = false;                   // bytes of it may be missing: all I/O goes through us
  bool made = false;        // staged by the very open that is under way: goes if that fails
  bool exact = true;        // ctime alone tells whether a passthrough writer changed something
  uint64_t begun_size = 0;  // of the backing file when the first writer came
  int64_t begun_ctime_ns = 0;
  int64_t marked_ctime_ns = 0;  // of the last closed mark; 0: none
};

struct Node : std::enable_shared_from_this<Node> {
  Node(cache::Ino number, cache::ItemKind of_kind) : ino(number), kind(of_kind) {}

  const cache::Ino ino;
  const cache::ItemKind kind;
  bool is_dir() const { return kind == cache::ItemKind::kDir; }

  Mutex mu;
  CondVar changed;  // `fetching` became false

  // The remote entry as last seen; empty once an item stands before it.
  std::optional<remote::Entry> entry ABSL_GUARDED_BY(mu);
  OpenFile open ABSL_GUARDED_BY(mu);
  // Somebody fetches missing bytes of its staged copy; whoever else misses some waits.
  bool fetching ABSL_GUARDED_BY(mu) = false;
  // Read-ahead: where the last fetch ended, and how much the next one takes.
  uint64_t fetched_to ABSL_GUARDED_BY(mu) = 0;
  uint64_t next_fetch ABSL_GUARDED_BY(mu) = 0;
  // The remote version of the last open without an item, and the one whose bytes the kernel may
  // have cached.
  cache::Identity version ABSL_GUARDED_BY(mu);
  std::optional<cache::Identity> cached_version ABSL_GUARDED_BY(mu);

  // Its name is gone here, or about to go, but its bytes are read on (fs/holds.cc); 0: no.
  cache::HoldId hold ABSL_GUARDED_BY(mu) = 0;
  // Which end of writing the last one of this file was (Filesystem::closes_).
  uint64_t closed_at ABSL_GUARDED_BY(mu) = 0;
  // The attributes that the kernel was told last.
  cache::Attr described ABSL_GUARDED_BY(mu);

  // Directories: the listing that was last compared with the kernel's knowledge, and the time of
  // the last change of a name inside (0: none since the attributes were set).
  remote::ListingPtr adopted ABSL_GUARDED_BY(mu);
  bool shown_complete ABSL_GUARDED_BY(mu) = false;  // the kernel's cached listing shows `adopted`
  int64_t touched_ns ABSL_GUARDED_BY(mu) = 0;

  // Owned by NodeTable and guarded by its lock; nobody else touches them.
  struct Links {
    NodePtr parent;  // the last one after an unlink
    std::string name;
    bool linked = false;
    uint64_t lookups = 0;
    std::map<std::string, NodePtr, std::less<>> children;
  };
  Links links;
};

}  // namespace outboxfs::fs
