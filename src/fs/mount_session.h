// The face of the room: one FUSE mount over the cache and the remote. Owns the libfuse session, its
// workers, the node table, the notifier, the settler, and the thread that ends the mount.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/result.h"
#include "fs/rooms.h"

namespace outboxfs::fs {

struct MountOptions {
  std::string mountpoint;           // absolute
  std::string remote_folder = "/";  // full server path that the root stands for
  std::string source = "outboxfs";  // first column of mount(8)
  uid_t uid = 0;                    // owner of entries that the cache knows no owner of
  gid_t gid = 0;
  mode_t dir_mode = 0755;  // of such entries, umask already applied
  mode_t file_mode = 0644;
  bool allow_other = false;
  bool read_only = false;
  bool links = false;          // symlinks are kept as NAME.rclonelink files
  bool sync_metadata = false;  // mkdir goes to the server before it returns
  bool passthrough = true;     // when the kernel and the privileges allow it
  int workers = 10;            // FUSE threads; workers - 2 may wait for anything remote
  std::chrono::nanoseconds attr_timeout = std::chrono::seconds(1);
  // How long a listing is believed, and what the kernel was told of a name, unless somebody tells.
  std::chrono::nanoseconds dir_cache_time = std::chrono::minutes(5);
  std::vector<std::string> fuse_options;  // further "-o" words for libfuse
};

// For status.
struct MountStatus {
  bool passthrough = false;        // in use
  std::string passthrough_reason;  // why not
  uint64_t nodes = 0;
  uint64_t open_handles = 0;
  uint64_t slow_lane_in_use = 0;
  uint64_t slow_lane_capacity = 0;
  uint64_t read_cache_bytes = 0;
};

class MountSession {
 public:
  // Mounts. EBUSY, ENOENT, ENOTDIR, EACCES, ENOTEMPTY with one clear line each. A mount left dead
  // by a crash ("transport endpoint is not connected") is unmounted first. What `rooms` refers to
  // must outlive the session.
  static Result<std::unique_ptr<MountSession>> Mount(const MountOptions& options,
                                                     const Rooms& rooms);
  virtual ~MountSession() = default;

  // Serves until RequestExit, an external unmount, or a fatal error; then the mount is gone and all
  // handles are closed. Call once, from the thread that may be kicked by SIGUSR2. `ready` is called
  // when the kernel's INIT was answered: the mount works.
  virtual Status Run(const std::function<void()>& ready) = 0;
  // Any thread, any number of times; returns at once (docs/LOCKS.md, "Leaving").
  virtual void RequestExit() = 0;
  // From now on: no new writers (EROFS); what is open goes on. Used while draining.
  virtual void RefuseWriters() = 0;
  virtual MountStatus Snapshot() const = 0;

  // Something changed remotely at this full server path, or (empty) anything may have: the kernel's
  // entries are invalidated by the notifier thread. `gone`: it is said to be removed or renamed
  // away. Thread-safe, never waits.
  virtual void RemoteChanged(const std::string& server_path, bool gone) = 0;
};

}  // namespace outboxfs::fs
