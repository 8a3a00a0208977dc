// Rename: what exists only here is renamed here; what the server has is renamed there too, while
// the caller waits. The journal first, then the server; a forced listing decides about a failed
// call.
//
// Files beneath a renamed directory that are being uploaded go on to the path that their upload
// named; the uploader places them under their new name afterwards.
#include <stdio.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr int kMaxRaces = 100;
constexpr std::chrono::seconds kCancelTime{10};

std::string Parent(const std::string& path) { return std::string(cache::ParentOf(path)); }
std::string Name(const std::string& path) { return std::string(cache::NameOf(path)); }

// "/a/b/c" -> "a": the cloud, when the mount shows the server's root.
std::string_view FirstPart(std::string_view path) { return path.substr(1, path.find('/', 1) - 1); }

bool MeansOtherCloud(int code) { return code == EPERM || code == EOPNOTSUPP || code == EXDEV; }

}  // namespace

struct Filesystem::Renaming {
  NodePtr from_dir;
  std::string from_name;
  NodePtr to_dir;
  std::string to_name;
  Found from;
  Found to;
  // An upload that may still put something at the source (or, replaced, at the target).
  bool from_uploading = false;
  bool to_uploading = false;
  // Something at the source is the server's to move. What our own upload just put there is not: the
  // uploader places it.
  bool remote = false;
};

Status Filesystem::Rename(Call& call, cache::Ino from_dir, const std::string& from,
                          cache::Ino to_dir, const std::string& to, unsigned flags) {
  if (auto status = CheckWritable(); !status) return status;
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE)) != 0) return FailErrno(EINVAL, "rename");
  for (const std::string& name : {from, to}) {
    if (auto status = CheckName(name); !status) return status;
  }
  if (IsHiddenName(to)) return Fail(EPERM, to + " is a name for our own temporary files");
  const auto source = DirOf(from_dir);
  const auto target = DirOf(to_dir);
  if (!source) return Fail(source.error());
  if (!target) return Fail(target.error());
  Renaming renaming{.from_dir = *source, .from_name = from, .to_dir = *target, .to_name = to};
  SlowLane lane(lane_, call);
  for (int race = 0; race < kMaxRaces; ++race) {
    if (auto status = LookAtRename(renaming, lane); !status) return status;
    if (renaming.from.path == renaming.to.path) return {};
    if (auto status = CheckRename(renaming, flags); !status) return status;
    const auto renamed = RenameLocally(renaming);
    if (!renamed) return Fail(renamed.error());
    if (!*renamed) continue;
    Touch(*source);
    Touch(*target);
    renaming.remote = renaming.remote || FinishedMeanwhile(renaming.from);
    return renaming.remote ? RenameRemotely(renaming) : Status();
  }
  return Fail(EAGAIN, "the names keep changing");
}

Status Filesystem::LookAtRename(Renaming& renaming, SlowLane& lane) {
  const auto look = [&](const NodePtr& dir, const std::string& name, Found& found,
                        bool& uploading) -> Status {
    auto seen = FindForChange(dir, name, lane);
    if (!seen) return Fail(seen.error());
    found = *std::move(seen);
    const cache::Item& item = found.overlay.item;
    uploading = found.is_item() && item.upload_generation != 0 &&
                item.upload_path == ServerPathOf(found.path);
    return {};
  };
  auto status = look(renaming.from_dir, renaming.from_name, renaming.from, renaming.from_uploading);
  if (status) status = look(renaming.to_dir, renaming.to_name, renaming.to, renaming.to_uploading);
  if (!status) return status;
  renaming.remote = renaming.from.on_server() && !renaming.from_uploading;
  if (!renaming.remote) return {};
  const auto token = lane.Enter();
  return token ? Status() : Fail(token.error());
}

Status Filesystem::CheckRename(const Renaming& renaming, unsigned flags) {
  const Found& from = renaming.from;
  const Found& to = renaming.to;
  if (!from.facts) return FailErrno(ENOENT, from.path);
  if (!to.facts) return {};
  if ((flags & RENAME_NOREPLACE) != 0) return FailErrno(EEXIST, to.path);
  if (from.facts->is_dir() && !to.facts->is_dir()) return FailErrno(ENOTDIR, to.path);
  if (!from.facts->is_dir() && to.facts->is_dir()) return FailErrno(EISDIR, to.path);
  return to.facts->is_dir() ? CheckEmpty(to) : Status();
}

