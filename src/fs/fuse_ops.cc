#include "fs/fuse_ops.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "fs/fuse_api.h"
#include "fs/fuse_reply.h"

namespace outboxfs::fs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;

fuse_entry_param ToParam(const EntryReply& entry) {
  fuse_entry_param param = {};
  param.ino = entry.ino;
  param.generation = 0;
  param.attr = entry.st;
  param.attr_timeout = entry.attr_timeout;
  param.entry_timeout = entry.entry_timeout;
  return param;
}

void ReplyEntry(fuse_req_t req, const char* operation, fuse_ino_t parent,
                const Result<EntryReply>& entry) {
  if (!entry) return ReplyError(req, operation, parent, entry.error());
  Filesystem& fs = Fs(req);
  const fuse_entry_param param = ToParam(*entry);
  if (fuse_reply_entry(req, &param) != 0 && entry->ino != 0) fs.Forget(entry->ino, 1);
}

void ReplyAttr(fuse_req_t req, const char* operation, fuse_ino_t ino,
               const Result<AttrReply>& attr) {
  if (!attr) return ReplyError(req, operation, ino, attr.error());
  fuse_reply_attr(req, &attr->st, attr->timeout);
}

void Init(void* userdata, struct fuse_conn_info* conn) {
  static_cast<OpsContext*>(userdata)->on_init(*conn);
}

void Lookup(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto entry = [&] {
    FuseCall call(req);
    return Fs(req).Lookup(call, parent, Fs(req).StoredName(call, parent, name));
  }();
  ReplyEntry(req, "lookup", parent, entry);
}

void Forget(fuse_req_t req, fuse_ino_t ino, uint64_t lookups) {
  Fs(req).Forget(ino, lookups);
  fuse_reply_none(req);
}

void ForgetMulti(fuse_req_t req, size_t count, struct fuse_forget_data* forgets) {
  for (size_t i = 0; i < count; ++i) Fs(req).Forget(forgets[i].ino, forgets[i].nlookup);
  fuse_reply_none(req);
}

void GetAttr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info*) {
  const auto attr = [&] {
    FuseCall call(req);
    return Fs(req).GetAttr(call, ino);
  }();
  ReplyAttr(req, "getattr", ino, attr);
}

AttrChange ToChange(const struct stat& st, int to_set) {
  AttrChange change;
  const auto now = [] {
    timespec time = {};
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * kNsPerSecond + time.tv_nsec;
  };
  if ((to_set & FUSE_SET_ATTR_SIZE) != 0) change.size = static_cast<uint64_t>(st.st_size);
  if ((to_set & FUSE_SET_ATTR_MODE) != 0) change.mode = st.st_mode;
  if ((to_set & FUSE_SET_ATTR_UID) != 0) change.uid = st.st_uid;
  if ((to_set & FUSE_SET_ATTR_GID) != 0) change.gid = st.st_gid;
  if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) {
    change.atime_ns = now();
  } else if ((to_set & FUSE_SET_ATTR_ATIME) != 0) {
    change.atime_ns = st.st_atim.tv_sec * kNsPerSecond + st.st_atim.tv_nsec;
  }
  if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) {
    change.mtime_ns = now();
  } else if ((to_set & FUSE_SET_ATTR_MTIME) != 0) {
    change.mtime_ns = st.st_mtim.tv_sec * kNsPerSecond + st.st_mtim.tv_nsec;
  }
  return change;
}

void SetAttr(fuse_req_t req, fuse_ino_t ino, struct stat* st, int to_set, struct fuse_file_info*) {
  const AttrChange change = ToChange(*st, to_set);
  const auto attr = [&] {
    FuseCall call(req);
    return Fs(req).SetAttr(call, ino, change);
  }();
  ReplyAttr(req, "setattr", ino, attr);
}

void MakeNode(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode, dev_t) {
  if (!S_ISREG(mode)) return ReplyError(req, "mknod", parent, {.code = EPERM, .text = name});
  if (const auto fine = Fs(req).CheckNoLinkName(name); !fine) {
    return ReplyError(req, "mknod", parent, fine.error());
  }
  const auto entry = [&] {
    FuseCall call(req);
    return Fs(req).MakeFile(call, parent, name, mode);
  }();
  ReplyEntry(req, "mknod", parent, entry);
}

void MakeDir(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode) {
  const auto entry = [&] {
    FuseCall call(req);
    return Fs(req).MakeDir(call, parent, name, mode);
  }();
  ReplyEntry(req, "mkdir", parent, entry);
}

