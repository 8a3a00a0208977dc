// The Filesystem as a whole: its beginning, its end, and news from outside.
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr uint64_t kReadMemory = 64 << 20;  // over all handles that read remote files
constexpr int kReadAheadThreads = 4;
constexpr int kWorkersKeptFree = 2;

// Since Linux 6.13 two changes of a file never have one ctime (multigrain timestamps).
bool HasExactCtime() {
  struct utsname name = {};
  int major = 0;
  int minor = 0;
  if (uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  return major > 6 || (major == 6 && minor >= 13);
}

Defaults DefaultsOf(const MountOptions& options) {
  return {.uid = options.uid,
          .gid = options.gid,
          .dir_mode = options.dir_mode,
          .file_mode = options.file_mode};
}

}  // namespace

Filesystem::Filesystem(const MountOptions& options, const Rooms& rooms, Passthrough& passthrough,
                       Notifier& notifier)
    : options_(options),
      defaults_(DefaultsOf(options)),
      rooms_(rooms),
      passthrough_(passthrough),
      notifier_(notifier),
      started_ns_(rooms.clock.WallNs()),
      started_at_(rooms.clock.Now()),
      exact_ctime_(HasExactCtime()),
      device_tag_(remote::DeviceTag(rooms.store.device_id())),
      lane_(static_cast<uint64_t>(std::max(1, options.workers - kWorkersKeptFree))),
      read_memory_(kReadMemory),
      nodes_(kRootIno),
      read_ahead_(kReadAheadThreads),
      hydrator_(rooms_, options.remote_folder) {
  Describe(nodes_.root(), RootFacts());
}

Filesystem::~Filesystem() = default;

void Filesystem::CloseAll() {
  for (const uint64_t handle : handles_.Numbers()) {
    if (const auto flushed = Flush(handle); !flushed) Log::Warning("{}", flushed.error().text);
    Release(handle);
  }
  for (const uint64_t handle : dir_handles_.Numbers()) ReleaseDir(handle);
}

void Filesystem::RemoteChanged(const std::string& server_path, bool gone) {
  const auto expire_dir = [this](const NodePtr& dir) {
    {
      MutexLock lock(dir->mu);
      dir->shown_complete = false;
    }
    notifier_.DropContent(dir->ino);
  };
  if (server_path.empty()) {
    for (const NodePtr& node : nodes_.All()) {
      if (!node->is_dir()) continue;
      expire_dir(node);
      for (const auto& [name, child] : nodes_.NamesIn(node)) {
        notifier_.ExpireEntry(node->ino, ShownName(name));
      }
    }
    return;
  }
  const auto path = MountPathOf(server_path);
  if (!path) return;
  if (IsOurEcho(*path, gone)) return;
  if (gone) rooms_.store.DoubtUploaded(*path);
  if (const NodePtr node = nodes_.Find(*path)) {
    if (node->is_dir()) expire_dir(node);
    notifier_.DropAttributes(node->ino);
  }
  if (*path == "/") return;
  const NodePtr dir = nodes_.Find(cache::ParentOf(*path));
  if (!dir) return;
  expire_dir(dir);
  notifier_.ExpireEntry(dir->ino, ShownName(std::string(cache::NameOf(*path))));
}

// What stands here before the server's entry hides any change of it; and the server tells us of our
// own uploads and removals too, in a moment.
bool Filesystem::IsOurEcho(const std::string& path, bool gone) const {
  constexpr std::chrono::seconds kMoment{5};
  const cache::Overlay overlay = rooms_.store.Lookup(path);
  const bool just_now = overlay.since >= rooms_.clock.Now() - kMoment;
  switch (overlay.kind) {
    case cache::Overlay::Kind::kItem:
      return overlay.item.state != cache::State::kClean;
    case cache::Overlay::Kind::kUploaded:
      return !gone && just_now;
    case cache::Overlay::Kind::kGone:
      return gone && just_now;
    case cache::Overlay::Kind::kNone:
      break;
  }
  return false;
}

void Filesystem::FillStatus(MountStatus& status) const {
  status.passthrough = passthrough_.on();
  status.passthrough_reason = passthrough_.reason();
  status.nodes = nodes_.size();
  if (rooms_.read_cache != nullptr) status.read_cache_bytes = rooms_.read_cache->bytes();
  status.open_handles = handles_.size();
  status.slow_lane_in_use = lane_.places.in_use();
  status.slow_lane_capacity = lane_.places.capacity();
}

}  // namespace outboxfs::fs