Result<bool> Filesystem::RenameLocally(const Renaming& renaming) {
  const Found& from = renaming.from;
  WriterLock names(names_mu_);
  if (!StillTrue(renaming.from_dir, renaming.from_name, from) ||
      !StillTrue(renaming.to_dir, renaming.to_name, renaming.to)) {
    return false;
  }
  if (from.overlay.kind == cache::Overlay::Kind::kNone) {
    // Remembered, so that the new name shows at once, whatever a lagging listing says.
    const NodePtr node = nodes_.Child(renaming.from_dir, renaming.from_name);
    cache::Memory memory{.path = from.path, .kind = from.facts->kind, .attr = from.facts->attr};
    memory.ino = from.facts->ino != 0 ? from.facts->ino : node ? node->ino : rooms_.store.NewIno();
    memory.identity = IdentityOf(*from.entry);
    memory.confirmed = true;
    if (const auto kept = rooms_.store.Remember(memory); !kept) return Fail(kept.error());
  }
  const bool hide = from.on_server() || from.in_flight();
  const auto renamed = rooms_.store.Rename(from.path, renaming.to.path, hide);
  if (!renamed) return Fail(renamed.error());
  nodes_.Move(renaming.from_dir, renaming.from_name, renaming.to_dir, renaming.to_name);
  return true;
}

void Filesystem::UndoLocally(const Renaming& renaming) {
  WriterLock names(names_mu_);
  const auto undone = rooms_.store.Rename(renaming.to.path, renaming.from.path, false);
  if (!undone) Log::Error("back to {}: {}", renaming.from.path, undone.error().text);
  nodes_.Move(renaming.to_dir, renaming.to_name, renaming.from_dir, renaming.from_name);
  if (renaming.to.on_server()) Unhide(renaming.to);
}

Status Filesystem::RenameRemotely(const Renaming& renaming) {
  const std::string from = ServerPathOf(renaming.from.path);
  const std::string to = ServerPathOf(renaming.to.path);
  rooms_.downloads.Forget(from);
  rooms_.downloads.Forget(to);
  if (renaming.to_uploading) AwaitRemoved(renaming.to.overlay.item.id);
  Status status = MakeRemoteParents(Parent(renaming.to.path));
  if (status) {
    status = renaming.to.on_server() ? ReplaceOnServer(renaming, from, to) : MoveOnServer(from, to);
  }
  if (status || HasMoved(renaming)) {
    EditListings(renaming);
    return {};
  }
  // What was listed halfway through is not true any more.
  rooms_.dirs.Invalidate(Parent(from));
  rooms_.dirs.Invalidate(Parent(to));
  Error error = status.error();
  Log::Warning("rename {} to {}: {}", from, to, error.text);
  // The staged bytes are what counts, and those of the target are gone already.
  if (renaming.from.is_newer_here() && renaming.to.is_item()) return {};
  UndoLocally(renaming);
  if (options_.remote_folder == "/" && MeansOtherCloud(error.code) &&
      FirstPart(from) != FirstPart(to)) {
    error.code = EXDEV;  // mv then copies (HARD-CASES 18)
  }
  return Fail(error.Prepend("rename " + from));
}

// The upload of a replaced file could still finish at the target's path: it is cancelled first.
void Filesystem::AwaitRemoved(cache::ItemId item) {
  const auto news = rooms_.store.feed().Subscribe();
  const SteadyTime deadline = CondVar::Clock::now() + kCancelTime;
  while (rooms_.store.Get(item) && CondVar::Clock::now() < deadline &&
         !lane_.exit.stop_requested()) {
    news->Take(lane_.exit.get_token(), deadline);
  }
}

// Directories that are still only staged are needed now; the uploader finds them there.
Status Filesystem::MakeRemoteParents(const std::string& path) {
  if (path == "/" || rooms_.store.Lookup(path).kind != cache::Overlay::Kind::kItem) return {};
  const std::string parent = Parent(path);
  if (auto status = MakeRemoteParents(parent); !status) return status;
  auto made = rooms_.names.MakeDir(ServerPathOf(parent), Name(path), lane_.exit.get_token());
  if (made || made.error().code == EEXIST) return {};
  return made;
}

