// Opening and closing files: which mode serves them, when a write begins and when it has ended.
#include <fcntl.h>

#include <cerrno>

#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int kMaxRaces = 100;

int64_t CtimeNs(const struct stat& st) {
  return st.st_ctim.tv_sec * kNsPerSecond + st.st_ctim.tv_nsec;
}

bool WantsWriting(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0; }

}  // namespace

Status Filesystem::CheckWritable() const {
  if (options_.read_only) return Fail(EROFS, "the mount is read-only");
  return {};
}

Status Filesystem::CheckNewWriter() const {
  if (refuse_writers_) return Fail(EROFS, "the mount is about to end");
  return CheckWritable();
}

Result<Opened> Filesystem::Open(Call& call, cache::Ino ino, int flags) {
  const auto found = NodeOf(ino);
  if (!found) return Fail(found.error());
  const NodePtr& node = *found;
  if (node->is_dir()) return FailErrno(EISDIR, "open");
  if (WantsWriting(flags)) {
    if (auto status = CheckNewWriter(); !status) return Fail(status.error());
  }
  ReaderLock names(names_mu_);
  MutexLock lock(node->mu);
  if (node->open.item == 0) {
    if (auto resolved = Resolve(*node, flags); !resolved) return Fail(resolved.error());
  }
  return OpenNow(node, flags, call.uid);
}

Status Filesystem::Resolve(Node& node, int flags) {
  const auto path = nodes_.PathOf(node.shared_from_this());
  if (!path) return Fail(ENOENT, "deleted");
  for (int race = 0;; ++race) {
    const auto known = Recollect(*path, node.entry);
    if (!known) return Fail(known.error());
    if (known->overlay.kind == cache::Overlay::Kind::kItem) {
      auto status = Attach(node, known->overlay.item.id);
      if (status || status.error().code != ENOENT || race == kMaxRaces) return status;
      continue;  // uploaded and evicted
    }
    if (!(node.version == known->identity)) rooms_.downloads.Forget(ServerPathOf(*path));
    node.version = known->identity;
    return WantsWriting(flags) ? Stage(node, *known, (flags & O_TRUNC) != 0) : Status();
  }
}

Result<Opened> Filesystem::OpenNow(const NodePtr& node, int flags, uid_t caller) {
  if (WantsWriting(flags)) {
    auto status = BeginWriting(node->open, (flags & O_TRUNC) != 0, caller);
    if (!status) {
      GiveUpOpen(node);
      return Fail(status.error());
    }
  }
  node->open.made = false;
  return AddHandle(node, flags);
}

// The first open of a file failed. What was staged for it alone must not be uploaded.
void Filesystem::GiveUpOpen(const NodePtr& node) {
  if (node->open.handles > 0) return;
  const bool made = node->open.made;
  node->open = OpenFile{};
  const auto path = nodes_.PathOf(node);
  if (!made || !path) return;
  const auto removed = rooms_.store.Remove(*path, false);
  if (!removed) Log::Warning("{}: {}", *path, removed.error().text);
}

// Nothing is fetched yet, and the old version stays on the server until the new one is complete.
Status Filesystem::Stage(Node& node, const Known& known, bool truncate) {
  cache::Attr attr = known.facts.attr;
  if (truncate) attr.mtime_ns = attr.ctime_ns = rooms_.clock.WallNs();
  const auto item = truncate ? rooms_.store.CreateFile(known.path, node.ino, attr)
                             : rooms_.store.StageRemote(known.path, node.ino, attr, known.identity);
  if (!item) return Fail(item.error());
  if (auto status = Attach(node, item->id); !status) {
    const auto undone = rooms_.store.Remove(known.path, false);
    if (!undone) Log::Warning("{}: {}", known.path, undone.error().text);
    return status;
  }
  node.open.dirty = truncate;
  node.open.made = true;
  return {};
}

Status Filesystem::Attach(Node& node, cache::ItemId item) {
  auto pin = rooms_.store.PinFile(item, false);
  if (!pin) return Fail(pin.error());
  node.open.item = item;
  node.open.exact = exact_ctime_;
  node.open.read_pin = std::make_shared<cache::Pin>(std::move(*pin));
  if (const auto row = rooms_.store.Get(item)) {
    node.open.attr = row->attr;
    node.open.partial = row->partial;
  }
  node.cached_version.reset();
  node.entry.reset();
  return {};
}

Status Filesystem::NoteBeginning(OpenFile& open) {
  const auto st = (*open.write_pin)->Stat();
  if (!st) return Fail(st.error());
  open.begun_size = static_cast<uint64_t>(st->st_size);
  open.begun_ctime_ns = CtimeNs(*st);
  open.marked_ctime_ns = 0;
  return {};
}

