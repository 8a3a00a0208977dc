// Rename: what exists only here is renamed here; what the server has is renamed there first, while
// the caller waits, and then here (changes.cc).
//
// What has uploads under way beneath it is renamed here at once, and there later (deferred.cc).
#include <stdio.h>

#include <cerrno>
#include <chrono>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"
#include "fs/renaming.h"

namespace outboxfs::fs {
namespace {

constexpr int kMaxRaces = 100;
constexpr std::chrono::seconds kCancelTime{10};
constexpr std::chrono::milliseconds kLook{200};

std::string Parent(const std::string& path) { return std::string(cache::ParentOf(path)); }
std::string Name(const std::string& path) { return std::string(cache::NameOf(path)); }

// "/a/b/c" -> "a": the cloud, when the mount shows the server's root.
std::string_view FirstPart(std::string_view path) { return path.substr(1, path.find('/', 1) - 1); }

bool IsBeingPlaced(const cache::Store& store, cache::ItemId id) {
  const auto item = store.Get(id);
  return item && item->state == cache::State::kPlacing;
}

bool MeansOtherCloud(int code) { return code == EPERM || code == EOPNOTSUPP || code == EXDEV; }

}  // namespace

Status Filesystem::Rename(Call& call, cache::Ino from_dir, const std::string& from,
                          cache::Ino to_dir, const std::string& to, unsigned flags) {
  if (auto status = CheckWritable(); !status) return status;
  if ((flags & ~static_cast<unsigned>(RENAME_NOREPLACE)) != 0) return FailErrno(EINVAL, "rename");
  for (const std::string& name : {from, to}) {
    if (auto status = CheckName(name); !status) return status;
  }
  if (IsTempName(to)) return Fail(EPERM, to + " is a name for our own temporary files");
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
    const auto renamed = !renaming.remote     ? RenameHere(renaming)
                         : MustWait(renaming) ? RenameLater(renaming)
                                              : RenameRemotely(renaming);
    if (!renamed && renamed.error().code == EBUSY) {
      if (auto status = AwaitOtherChange(lane); !status) return status;
      continue;
    }
    if (!renamed) return Fail(renamed.error());
    if (!*renamed) continue;
    Touch(*source);
    Touch(*target);
    return {};
  }
  return Fail(EAGAIN, "the names keep changing");
}