// In one directory, or to another one, are one step each; both together are two.
Status Filesystem::MoveOnServer(const std::string& from, const std::string& to) {
  const std::stop_token stop = lane_.exit.get_token();
  remote::NamespaceApi& server = rooms_.names;
  if (Parent(from) == Parent(to)) return server.Rename(from, Name(to), stop);
  if (Name(from) == Name(to)) return server.Move(from, Parent(to), stop);
  // On its way it has a name that is nobody's in either directory.
  const std::string passing = HiddenName(rooms_.store.device_id(), rooms_.store.NewIno(), Name(to));
  if (auto status = server.Rename(from, passing, stop); !status) return status;
  const std::string at_source = JoinPath(Parent(from), passing);
  const std::string at_target = JoinPath(Parent(to), passing);
  auto status = server.Move(at_source, Parent(to), stop);
  if (status) {
    status = server.Rename(at_target, Name(to), stop);
    if (status) return status;
    const auto back = server.Move(at_target, Parent(from), stop);
    if (!back) Log::Error("{} could not be moved back: {}", at_target, back.error().text);
  }
  const auto back = server.Rename(at_source, Name(from), stop);
  if (!back) Log::Error("{} could not get its name back: {}", at_source, back.error().text);
  return status;
}

// The target keeps its bytes under a temporary name until the source stands in its place.
Status Filesystem::ReplaceOnServer(const Renaming& renaming, const std::string& from,
                                   const std::string& to) {
  const std::stop_token stop = lane_.exit.get_token();
  remote::NamespaceApi& server = rooms_.names;
  if (renaming.to.facts && renaming.to.facts->is_dir()) {  // empty, as was checked
    auto deleted = server.Delete(to, stop);
    if (!deleted && deleted.error().code != ENOENT) return deleted;
    return MoveOnServer(from, to);
  }
  const std::string aside = HiddenName(rooms_.store.device_id(), rooms_.store.NewIno(), Name(to));
  auto put_aside = server.Rename(to, aside, stop);
  if (!put_aside && put_aside.error().code == ENOENT) return MoveOnServer(from, to);
  if (!put_aside) return put_aside;
  const std::string aside_path = JoinPath(Parent(to), aside);
  auto status = MoveOnServer(from, to);
  const auto listed = ListedOnServer(to);
  if (listed && *listed) {
    auto deleted = server.Delete(aside_path, stop);
    if (!deleted) Log::Warning("{} stays on the server: {}", aside_path, deleted.error().text);
    rooms_.dirs.Erase(Parent(to), aside);
    return {};
  }
  if (status) status = Fail(EIO, to + " is not listed after the rename");
  const auto back = server.Rename(aside_path, Name(to), stop);
  if (!back) Log::Error("{} could not get its name back: {}", aside_path, back.error().text);
  return status;
}

bool Filesystem::HasMoved(const Renaming& renaming) {
  const auto source = ListedOnServer(ServerPathOf(renaming.from.path));
  if (!source || *source) return false;
  if (renaming.from.is_newer_here()) return true;  // only an old version was to move
  const auto target = ListedOnServer(ServerPathOf(renaming.to.path));
  return target && *target &&
         (!renaming.from.entry ||
          cache::SameVersion(IdentityOf(**target), IdentityOf(*renaming.from.entry)));
}

void Filesystem::EditListings(const Renaming& renaming) {
  const std::string from = ServerPathOf(renaming.from.path);
  const std::string to = ServerPathOf(renaming.to.path);
  remote::Entry entry;
  if (renaming.from.entry) {
    entry = *renaming.from.entry;
  } else {
    entry.is_dir = renaming.from.facts->is_dir();
    entry.size = renaming.from.overlay.memory.identity.size;
    entry.mtime_ns = renaming.from.overlay.memory.identity.mtime_ns;
    entry.id = renaming.from.overlay.memory.identity.id;
  }
  entry.name = Name(to);
  if (entry.is_dir) {
    rooms_.dirs.InvalidateTree(from);
    rooms_.dirs.InvalidateTree(to);
  }
  rooms_.dirs.Erase(Parent(from), Name(from));
  rooms_.dirs.Put(Parent(to), entry);
}

}  // namespace outboxfs::fs