Status Filesystem::BeginWriting(OpenFile& open, bool truncate, uid_t caller) {
  if (open.writers == 0) {
    if (auto status = rooms_.store.BeginWrite(open.item); !status) return status;
    if (const auto row = rooms_.store.Get(open.item)) open.partial = row->partial;
    auto pin = rooms_.store.PinFile(open.item, true);
    Status status = pin ? Status() : Fail(pin.error());
    if (pin) {
      open.write_pin = std::make_shared<cache::Pin>(std::move(*pin));
      status = NoteBeginning(open);
    }
    if (!status) {
      open.write_pin.reset();
      if (open.made) return status;
      const auto ended = rooms_.store.EndWrite(open.item, open.dirty);
      if (!ended) Log::Warning("item {}: {}", open.item, ended.error().text);
      return status;
    }
    // The kernel leaves this to us (HANDLE_KILLPRIV_V2), and does not tell of passthrough writes.
    if (caller != 0 && (open.attr.mode & (S_ISUID | S_ISGID)) != 0) {
      open.attr.mode &= ~static_cast<mode_t>(S_ISUID | S_ISGID);
      status = rooms_.store.SetAttr(open.item, open.attr);
      if (!status) Log::Warning("item {}: {}", open.item, status.error().text);
    }
  }
  ++open.writers;
  if (!truncate) return {};
  open.dirty = true;
  auto status = rooms_.store.ResizePart(*open.write_pin, 0);
  if (!status && --open.writers == 0) EndWriting(open);
  return status;
}

bool Filesystem::KeepCache(Node& node) {
  const bool same = node.cached_version && cache::SameVersion(node.version, *node.cached_version);
  node.cached_version = node.version;
  return same;
}

Opened Filesystem::AddHandle(const NodePtr& node, int flags) {
  OpenFile& open = node->open;
  auto handle = std::make_shared<Handle>(node, WantsWriting(flags), rooms_.downloads, read_memory_,
                                         read_ahead_);
  Opened opened;
  if (open.handles == 0) {
    open.mode = Mode::kDaemon;
    if (open.item != 0 && !open.partial) {
      open.backing_id = passthrough_.Open((*open.read_pin)->read_fd());
    }
    if (open.backing_id > 0) open.mode = Mode::kPassthrough;
  }
  ++open.handles;
  if (open.mode == Mode::kPassthrough) {
    opened.backing_id = open.backing_id;
    if (!open.exact && handle->writable) open.dirty = true;
  } else if (open.item != 0) {
    // Pages bring a writer nothing: larger requests do.
    opened.direct_io = (flags & O_ACCMODE) == O_WRONLY;
  } else {
    handle->remote_size = node->version.size;
    handle->remote_version = node->version;
    const auto path = rooms_.read_cache == nullptr ? Fail(ENOENT, "") : PathOf(node);
    if (path) handle->reader.KeepIn(rooms_.read_cache->Open(ServerPathOf(*path), node->version));
    opened.keep_cache = KeepCache(*node);
  }
  opened.handle = handles_.Add(std::move(handle));
  return opened;
}

bool Filesystem::WasChanged(const OpenFile& open, const struct stat& st) {
  if (open.partial) return open.dirty;  // fetched bytes change the ctime too
  return open.dirty || static_cast<uint64_t>(st.st_size) != open.begun_size ||
         CtimeNs(st) != open.begun_ctime_ns;
}

Status Filesystem::Flush(uint64_t number) {
  const auto handle = handles_.Get(number);
  if (!handle) return FailErrno(EBADF, "flush");
  if (!handle->writable) return {};
  MutexLock lock(handle->node->mu);
  OpenFile& open = handle->node->open;
  if (!open.write_pin) return {};
  const auto st = (*open.write_pin)->Stat();
  if (!st) return Fail(st.error());
  if (!WasChanged(open, *st) || CtimeNs(*st) == open.marked_ctime_ns) return {};
  if (auto marked = rooms_.store.MarkClosed(open.item); !marked) return marked;
  open.marked_ctime_ns = CtimeNs(*st);
  return {};
}

void Filesystem::EndWriting(OpenFile& open) {
  const auto st = (*open.write_pin)->Stat();
  const bool changed = !st || WasChanged(open, *st);
  open.write_pin.reset();  // closes the writable descriptor: the sealer probes for writers
  const auto ended = rooms_.store.EndWrite(open.item, changed);
  if (!ended && ended.error().code != ENOENT) {  // ENOENT: deleted meanwhile
    Log::Error("closing item {}: {}", open.item, ended.error().text);
  }
  open.dirty = false;
  if (const auto row = rooms_.store.Get(open.item)) open.attr = row->attr;
}

void Filesystem::DropHandle(const NodePtr& node, bool writable) {
  OpenFile closed;
  {
    MutexLock lock(node->mu);
    if (writable && --node->open.writers == 0) {
      EndWriting(node->open);
      node->closed_at = ++closes_;
    }
    if (--node->open.handles == 0) {
      closed = std::exchange(node->open, OpenFile{});
      LetGoOfHold(*node);
    }
  }
  if (closed.backing_id > 0) passthrough_.Close(closed.backing_id);
}

void Filesystem::Release(uint64_t number) {
  const auto handle = handles_.Remove(number);
  if (handle) DropHandle(handle->node, handle->writable);
}

}  // namespace outboxfs::fs
