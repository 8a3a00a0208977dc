// Attributes: what chmod, chown, utimens and truncate change.
#include <fcntl.h>

#include <cerrno>

#include "cache/paths.h"
#include "fs/filesystem.h"

namespace outboxfs::fs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr int kMaxRaces = 10;

void Apply(const AttrChange& change, int64_t now_ns, cache::Attr& attr) {
  constexpr mode_t kPermissionBits = 07777;
  if (change.mode) attr.mode = *change.mode & kPermissionBits;
  if (change.uid) attr.uid = *change.uid;
  if (change.gid) attr.gid = *change.gid;
  if (change.atime_ns) attr.atime_ns = *change.atime_ns;
  if (change.mtime_ns) attr.mtime_ns = *change.mtime_ns;
  attr.ctime_ns = now_ns;
}

bool ChangesAttributes(const AttrChange& change) {
  return change.mode || change.uid || change.gid || change.atime_ns || change.mtime_ns;
}

int64_t ToNs(const timespec& time) { return time.tv_sec * kNsPerSecond + time.tv_nsec; }

}  // namespace

Result<AttrReply> Filesystem::SetAttr(Call& call, cache::Ino ino, const AttrChange& change) {
  if (auto status = CheckWritable(); !status) return Fail(status.error());
  const auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  if (change.size) {
    if ((*node)->is_dir()) return FailErrno(EISDIR, "truncate");
    auto status = Resize(call, *node, *change.size);
    if (!status) return Fail(status.error());
  }
  if (ChangesAttributes(change)) {
    auto status = ChangeAttr(*node, change);
    if (!status) return Fail(status.error());
  }
  const auto facts = KnownFacts(*node);
  if (!facts) return Fail(facts.error());
  AttrReply reply = Describe(*node, *facts);
  if (IsUnlinked(*node)) reply.st.st_nlink = 0;
  return reply;
}

// Without a writable handle it is open, truncate, close.
Status Filesystem::Resize(Call& call, const NodePtr& node, uint64_t size) {
  std::shared_ptr<cache::Pin> pin;
  {
    MutexLock lock(node->mu);
    pin = node->open.write_pin;
    if (pin) node->open.dirty = true;
  }
  if (pin) return rooms_.store.ResizePart(*pin, size);
  const auto opened = Open(call, node->ino, size == 0 ? O_WRONLY | O_TRUNC : O_WRONLY);
  if (!opened) return Fail(opened.error());
  {
    MutexLock lock(node->mu);
    pin = node->open.write_pin;
  }
  Status status = size == 0 ? Status() : rooms_.store.ResizePart(*pin, size);
  if (status && size > 0) {
    MutexLock lock(node->mu);
    node->open.dirty = true;
  }
  pin.reset();
  if (status) status = Flush(opened->handle);
  Release(opened->handle);
  return status;
}

Status Filesystem::ChangeAttr(const NodePtr& node, const AttrChange& change) {
  ReaderLock names(names_mu_);
  MutexLock lock(node->mu);
  if (change.mtime_ns) node->touched_ns = 0;
  if (node->open.item != 0) return ChangeOpen(*node, change);
  const auto path = nodes_.PathOf(node);
  if (!path && node->open.handles > 0) {  // only this node knows it
    Apply(change, rooms_.clock.WallNs(), node->described);
    return {};
  }
  if (!path) return Fail(ENOENT, "deleted");
  if (*path == "/") {
    cache::Memory memory{.path = "/", .ino = kRootIno, .kind = cache::ItemKind::kDir};
    memory.attr = RootFacts().attr;
    memory.confirmed = true;
    Apply(change, rooms_.clock.WallNs(), memory.attr);
    return rooms_.store.Remember(memory);
  }
  for (int race = 0;; ++race) {
    auto status = ChangeClosed(*node, *path, change);
    // Uploaded and evicted meanwhile: remembered instead.
    if (status || status.error().code != ENOENT || race == kMaxRaces) return status;
  }
}

Status Filesystem::ChangeClosed(Node& node, const std::string& path, const AttrChange& change) {
  const auto known = Recollect(path, node.entry);
  if (!known) return Fail(known.error());
  cache::Attr attr = known->facts.attr;
  Apply(change, rooms_.clock.WallNs(), attr);
  if (known->overlay.kind == cache::Overlay::Kind::kItem) {
    return rooms_.store.SetAttr(known->overlay.item.id, attr);
  }
  // The remote cannot keep them: remembered as long as it shows this version.
  const cache::Overlay overlay = rooms_.store.Lookup(path);
  ++attr_changes_;
  return rooms_.store.Remember({.path = path,
                                .ino = node.ino,
                                .kind = node.kind,
                                .attr = attr,
                                .identity = known->identity,
                                .confirmed = overlay.kind != cache::Overlay::Kind::kUploaded});
}

Status Filesystem::ChangeOpen(Node& node, const AttrChange& change) {
  OpenFile& open = node.open;
  if (const auto row = rooms_.store.Get(open.item)) open.attr = row->attr;
  const int64_t mtime_before = open.attr.mtime_ns;
  Apply(change, rooms_.clock.WallNs(), open.attr);
  if (open.writers > 0 && (change.mtime_ns || change.atime_ns)) {
    // Once something is written, stat shows the backing file's times (docs/ARCHITECTURE.md,
    // "Passthrough").
    const auto st = (*open.write_pin)->Stat();
    if (!st) return Fail(st.error());
    const int64_t shown = WasChanged(open, *st) ? ToNs(st->st_mtim) : mtime_before;
    auto status = (*open.write_pin)
                      ->SetTimes(change.atime_ns.value_or(ToNs(st->st_atim)),
                                 change.mtime_ns.value_or(shown));
    if (!status) return status;
  }
  auto status = rooms_.store.SetAttr(open.item, open.attr);
  if (!status && status.error().code == ENOENT) return {};  // deleted: only this node knows it
  return status;
}

}  // namespace outboxfs::fs
