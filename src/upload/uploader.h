// The face of the room: carries every sealed generation of the cache to its remote path, proves
// that it is there, and tells the cache. Pulls its work from the cache's feed; nobody calls it to
// upload.
//
// Owns the scheduler, the channel, the read server, the hashers and a few workers for blocking
// calls (list, start, place). Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/store.h"
#include "common/clock.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"
#include "remote/upload_api.h"

namespace outboxfs::upload {

enum class Overwrite {
  kSafe,    // temporary sibling name, verify, delete the old, rename, verify
  kDirect,  // straight to the name
};

// The names that wait until they are renamed: rsync's ".name.XXXXXX", "*.part", …
// (docs/SEMANTICS.md, "Works").
const std::vector<std::string>& DefaultHoldPatterns();

struct UploadOptions {
  std::string remote_folder = "/";  // full server path that the mount's root stands for
  int transfers = 4;                // uploads at once
  std::chrono::nanoseconds write_back = std::chrono::seconds(1);  // quiet time before an upload
  std::chrono::nanoseconds temp_hold = std::chrono::minutes(10);
  std::vector<std::string> hold_patterns = DefaultHoldPatterns();  // fnmatch(3) on the last name
  uint64_t read_window = 16 << 20;  // bytes of answers in flight over all uploads
  uint64_t bwlimit = 0;             // bytes per second, 0 = none
  Overwrite overwrite = Overwrite::kSafe;
  bool upload_interrupted = false;  // files that were being written when a daemon died: as they are
  std::chrono::nanoseconds backoff_first = std::chrono::seconds(1);
  std::chrono::nanoseconds backoff_max = std::chrono::minutes(15);
  // While files of one directory keep finishing: the least time between two listings that verify.
  std::chrono::nanoseconds verify_interval = std::chrono::seconds(2);
  int verify_rate = 0;  // listings that verify, at most so many per minute over all; 0 = no limit
  // How long a listing may lag behind a reported success before the upload is tried again.
  std::chrono::nanoseconds verify_patience = std::chrono::minutes(2);
  // An upload from which nothing was ever heard is looked up after this time: its messages may go
  // to another client of the account.
  std::chrono::nanoseconds first_word = std::chrono::seconds(5);
  // An upload from which nothing was heard for this long is looked up.
  std::chrono::nanoseconds silence = std::chrono::seconds(60);
  // Between two messages about a hash that is being computed.
  std::chrono::nanoseconds hash_report_every = std::chrono::milliseconds(250);
};

// Where an item is, finer than its journalled state; one word each in status.
enum class Phase {
  kSettling,  // quiet time not over
  kHeld,      // temporary name
  kQueued,    // waits for a place, or for its parent directory
  kStarting,  // looking before Start, or Start sent
  kServing,   // the server reads and hashes
  kPaused,    // paused on the server
  kVerifying,
  kPlacing,
  kBackoff,
};
std::string_view ToString(Phase phase);

// One line of status.
struct Progress {
  cache::ItemId id = 0;
  Phase phase = Phase::kQueued;
  uint64_t bytes_served = 0;  // acknowledged by the server, repeats included
  uint64_t bytes_hashed = 0;
  uint64_t bytes_total = 0;
  std::string note;  // why it waits ("until renamed", "for its directory"), server's words
};

struct UploaderStatus {
  std::vector<Progress> items;  // everything not parked, interrupted or clean
  bool channel_up = false;
  std::string channel_error;        // why it is down
  std::string paused_reason;        // provider-wide pause of the whole queue; empty: none
  int64_t paused_until_ns = 0;      // wall time
  uint64_t uploads_done = 0;        // since the start
  uint64_t bytes_uploaded = 0;      // payload acknowledged since the start
  uint64_t unknown_upload_ids = 0;  // messages dropped (docs/PROTOCOL.md, rule 3)
  uint64_t refused_requests = 0;    // absurd ranges (docs/PROTOCOL.md, rule 5)
};

class Uploader {
 public:
  // All references must outlive it. Starts its threads; returns at once (the channel connects in
  // the background and again whenever it breaks).
  static std::unique_ptr<Uploader> Start(cache::Store& store, remote::UploadApi& uploads,
                                         remote::NamespaceApi& names, remote::DirCache& dirs,
                                         const Clock& clock, const UploadOptions& options);
  virtual ~Uploader() = default;  // stops and joins; what runs is taken up by the next start

  virtual UploaderStatus Snapshot() const = 0;
  // Skips quiet times (not holds) from now on and returns when nothing is left to do, at the
  // deadline, or on stop. The number of items left, parked ones not counted.
  virtual size_t Drain(SteadyTime deadline, const std::stop_token& stop) = 0;
  // Uploads this item now: no quiet time, no hold, no back-off.
  virtual void Hurry(cache::ItemId id) = 0;
  // A person has seen to what made all uploads pause (quota, login): the next one is tried now.
  virtual void EndPause() = 0;
};

}  // namespace outboxfs::upload
