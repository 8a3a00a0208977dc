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
  explicit VerifyBoard(std::chrono::nanoseconds interval) : interval_(interval) {}

  void Add(const std::string& dir, RunKey key, SteadyTime not_before);
  struct Batch {
    std::string dir;
    std::vector<RunKey> keys;
  };
  // The directories to list now; each is out until Done.
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

  const std::chrono::nanoseconds interval_;
  std::map<std::string, Directory> directories_;
};

}  // namespace outboxfs::upload
