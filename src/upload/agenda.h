// What waits to be started, in which order, and what it waits for: its time, its parent directory,
// or another operation on its remote path. Pure; not thread-safe: the scheduler's.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cache/item.h"
#include "common/clock.h"
#include "upload/uploader.h"

namespace outboxfs::upload {

class Agenda {
 public:
  enum class Lane { kDir, kSmall, kLarge, kClean };
  struct Task {
    cache::ItemId id = 0;
    Lane lane = Lane::kSmall;
    Phase phase = Phase::kQueued;  // why it waits for `due`
    int64_t order = 0;             // the oldest goes first; wall time
    uint64_t size = 0;             // bytes
    std::string path;              // full server path
    std::string begun;             // where an upload of it was begun that is not over; empty: none
    bool awaits_rename = false;    // of its directory, on the server: it is not due before
    SteadyTime due;
  };
  // Which lanes have a place free.
  struct Places {
    bool dir = false;
    bool small = false;
    bool large = false;
    bool clean = false;
  };

  // Replaces an older task of the item.
  void Put(Task task);
  void Drop(cache::ItemId id);
  // Takes the next task that may start, off the agenda and with its path claimed. What was begun
  // goes on at the path where it was begun, and gets its own path too if nobody has it: it is
  // needed only to place it, and two files that swap their names would wait for each other.
  std::optional<cache::ItemId> TakeNext(SteadyTime now, const Places& places);

  // A directory that does not exist remotely yet: everything below waits. Replaces its older path.
  // `parked`: nothing will happen to it without a person.
  void SetMissingDir(cache::ItemId id, const std::string& path, bool parked);
  void ClearMissingDir(cache::ItemId id);

  // One operation per remote path, whatever the case of its letters (name_cases.h). False when
  // another item has it. An item may hold several.
  bool Claim(const std::string& path, cache::ItemId id);
  void ReleaseAll(cache::ItemId id);
  // An item that waits with an upload begun keeps that path and no other; empty: none. `parked`:
  // nothing will happen to it without a person.
  void KeepOnly(cache::ItemId id, const std::string& at, bool parked);
  // 0: nobody.
  cache::ItemId HolderOf(const std::string& path) const;

  // When the next task comes due that waits for its time.
  std::optional<SteadyTime> NextDue() const;
  // Why the task waits, for a person. Empty: only for its time or a place.
  std::string WaitsFor(cache::ItemId id) const;
  const Task* Find(cache::ItemId id) const;
  size_t size() const { return tasks_.size(); }
  // Tasks for which nothing can be done now: held names, and what waits for a parked item; with
  // `renames_stuck` also what waits for renames.
  size_t CountStuck(bool renames_stuck) const;
  template <typename Visit>
  void ForEach(Visit visit) const {
    for (const auto& [id, slot] : tasks_) visit(slot.task);
  }

 private:
  enum class Where { kTimer, kReady, kBlocked };
  struct Slot {
    Task task;
    Where where = Where::kTimer;
    std::string blocked_on;
  };
  using Order = std::pair<int64_t, cache::ItemId>;

  std::set<Order>& ReadyOf(Lane lane) { return ready_[static_cast<size_t>(lane)]; }
  void Unlink(const Slot& slot);
  void MakeReady(Slot& slot);
  void Block(Slot& slot, const std::string& on);
  void Unblock(const std::string& path);
  std::optional<cache::ItemId> FirstReady(const Places& places);
  // The path that stands in the way; empty if none.
  std::string BlockerOf(const Task& task) const;
  bool IsBelowParked(const Task& task) const;
  bool WaitsForParked(const Slot& slot) const;

  std::unordered_map<cache::ItemId, Slot> tasks_;
  std::set<std::pair<SteadyTime, cache::ItemId>> timers_;
  std::array<std::set<Order>, 4> ready_;  // by lane
  std::multimap<std::string, cache::ItemId> blocked_;
  std::unordered_map<std::string, cache::ItemId> claims_;  // by folded path
  std::unordered_map<cache::ItemId, std::vector<std::string>> claims_of_;
  std::set<cache::ItemId> parked_holders_;
  struct MissingDir {
    cache::ItemId id = 0;
    bool parked = false;
  };
  std::unordered_map<std::string, MissingDir> missing_;
  std::unordered_map<cache::ItemId, std::string> missing_of_;
};

}  // namespace outboxfs::upload
