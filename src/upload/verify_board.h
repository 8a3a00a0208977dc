// Which finished uploads wait for which directory's listing, and when it may be asked for: at once
// the first time, then at growing intervals while files keep finishing there. One listing serves
// all that wait. Pure; not thread-safe: the scheduler's.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "common/clock.h"
#include "upload/source.h"

namespace outboxfs::upload {

class VerifyBoard {
 public:
  // `interval`: of one directory, once files keep finishing there. `gap`: between any two listings.
  explicit VerifyBoard(std::chrono::nanoseconds interval, std::chrono::nanoseconds gap = {})
      : interval_(interval), gap_(gap) {}

  void Add(const std::string& dir, RunKey key, SteadyTime not_before);
  struct Batch {
    std::string dir;
    std::vector<RunKey> keys;
  };
  // The directories to list now, those that waited longest first; each is out until Done.
  std::vector<Batch> TakeDue(SteadyTime now);
  // The listing took this long: a slow directory is listed more rarely.
  void Done(const std::string& dir, std::chrono::nanoseconds took);
  // When TakeDue is worth calling again.
  std::optional<SteadyTime> NextDue() const;

 private:
  struct Directory {
    std::map<RunKey, SteadyTime> waiting;
    SteadyTime earliest = SteadyTime::max();  // of them
    bool out = false;
    SteadyTime begun;                       // of the last listing
    std::chrono::nanoseconds gap{0};        // until the next one
    std::optional<SteadyTime> Due() const;  // nullopt: nothing waits, or it is out
  };

  Batch Take(const std::string& name, Directory& dir, SteadyTime now) const;

  const std::chrono::nanoseconds interval_;
  const std::chrono::nanoseconds gap_;
  SteadyTime next_;  // no listing before
  std::map<std::string, Directory> directories_;
};

}  // namespace outboxfs::upload