void Symlink(fuse_req_t req, const char* target, fuse_ino_t parent, const char* name) {
  const auto entry = [&] {
    FuseCall call(req);
    return Fs(req).MakeSymlink(call, parent, name, target);
  }();
  ReplyEntry(req, "symlink", parent, entry);
}

void ReadLink(fuse_req_t req, fuse_ino_t ino) {
  const auto target = [&] {
    FuseCall call(req);
    return Fs(req).ReadLink(call, ino);
  }();
  if (!target) return ReplyError(req, "readlink", ino, target.error());
  fuse_reply_readlink(req, target->c_str());
}

void Link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t, const char* name) {
  ReplyError(req, "link", ino, {.code = EPERM, .text = name});
}

void Unlink(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).Unlink(call, parent, Fs(req).StoredName(call, parent, name));
  }();
  ReplyStatus(req, "unlink", parent, status);
}

void RemoveDir(fuse_req_t req, fuse_ino_t parent, const char* name) {
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).RemoveDir(call, parent, name);
  }();
  ReplyStatus(req, "rmdir", parent, status);
}

void Rename(fuse_req_t req, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
            const char* new_name, unsigned flags) {
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).RenameShown(call, parent, name, new_parent, new_name, flags);
  }();
  ReplyStatus(req, "rename", parent, status);
}

void Fill(const Opened& opened, struct fuse_file_info& info) {
  info.fh = opened.handle;
  info.keep_cache = opened.keep_cache ? 1 : 0;
  info.direct_io = opened.direct_io ? 1 : 0;
#if FUSE_VERSION >= FUSE_MAKE_VERSION(3, 17)
  info.parallel_direct_writes = opened.direct_io ? 1 : 0;
  info.backing_id = opened.backing_id;
#endif
}

void Create(fuse_req_t req, fuse_ino_t parent, const char* name, mode_t mode,
            struct fuse_file_info* info) {
  if (const auto fine = Fs(req).CheckNoLinkName(name); !fine) {
    return ReplyError(req, "create", parent, fine.error());
  }
  const auto created = [&] {
    FuseCall call(req);
    return Fs(req).Create(call, parent, name, mode, info->flags);
  }();
  if (!created) return ReplyError(req, "create", parent, created.error());
  Filesystem& fs = Fs(req);
  Fill(created->opened, *info);
  const fuse_entry_param param = ToParam(created->entry);
  if (fuse_reply_create(req, &param, info) == 0) return;
  fs.Release(created->opened.handle);
  fs.Forget(created->entry.ino, 1);
}

void Open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info* info) {
  const auto opened = [&] {
    FuseCall call(req);
    return Fs(req).Open(call, ino, info->flags);
  }();
  if (!opened) return ReplyError(req, "open", ino, opened.error());
  Filesystem& fs = Fs(req);
  Fill(*opened, *info);
  if (fuse_reply_open(req, info) != 0) fs.Release(opened->handle);
}

void Read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, struct fuse_file_info* info) {
  const auto reply = [&] {
    FuseCall call(req);
    return Fs(req).Read(call, info->fh, size, static_cast<uint64_t>(offset));
  }();
  if (!reply) return ReplyError(req, "read", ino, reply.error());
  if (reply->fd < 0) {
    fuse_reply_buf(req, reinterpret_cast<const char*>(reply->bytes.data()), reply->bytes.size());
    return;
  }
  fuse_bufvec data = FUSE_BUFVEC_INIT(reply->size);
  data.buf[0].flags = static_cast<fuse_buf_flags>(FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK);
  data.buf[0].fd = reply->fd;
  data.buf[0].pos = static_cast<off_t>(reply->offset);
  fuse_reply_data(req, &data, static_cast<fuse_buf_copy_flags>(0));
}

void Write(fuse_req_t req, fuse_ino_t ino, const char* data, size_t size, off_t offset,
           struct fuse_file_info* info) {
  const auto status =
      Fs(req).Write(info->fh, std::as_bytes(std::span(data, size)), static_cast<uint64_t>(offset));
  if (!status) return ReplyError(req, "write", ino, status.error());
  fuse_reply_write(req, size);
}

void Flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info* info) {
  ReplyStatus(req, "flush", ino, Fs(req).Flush(info->fh));
}

void Release(fuse_req_t req, fuse_ino_t, struct fuse_file_info* info) {
  Fs(req).Release(info->fh);
  fuse_reply_err(req, 0);
}

void Sync(fuse_req_t req, fuse_ino_t ino, int, struct fuse_file_info* info) {
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).Sync(call, info->fh);
  }();
  ReplyStatus(req, "fsync", ino, status);
}

