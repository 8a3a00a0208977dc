// Fetches what is still missing of files that were changed in place, after their last close, so
// that they can be uploaded whole. A thread of its own: nobody waits for it.
#pragma once

#include <map>
#include <thread>

#include "cache/store.h"
#include "common/clock.h"
#include "fs/rooms.h"

namespace outboxfs::fs {

// Bytes of one version of a remote file into its staged copy. `gap` may be large. ESTALE: a fresh
// listing shows another version; nothing was fetched.
Status FetchMissing(const Rooms& rooms, const std::string& server_path, const cache::Pin& pin,
                    const cache::Item& item, const ByteRange& gap, const std::stop_token& stop);

class Hydrator {
 public:
  // `rooms` and what it refers to must outlive it.
  Hydrator(const Rooms& rooms, std::string remote_folder);
  ~Hydrator();
  Hydrator(const Hydrator&) = delete;
  Hydrator& operator=(const Hydrator&) = delete;
  // Returns at once; what is under way goes on after the next start.
  void Stop() { thread_.request_stop(); }

 private:
  struct Task {
    SteadyTime not_before;
    int failures = 0;
  };
  void Run(const std::stop_token& stop);
  void Note(cache::ItemId id);
  SteadyTime NextWake() const;
  void Work(cache::ItemId id, Task& task, const std::stop_token& stop);
  Status Complete(const cache::Item& item, const std::stop_token& stop);
  Status CheckVersion(const cache::Item& item, const std::stop_token& stop);
  std::string ServerPathOf(const std::string& path) const;

  const Rooms& rooms_;
  const std::string remote_folder_;
  const std::unique_ptr<cache::Feed::Reader> feed_;
  std::map<cache::ItemId, Task> tasks_;  // the thread's own
  std::jthread thread_;
};

}  // namespace outboxfs::fs
