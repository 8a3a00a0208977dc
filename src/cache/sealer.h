// Makes closed files durable and takes their checksums, off the close path (docs/ARCHITECTURE.md,
// "Closing and sealing"). Two lanes with a thread each: small files go in groups that share one
// journal transaction and one barrier, large files one by one. A file that somebody still writes to
// is tried again, with growing pauses, for as long as it is wanted.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/block_sums.h"
#include "cache/row.h"
#include "common/clock.h"
#include "common/disk.h"
#include "common/mutex.h"

namespace outboxfs::cache {

inline constexpr uint64_t kLargeFile = 64ULL * 1024 * 1024;

// One file to be sealed. `epoch` tells one closing of the file from the next.
struct SealJob {
  ItemId id = 0;
  uint64_t epoch = 0;
  std::string path;  // of the backing file
};

struct SealResult {
  ItemId id = 0;
  uint64_t epoch = 0;
  Mark mark;
  uint64_t disk_bytes = 0;
  BlockSums sums;
};

// What the sealer needs of its owner. Called from the lanes, without a lock of the sealer.
class SealHost {
 public:
  virtual ~SealHost() = default;
  // nullopt: the item is not to be sealed any more.
  virtual std::optional<SealJob> BeginSeal(ItemId id) = 0;
  // The bytes of a large file are durable, its checksums still to be taken.
  virtual void NoteDurable(const SealJob& job, const Mark& mark) = 0;
  // Journals all, skipping those whose epoch is over; then the barrier. On an error the sealer
  // tries again, by BeginSeal, which knows what was done.
  virtual Status CommitSeals(std::vector<SealResult> results) = 0;
  // Not now, for this reason; it will be tried again, unless `why` says that it needs a person.
  virtual void DelaySeal(const SealJob& job, const Error& why) = 0;
};

class Sealer {
 public:
  // `host` must outlive the Sealer.
  explicit Sealer(SealHost& host) : host_(host) {}
  ~Sealer() { Stop(); }
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  void Start();
  // Joins the lanes; what is not sealed stays for the next start.
  void Stop();

  // Thread-safe; never waits. `size` chooses the lane.
  void Enqueue(ItemId id, uint64_t size);

 private:
  struct Delayed {
    ItemId id = 0;
    std::chrono::milliseconds pause{0};
  };
  struct Lane {
    Mutex mu;
    CondVar changed;
    std::deque<Delayed> ready ABSL_GUARDED_BY(mu);  // pause: what the next delay grows from
    std::multimap<SteadyTime, Delayed> later ABSL_GUARDED_BY(mu);
    SteadyTime last_group ABSL_GUARDED_BY(mu);  // when it was taken
    std::jthread thread;
  };
  // A file on its way through the steps of a seal.
  struct Work {
    SealJob job;
    Delayed queued;
    FileDescriptor fd;
    std::optional<Error> failed;
    SealResult result;
  };

  static bool IsTime(const Lane& lane, size_t group, SteadyTime now)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(lane.mu);
  void Run(Lane& lane, size_t group, const std::stop_token& stop);
  std::vector<Delayed> TakeGroup(Lane& lane, size_t group, const std::stop_token& stop);
  std::vector<Work> Begin(const std::vector<Delayed>& group);
  void SealGroup(Lane& lane, std::vector<Work> group, const std::stop_token& stop);
  void Delay(Lane& lane, const Work& work);

  SealHost& host_;
  Lane small_;
  Lane large_;
};

}  // namespace outboxfs::cache
