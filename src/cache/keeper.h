// The thread for what nobody should wait for: empty backing files made ahead of their use, the
// removal of large ones, and a tick for upkeep. Thread-safe.
#pragma once

#include <deque>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "cache/dirty_dirs.h"
#include "cache/layout.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace outboxfs::cache {

class Keeper {
 public:
  // The first of `count` ids that are given out to nobody else. Called without a lock of ours.
  using ReserveIds = std::function<Result<ItemId>(unsigned count)>;

  // `layout` and `dirty` must outlive the Keeper. `tick` runs about every two seconds.
  Keeper(const Layout& layout, DirtyDirs& dirty, ReserveIds reserve, std::function<void()> tick);
  ~Keeper();
  void Start();
  // Joins the thread, finishes the removals and removes the unused backing files.
  void Stop();

  // An id with an empty backing file; one made ahead, or made now.
  Result<ItemId> TakeBackingFile() ABSL_LOCKS_EXCLUDED(mu_);
  // For an id from TakeBackingFile that was not used after all.
  void GiveBack(ItemId id) ABSL_LOCKS_EXCLUDED(mu_);
  // Removes the backing file of `id` soon.
  void RemoveLater(ItemId id) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  void Run(const std::stop_token& stop);
  void Refill(unsigned count);
  void RemoveAll(std::vector<ItemId> ids);
  Status MakeBackingFile(ItemId id);

  const Layout& layout_;
  DirtyDirs& dirty_;
  const ReserveIds reserve_;
  const std::function<void()> tick_;

  Mutex mu_;
  CondVar wake_;
  std::deque<ItemId> ahead_ ABSL_GUARDED_BY(mu_);
  unsigned target_ ABSL_GUARDED_BY(mu_) = 0;  // how many to keep ahead; 0 while nobody creates
  bool taken_ ABSL_GUARDED_BY(mu_) = false;   // since the last tick
  std::vector<ItemId> to_remove_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

}  // namespace outboxfs::cache