void OpenDir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info* info) {
  const auto opened = [&] {
    FuseCall call(req);
    return Fs(req).OpenDir(call, ino);
  }();
  if (!opened) return ReplyError(req, "opendir", ino, opened.error());
  Filesystem& fs = Fs(req);
  info->fh = opened->handle;
  info->cache_readdir = 1;
  info->keep_cache = opened->keep_cache ? 1 : 0;
  if (fuse_reply_open(req, info) != 0) fs.ReleaseDir(opened->handle);
}

void ReadDirReply(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                  const struct fuse_file_info& info, bool plus) {
  std::vector<char> buffer(size);
  size_t used = 0;
  const auto sink = [&](const DirEntry& entry) {
    const auto next = static_cast<off_t>(entry.offset);
    char* const at = buffer.data() + used;
    const size_t room = size - used;
    size_t needed = 0;
    if (plus) {
      const fuse_entry_param param = ToParam(entry.entry);
      needed = fuse_add_direntry_plus(req, at, room, entry.name.c_str(), &param, next);
    } else {
      needed = fuse_add_direntry(req, at, room, entry.name.c_str(), &entry.entry.st, next);
    }
    if (needed > room) return false;
    used += needed;
    return true;
  };
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).ReadDir(call, info.fh, static_cast<uint64_t>(offset), plus, sink);
  }();
  if (!status) return ReplyError(req, "readdir", ino, status.error());
  fuse_reply_buf(req, buffer.data(), used);
}

void ReadDir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
             struct fuse_file_info* info) {
  ReadDirReply(req, ino, size, offset, *info, false);
}

void ReadDirPlus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                 struct fuse_file_info* info) {
  ReadDirReply(req, ino, size, offset, *info, true);
}

void ReleaseDir(fuse_req_t req, fuse_ino_t, struct fuse_file_info* info) {
  Fs(req).ReleaseDir(info->fh);
  fuse_reply_err(req, 0);
}

void SyncDir(fuse_req_t req, fuse_ino_t ino, int, struct fuse_file_info*) {
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).SyncDir(call);
  }();
  ReplyStatus(req, "fsyncdir", ino, status);
}

void StatFs(fuse_req_t req, fuse_ino_t ino) {
  const auto st = [&] {
    FuseCall call(req);
    return Fs(req).StatFs(call);
  }();
  if (!st) return ReplyError(req, "statfs", ino, st.error());
  fuse_reply_statfs(req, &*st);
}

void Allocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
              struct fuse_file_info* info) {
  const auto range =
      ByteRange::FromOffset(static_cast<uint64_t>(offset), static_cast<uint64_t>(length));
  if (!range) return ReplyError(req, "fallocate", ino, {.code = EFBIG, .text = "range"});
  const auto status = [&] {
    FuseCall call(req);
    return Fs(req).Allocate(call, info->fh, mode, *range);
  }();
  ReplyStatus(req, "fallocate", ino, status);
}

void Seek(fuse_req_t req, fuse_ino_t ino, off_t offset, int whence, struct fuse_file_info* info) {
  const auto found = Fs(req).Seek(info->fh, static_cast<uint64_t>(offset), whence);
  if (!found) return ReplyError(req, "lseek", ino, found.error());
  fuse_reply_lseek(req, static_cast<off_t>(*found));
}

fuse_lowlevel_ops MakeOperations() {
  fuse_lowlevel_ops ops = {};
  ops.init = Init;
  ops.lookup = Lookup;
  ops.forget = Forget;
  ops.forget_multi = ForgetMulti;
  ops.getattr = GetAttr;
  ops.setattr = SetAttr;
  ops.mknod = MakeNode;
  ops.mkdir = MakeDir;
  ops.symlink = Symlink;
  ops.readlink = ReadLink;
  ops.link = Link;
  ops.unlink = Unlink;
  ops.rmdir = RemoveDir;
  ops.rename = Rename;
  ops.create = Create;
  ops.open = Open;
  ops.read = Read;
  ops.write = Write;
  ops.flush = Flush;
  ops.release = Release;
  ops.fsync = Sync;
  ops.opendir = OpenDir;
  ops.readdir = ReadDir;
  ops.readdirplus = ReadDirPlus;
  ops.releasedir = ReleaseDir;
  ops.fsyncdir = SyncDir;
  ops.statfs = StatFs;
  ops.fallocate = Allocate;
  ops.lseek = Seek;
  AddXattrHandlers(ops);
  return ops;
}

}  // namespace

const struct fuse_lowlevel_ops& Operations() {
  static const fuse_lowlevel_ops ops = MakeOperations();
  return ops;
}

}  // namespace outboxfs::fs
