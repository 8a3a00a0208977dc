// The thread that listens to the server's push stream and keeps the directory cache honest.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

#include "remote/backoff.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"

namespace outboxfs::remote {

class PushReader {
 public:
  // Called on the reader's thread, without a lock, after the cache was told. nullptr: changes may
  // have been missed, everything may be different.
  using OnChange = std::function<void(const FsChange*)>;
  struct Pauses {  // between attempts to connect
    Backoff::Duration first{2'000};
    Backoff::Duration most{30'000};
  };

  // Starts the thread. `api` and `cache` must outlive the reader.
  PushReader(NamespaceApi& api, DirCache& cache, OnChange on_change, Pauses pauses);
  PushReader(NamespaceApi& api, DirCache& cache, OnChange on_change);
  // Cancels the stream and joins.
  ~PushReader() = default;
  PushReader(const PushReader&) = delete;
  PushReader& operator=(const PushReader&) = delete;

  // Whether changes made elsewhere are being announced right now. Any thread.
  bool connected() const { return connected_; }

 private:
  void Run(const std::stop_token& stop);
  // False: this server or token will never push.
  bool ListenOnce(const std::stop_token& stop, Backoff& backoff);
  void Apply(const FsChange& change);

  NamespaceApi& api_;
  DirCache& cache_;
  const OnChange on_change_;
  const Pauses pauses_;
  std::atomic<bool> connected_ = false;
  std::jthread thread_;  // last: it uses everything above
};

}  // namespace outboxfs::remote
