// New names: create, mkdir, mknod of a regular file. All of them local (but for directories where
// the caller wants to hear of it now); the uploader brings them to the server later.
#include <fcntl.h>

#include <cerrno>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {

Status Filesystem::CheckNew(const std::string& name) const {
  if (auto status = CheckNewWriter(); !status) return status;
  if (auto status = CheckName(name); !status) return status;
  if (IsTempName(name)) return Fail(EPERM, name + " is a name for our own temporary files");
  return {};
}

cache::Attr Filesystem::NewAttr(const Call& call, const NodePtr& dir, mode_t mode,
                                bool is_dir) const {
  constexpr mode_t kPermissionBits = 07777;
  const int64_t now = rooms_.clock.WallNs();
  cache::Attr attr{.mode = mode & kPermissionBits,
                   .uid = call.uid,
                   .gid = call.gid,
                   .atime_ns = now,
                   .mtime_ns = now,
                   .ctime_ns = now};
  MutexLock lock(dir->mu);
  if ((dir->described.mode & S_ISGID) != 0) {
    attr.gid = dir->described.gid;
    if (is_dir) attr.mode |= S_ISGID;
  }
  return attr;
}

Result<std::string> Filesystem::PathIn(const NodePtr& dir, const std::string& name) const {
  auto path = PathOf(dir);
  if (!path) return path;
  return JoinPath(*path, name);
}

Result<Created> Filesystem::Create(Call& call, cache::Ino parent, const std::string& name,
                                   mode_t mode, int flags) {
  if (auto status = CheckNew(name); !status) return Fail(status.error());
  const auto dir = DirOf(parent);
  if (!dir) return Fail(dir.error());
  const cache::Attr attr = NewAttr(call, *dir, mode, false);
  Created created;
  {
    ReaderLock names(names_mu_);
    auto path = PathIn(*dir, name);
    if (!path) return Fail(path.error());
    const auto item = rooms_.store.CreateFile(*path, rooms_.store.NewIno(), attr);
    if (!item) return Fail(item.error());
    const NodePtr node = nodes_.LinkAndCount(*dir, name, item->ino, cache::ItemKind::kFile);
    auto opened = OpenNew(node, item->id, flags);
    if (!opened) {
      const auto removed = rooms_.store.Remove(*path, false);
      if (!removed) Log::Warning("{}: {}", *path, removed.error().text);
      nodes_.Unlink(*dir, name);
      nodes_.Forget(node->ino, 1);
      return Fail(opened.error());
    }
    created.opened = *opened;
    created.entry = Reply(node, {.kind = cache::ItemKind::kFile, .attr = attr});
  }
  Touch(*dir);
  return created;
}

Result<Opened> Filesystem::OpenNew(const NodePtr& node, cache::ItemId item, int flags) {
  MutexLock lock(node->mu);
  if (auto status = Attach(*node, item); !status) return Fail(status.error());
  node->open.dirty = true;
  // A writer even if it was opened for reading only: the first close seals the empty file.
  const int access = (flags & O_ACCMODE) == O_RDONLY ? (flags & ~O_ACCMODE) | O_RDWR : flags;
  if (auto status = BeginWriting(node->open, false, 0); !status) {
    node->open = OpenFile{};
    return Fail(status.error());
  }
  return AddHandle(node, access);
}

Result<EntryReply> Filesystem::MakeFile(Call& call, cache::Ino parent, const std::string& name,
                                        mode_t mode) {
  auto created = Create(call, parent, name, mode, O_WRONLY);
  if (!created) return Fail(created.error());
  const auto flushed = Flush(created->opened.handle);
  Release(created->opened.handle);
  if (!flushed) Log::Warning("{}: {}", name, flushed.error().text);
  return created->entry;
}

Result<EntryReply> Filesystem::MakeDir(Call& call, cache::Ino parent, const std::string& name,
                                       mode_t mode) {
  if (auto status = CheckNew(name); !status) return Fail(status.error());
  const auto dir = DirOf(parent);
  if (!dir) return Fail(dir.error());
  const cache::Attr attr = NewAttr(call, *dir, mode, true);
  const bool virtual_root = *dir == nodes_.root() && options_.remote_folder == "/";
  if (virtual_root || (options_.sync_metadata && !IsStaged(*dir))) {
    SlowLane lane(lane_, call);
    auto made = MakeRemoteDir(lane, *dir, name, attr);
    // A server that was never reached: staged, on trust, as files are.
    if (made || reached_ || options_.sync_metadata || made.error().code != EIO) return made;
  }
  Touch(*dir);
  ReaderLock names(names_mu_);
  auto path = PathIn(*dir, name);
  if (!path) return Fail(path.error());
  const auto item = rooms_.store.MakeDir(*path, rooms_.store.NewIno(), attr);
  if (!item) return Fail(item.error());
  const NodePtr node = nodes_.LinkAndCount(*dir, name, item->ino, cache::ItemKind::kDir);
  return Reply(node, {.kind = cache::ItemKind::kDir, .attr = attr});
}

// Made before --sync-metadata was given, and not yet on the server.
bool Filesystem::IsStaged(const NodePtr& dir) const {
  const auto path = PathOf(dir);
  return path && rooms_.store.Lookup(*path).kind == cache::Overlay::Kind::kItem;
}

// With --sync-metadata, and directly under the server's root: there a directory is a cloud, and
// most servers refuse to make one (docs/PROTOCOL.md, rule 12). The caller should hear it now.
Result<EntryReply> Filesystem::MakeRemoteDir(SlowLane& lane, const NodePtr& dir,
                                             const std::string& name, const cache::Attr& attr) {
  if (const auto token = lane.Enter(); !token) return Fail(token.error());
  const auto path = PathIn(dir, name);
  if (!path) return Fail(path.error());
  const std::string folder = ServerPathOf(std::string(cache::ParentOf(*path)));
  if (rooms_.store.IsBusy(ServerPathOf(*path))) {
    if (auto status = AwaitOtherChange(lane); !status) return Fail(status.error());
  }
  const auto made = rooms_.names.MakeDir(folder, name, lane_.exit.get_token());
  if (!made) return Fail(made.error());
  remote::Entry entry;
  entry.name = name;
  entry.is_dir = true;
  rooms_.dirs.Put(folder, entry);
  Touch(dir);
  ReaderLock names(names_mu_);
  const cache::Memory memory{.path = *path,
                             .ino = rooms_.store.NewIno(),
                             .kind = cache::ItemKind::kDir,
                             .attr = attr,
                             .confirmed = false};
  if (const auto kept = rooms_.store.Remember(memory); !kept) return Fail(kept.error());
  const NodePtr node = nodes_.LinkAndCount(dir, name, memory.ino, cache::ItemKind::kDir);
  return Reply(node, {.kind = cache::ItemKind::kDir, .attr = attr});
}

}  // namespace outboxfs::fs
