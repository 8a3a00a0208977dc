// The thread for what nobody should wait for: empty backing files made ahead of their use, the
// removal of those that are done with, and a tick for upkeep. Thread-safe.
//
// Small backing files are emptied and used again instead of being removed and made: a file system
// slows down very much where thousands of files come and go each second (ext4 does not give an
// inode out again for five seconds, and looks at each of them).
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "cache/dirty_dirs.h"
#include "cache/layout.h"
#include "cache/row.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace outboxfs::cache {

// The bytes of an uploaded file, which are worth keeping for a while.
struct Keepsake {
  std::string path;
  Identity version;
  Mark seal;
};

// What the keeper needs of its owner. Called from its thread (ReserveIds from others too), without
// a lock of the keeper.
class KeeperHost {
 public:
  virtual ~KeeperHost() = default;
  // The first of `count` ids that are given out to nobody else.
  virtual Result<ItemId> ReserveIds(unsigned count) = 0;
  // Every journal commit so far is durable.
  virtual Status Barrier() = 0;
  // The backing files of these ids are no more.
  virtual void BytesRemoved(const std::vector<ItemId>& ids) = 0;
  // Takes over the backing file of `id`; false: it is removed.
  virtual bool Keep(ItemId id, const Keepsake& keepsake) = 0;
  // About every two seconds.
  virtual void Tick() = 0;
};

class Keeper {
 public:
  // A backing file that is done with.
  struct Doomed {
    ItemId id = 0;
    uint64_t disk_bytes = 0;
    bool reusable = false;                               // nobody can be about to open it
    std::shared_ptr<const Keepsake> keepsake = nullptr;  // null: to be removed
  };

  // All must outlive the Keeper.
  Keeper(const Layout& layout, DirtyDirs& dirty, KeeperHost& host)
      : layout_(layout), dirty_(dirty), host_(host) {}
  ~Keeper() { Stop(); }
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;
  void Start();
  // Joins the thread, finishes the removals and removes the unused backing files.
  void Stop();

  // An id with an empty backing file; one made ahead, or made now.
  Result<ItemId> TakeBackingFile() ABSL_LOCKS_EXCLUDED(mu_);
  // For an id from TakeBackingFile that was not used after all.
  void GiveBack(ItemId id) ABSL_LOCKS_EXCLUDED(mu_);
  // Removes backing files whose rows are deleted, as soon as that deletion is durable: a row must
  // not come back after a power cut and miss its bytes.
  void RemoveSoon(const std::vector<Doomed>& doomed) ABSL_LOCKS_EXCLUDED(mu_);
  // Disk space of what is still to be removed.
  uint64_t bytes_to_remove() const ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(const std::stop_token& stop);
  void WaitForWork(const std::stop_token& stop, SteadyTime deadline) ABSL_LOCKS_EXCLUDED(mu_);
  void Refill() ABSL_LOCKS_EXCLUDED(mu_);
  void RemoveDoomed() ABSL_LOCKS_EXCLUDED(mu_);
  Status Dispose(const Doomed& doomed);
  bool UseAgain(const Doomed& doomed) ABSL_LOCKS_EXCLUDED(mu_);
  void Rest() ABSL_LOCKS_EXCLUDED(mu_);
  Status MakeBackingFile(ItemId id);
  Status MakeDirOf(ItemId id);
  size_t Wanted() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return ahead_.size() < target_ ? target_ - ahead_.size() : 0;
  }

  const Layout& layout_;
  DirtyDirs& dirty_;
  KeeperHost& host_;

  mutable Mutex mu_;
  CondVar wake_;
  std::deque<ItemId> ahead_ ABSL_GUARDED_BY(mu_);
  size_t target_ ABSL_GUARDED_BY(mu_) = 0;   // how many to keep ahead; 0 while nobody creates
  bool taken_ ABSL_GUARDED_BY(mu_) = false;  // since the last tick
  bool removing_fails_ ABSL_GUARDED_BY(mu_) = false;  // wait for the tick before the next attempt
  std::vector<Doomed> doomed_ ABSL_GUARDED_BY(mu_);
  uint64_t bytes_to_remove_ ABSL_GUARDED_BY(mu_) = 0;
  std::jthread thread_;
};

}  // namespace outboxfs::cache