Status Filesystem::LookAtRename(Renaming& renaming, SlowLane& lane) {
  auto from = FindForChange(renaming.from_dir, renaming.from_name, lane);
  if (!from) return Fail(from.error());
  auto to = FindForChange(renaming.to_dir, renaming.to_name, lane);
  if (!to) return Fail(to.error());
  renaming.from = *std::move(from);
  renaming.to = *std::move(to);
  renaming.from_uploading = renaming.from.in_flight() && renaming.from.overlay.item.upload_path ==
                                                             ServerPathOf(renaming.from.path);
  // What was kept there to be overwritten goes along, if it shows already.
  const bool placed_later = renaming.from_uploading && !renaming.from.overlay.item.kept;
  renaming.remote = renaming.from.on_server() && !placed_later;
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

// ---- What only exists here ----------------------------------------------------------------

Result<bool> Filesystem::RenameHere(const Renaming& renaming) {
  const Found& from = renaming.from;
  const Found& to = renaming.to;
  if (to.on_server() && IsDeferred(to.path)) {  // empty, and not where its name says
    const auto removed = RemoveThere(renaming.to_dir, renaming.to_name, to);
    if (!removed) return Fail(removed.error());
    return false;
  }
  WriterLock names(names_mu_);
  if (!StillTrue(renaming.from_dir, renaming.from_name, from) ||
      !StillTrue(renaming.to_dir, renaming.to_name, to)) {
    return false;
  }
  for (const std::string& path : {from.path, to.path}) {
    if (rooms_.store.IsBusy(ServerPathOf(path))) return Fail(EBUSY, path);
  }
  const bool hide = from.on_server() || from.in_flight();
  // Its old version is read on also when the upload of the new one has replaced it.
  const cache::HoldId read_on =
      to.on_server() ? HoldReaders(renaming.to_dir, renaming.to_name, to.path) : 0;
  const auto renamed = rooms_.store.Rename(from.path, to.path, hide, SeenIn(from));
  if (!renamed) {
    EndHold(renaming.to_dir, renaming.to_name, read_on);
    if (renamed.error().code == ESTALE) return false;  // an upload ended just now
    return Fail(renamed.error());
  }
  nodes_.Move(renaming.from_dir, renaming.from_name, renaming.to_dir, renaming.to_name);
  return true;
}

// ---- What the server has ------------------------------------------------------------------

// ESTALE: something has changed, look again.
Result<cache::Intent> Filesystem::BeginRename(const Renaming& renaming, cache::HoldId& read_on) {
  cache::Intent intent = IntentOf(renaming);
  const bool replaces = !intent.aside.empty();
  WriterLock names(names_mu_);
  if (!StillTrue(renaming.from_dir, renaming.from_name, renaming.from) ||
      !StillTrue(renaming.to_dir, renaming.to_name, renaming.to)) {
    return Fail(ESTALE, renaming.from.path + " has changed");
  }
  if (replaces) read_on = HoldReaders(renaming.to_dir, renaming.to_name, renaming.to.path);
  auto begun = BeginChange(std::move(intent));
  if (!begun) EndHold(renaming.to_dir, renaming.to_name, read_on);
  return begun;
}

// Until the source is in its place, or it takes too long.
Status Filesystem::AwaitPlacing(const Renaming& renaming) {
  renaming.waited = true;
  const cache::ItemId source = renaming.from.overlay.item.id;
  const auto news = rooms_.store.feed().Subscribe();
  const SteadyTime deadline = rooms_.clock.Now() + kCancelTime;
  while (IsBeingPlaced(rooms_.store, source) && rooms_.clock.Now() < deadline) {
    if (lane_.exit.stop_requested()) return FailErrno(EINTR, "waiting for an upload");
    news->Take(lane_.exit.get_token(), CondVar::Clock::now() + kLook);
  }
  return {};
}

Result<bool> Filesystem::RenameRemotely(const Renaming& renaming) {
  cache::HoldId read_on = 0;
  const auto begun = BeginRename(renaming, read_on);
  if (!begun && begun.error().code == ESTALE) return false;
  if (!begun) return Fail(begun.error());
  const cache::Intent& intent = *begun;
  // An upload that deletes the old version and puts the new one in its place is let through first;
  // any that begins later finds the names busy.
  const cache::Item& source = renaming.from.overlay.item;
  if (!renaming.waited && renaming.from.is_item() && IsBeingPlaced(rooms_.store, source.id)) {
    EndHold(renaming.to_dir, renaming.to_name, read_on);
    if (auto dropped = CancelChange(intent); !dropped) return Fail(dropped.error());
    if (auto waited = AwaitPlacing(renaming); !waited) return Fail(waited.error());
    return false;
  }
  cache::ItemId held = 0;
  Status status = RememberSource(renaming);
  if (status) status = KeepShowing(renaming.to_dir, renaming.to_name, renaming.to);
  if (status) status = PrepareTarget(renaming, held);
  if (status) status = PutAside(intent, read_on);
  if (!status) {
    const auto cancelled = CancelChange(intent);
    if (!cancelled) Log::Error("{}: {}", intent.from, cancelled.error().text);
  } else {
    status = CarryOut(intent);
  }
  if (status) return true;
  PutBack(intent, read_on);
  LetGo(renaming.to_dir, renaming.to_name, held);
  Error error = status.error();
  if (options_.remote_folder == "/" && MeansOtherCloud(error.code) &&
      FirstPart(intent.from) != FirstPart(intent.to)) {
    error.code = EXDEV;  // mv then copies (docs/PROTOCOL.md, rule 12)
  }
  return Fail(error.Prepend("rename " + intent.from));
}

cache::Intent Filesystem::IntentOf(const Renaming& renaming) const {
  const Found& from = renaming.from;
  const Found& to = renaming.to;
  cache::Intent intent{.kind = cache::Intent::Kind::kRename,
                       .what = from.facts->kind,
                       .from = from.path,
                       .to = to.path,
                       .newer_here = from.is_newer_here()};
  const auto temporary = [&] {
    return remote::PassingName(device_tag_, rooms_.store.NewIno(), renaming.to_name);
  };
  if (Parent(from.path) != Parent(to.path) && renaming.from_name != renaming.to_name) {
    intent.passing = temporary();
  }
  // Whatever its upload may leave there makes room too.
  if (to.on_server() || to.in_flight()) intent.aside = temporary();
  intent.source = from.identity();
  intent.target = to.identity();
  intent.source_item = from.overlay.item.id;
  intent.target_item = to.overlay.item.id;
  return intent;
}

// So that the new name shows at once, whatever a lagging listing says.
Status Filesystem::RememberSource(const Renaming& renaming) {
  return KeepShowing(renaming.from_dir, renaming.from_name, renaming.from);
}

// What has another name on the server for a while shows under its own.
Status Filesystem::KeepShowing(const NodePtr& dir, const std::string& name, const Found& found) {
  if (!found.entry || found.overlay.kind != cache::Overlay::Kind::kNone) return {};
  const NodePtr node = nodes_.Child(dir, name);
  cache::Memory memory{.path = found.path, .kind = found.facts->kind, .attr = found.facts->attr};
  memory.ino = found.facts->ino != 0 ? found.facts->ino : node ? node->ino : rooms_.store.NewIno();
  memory.identity = IdentityOf(*found.entry);
  return rooms_.store.Remember(memory);
}

// The upload of a file that is to be replaced could still finish at the target's path. Directories
// that are still only staged are needed now; the uploader finds them there.
Status Filesystem::PrepareTarget(const Renaming& renaming, cache::ItemId& held) {
  const Found& to = renaming.to;
  held = Hold(to);
  const auto replaced_is_up = [&, item = to.overlay.item.id] {
    const auto now = rooms_.store.Get(item);
    return now && now->upload_generation != 0 && !now->kept;
  };
  if (to.in_flight()) {
    if (auto ended = AwaitNo(replaced_is_up); !ended) return ended;
  }
  // Others that were begun under this name, and were renamed or deleted since.
  const auto another_is_up = [&, source = renaming.from.overlay.item.id] {
    return rooms_.store.IsUploadedTo(ServerPathOf(to.path), to.path, source);
  };
  if (auto ended = AwaitNo(another_is_up); !ended) return ended;
  return MakeRemoteParents(Parent(to.path));
}

// One that nobody wants any more is cancelled by the uploader.
Status Filesystem::AwaitNo(const std::function<bool()>& upload) {
  const auto news = rooms_.store.feed().Subscribe();
  const SteadyTime deadline = rooms_.clock.Now() + kCancelTime;
  while (upload()) {
    if (lane_.exit.stop_requested()) return FailErrno(EINTR, "waiting for an upload");
    if (rooms_.clock.Now() >= deadline) {
      return Fail(ETIMEDOUT, "an upload to the new name does not end: try again later");
    }
    news->Take(lane_.exit.get_token(), CondVar::Clock::now() + kLook);
  }
  return {};
}

Status Filesystem::MakeRemoteParents(const std::string& path) {
  if (path == "/") return {};
  const cache::Overlay dir = rooms_.store.Lookup(path);
  if (dir.kind != cache::Overlay::Kind::kItem) return {};
  const std::string parent = Parent(path);
  if (auto status = MakeRemoteParents(parent); !status) return status;
  auto made = rooms_.names.MakeDir(ServerPathOf(parent), Name(path), lane_.exit.get_token());
  if (!made && made.error().code != EEXIST) return made;
  return made ? NoteMade(dir.item) : Status();
}

// From now on the server is asked what is in it: an old version that was moved there may have to be
// moved on, or deleted.
Status Filesystem::NoteMade(const cache::Item& dir) {
  remote::Entry entry;
  entry.name = Name(dir.path);
  entry.is_dir = true;
  rooms_.dirs.Put(Parent(ServerPathOf(dir.path)), entry);
  // Begun under another name, which it has to be found by.
  if (dir.upload_generation != 0 && dir.upload_path != ServerPathOf(dir.path)) return {};
  auto done = rooms_.store.MarkDone(dir.id, dir.generation, dir.path, {});
  const bool by_uploader = !done && (done.error().code == ESTALE || done.error().code == EAGAIN);
  return by_uploader ? Status() : done;
}

}  // namespace outboxfs::fs
