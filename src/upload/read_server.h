// Answers the server's read requests: a small pool takes pieces of at most 1 MiB from all uploads
// in turn, so that a huge file does not starve small ones, reads them from the sealed bytes and
// sends them, within a window of bytes (docs/PROTOCOL.md, rules 4 and 5).
//
// Thread-safe. Locks: one leaf; nothing is called under it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "cache/store.h"
#include "common/clock.h"
#include "common/permits.h"
#include "remote/upload_api.h"
#include "upload/rate.h"
#include "upload/source.h"

namespace outboxfs::upload {

struct ReadServerOptions {
  size_t threads = 4;
  uint64_t window = 16 << 20;      // bytes; a piece counts twice until its call ends
  uint64_t bwlimit = 0;            // bytes per second, 0 = none
  size_t max_outstanding = 65536;  // requests of one upload
  std::chrono::nanoseconds backoff_first = std::chrono::milliseconds(250);
  std::chrono::nanoseconds backoff_max = std::chrono::seconds(15);
};

class ReadServer {
 public:
  // References must outlive it.
  ReadServer(remote::UploadApi& api, cache::Store& store, const Clock& clock,
             ReadServerOptions options, ServeSink& sink);
  ~ReadServer();
  ReadServer(const ReadServer&) = delete;
  ReadServer& operator=(const ReadServer&) = delete;

  void Open(Source source);
  // Drops what is queued and ends running calls. Unknown keys are ignored.
  void Close(RunKey key);
  // After success: drops what is queued, but lets running calls end, for their acknowledgements are
  // part of the proof (the server's Finish overtakes its last replies). True when none is running;
  // else OnIdle follows.
  bool CloseGently(RunKey key);

  enum class Admission { kQueued, kDuplicate, kPastEnd, kTooMany, kClosed };
  Admission Add(RunKey key, const remote::ReadRequest& request);

  struct Progress {
    uint64_t served = 0;  // bytes acknowledged, repeats included
    bool busy = false;    // requests are waiting for an answer
    bool unsure = false;  // at success: bytes whose call failed, and that are not counted
  };
  Progress ProgressOf(RunKey key) const;
  uint64_t bytes_acknowledged() const { return bytes_acknowledged_; }

 private:
  struct Lane;
  struct Piece;
  struct Lanes;

  void Run(const std::stop_token& stop);
  // One piece of one upload; false on stop.
  bool Next(const std::stop_token& stop, std::shared_ptr<Lane>& lane, Piece& piece);
  // `trouble` is set when the bytes could not be read.
  Status Serve(Lane& lane, const Piece& piece, std::vector<std::byte>& buffer,
               std::optional<Trouble>& trouble);
  Status WaitForRate(const Lane& lane, uint64_t bytes);
  void Finish(const std::shared_ptr<Lane>& lane, Piece piece, const Status& outcome,
              std::optional<Trouble> trouble);
  void Leave(Lane& lane);
  void CountServed(Lane& lane, const ByteRange& range);

  remote::UploadApi& api_;
  cache::Store& store_;
  const Clock& clock_;
  const ReadServerOptions options_;
  ServeSink& sink_;
  Permits window_;
  TokenBucket bucket_;
  std::atomic<uint64_t> bytes_acknowledged_{0};
  const std::unique_ptr<Lanes> lanes_;
  std::vector<std::jthread> threads_;  // last: joined before anything above goes
};

}  // namespace outboxfs::upload
