// Everything that is shown of a running mount, copied out of the rooms at one moment. Plain values:
// the renderings (render.h) see nothing else.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cache/store.h"
#include "fs/mount_session.h"
#include "upload/uploader.h"

namespace outboxfs::status {

// What does not change while the mount lives.
struct About {
  std::string version;
  std::string remote;
  std::string mountpoint;
  std::string cache_dir;
  std::string log_file;  // empty: standard error
  pid_t pid = 0;
  int64_t started_ns = 0;  // wall time
};

// One file or directory that is not (known to be) at the remote as it is here.
struct Line {
  std::string path;  // mount path
  bool is_dir = false;
  std::string state;  // one word: the upload's phase where there is one, else the item's state
  uint64_t size = 0;  // bytes
  uint64_t bytes_done = 0;  // acknowledged by the server
  int attempts = 0;
  int64_t next_try_ns = 0;  // wall time; 0: none is planned
  std::string note;         // why it waits, or what went wrong
};

struct Snapshot {
  About about;
  int64_t now_ns = 0;    // wall time of this snapshot
  bool leaving = false;  // unmounting: uploads are being drained
  fs::MountStatus mount;
  cache::StoreTotals totals;
  cache::RecoveryReport recovery;
  upload::UploaderStatus uploads;  // without its items: they are in `lines`
  std::vector<Line> lines;         // in work first, then parked, then what waits
  uint64_t lines_left_out = 0;     // beyond the limit that was asked for
};

// What `wait`, `unmount` and a drain want to know of some paths.
struct Summary {
  uint64_t items_pending = 0;  // will be uploaded without anybody's help
  uint64_t bytes_pending = 0;
  uint64_t bytes_done = 0;    // of bytes_pending, acknowledged by the server
  uint64_t items_stuck = 0;   // parked or interrupted: need a person
  std::vector<Line> stuck;    // the first few of them
  std::vector<Line> waiting;  // the first few of the pending ones
};

}  // namespace outboxfs::status
