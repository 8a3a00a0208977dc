// Renames and removals that are done here at once and on the server later (cache/item.h: Intent):
// of a directory in which uploads are under way, and onto a name that the server has yet to free.
// The settler's thread carries them out, as it does what is undecided (changes.cc).
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "cache/renames.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"
#include "fs/renaming.h"

namespace outboxfs::fs {
namespace {

constexpr std::chrono::seconds kAfterTrouble{60};

std::string Parent(const std::string& path) { return std::string(cache::ParentOf(path)); }
std::string Name(const std::string& path) { return std::string(cache::NameOf(path)); }

// "/a/b/c" -> "a": the cloud, when the mount shows the server's root.
std::string_view FirstPart(std::string_view path) { return path.substr(1, path.find('/', 1) - 1); }

bool Waits(const cache::Intent& intent) { return !intent.under_way(); }

std::string Words(const cache::Intent& intent) {
  if (intent.to.empty()) return "delete " + intent.remote_from;
  return "rename " + intent.remote_from + " to " + intent.to;
}

// What another try may mend by itself.
bool IsPassing(const Error& error) {
  return error.code == EBUSY || error.code == ESTALE || error.code == EINTR ||
         error.code == ECANCELED || error.code == EIO || error.code == ETIMEDOUT ||
         error.code == EAGAIN;
}

}  // namespace

// On the server: uploads are under way in the directory, or something has yet to leave it.
bool Filesystem::IsInUse(const std::string& path) const {
  return rooms_.store.IsUploadingIn(ServerPathOf(path)) ||
         rooms_.store.HoldsDeferred(rooms_.store.RemotePathOf(path));
}

bool Filesystem::MustWait(const Renaming& renaming) const {
  if (!renaming.remote) return false;
  const Found& from = renaming.from;
  const Found& to = renaming.to;
  if (ServerPathOf(to.path).empty()) return true;
  if (!from.facts->is_dir()) return IsDeferred(from.path);
  return IsDeferred(from.path) || rooms_.store.IsUploadingIn(ServerPathOf(from.path)) ||
         (to.on_server() && IsInUse(to.path));
}

// One that waits already goes on, to the newer name.
bool Filesystem::IsDeferred(const std::string& path) const {
  if (!rooms_.store.AnyDeferred()) return false;
  const auto intents = rooms_.store.Intents();
  return std::any_of(intents.begin(), intents.end(), [&](const cache::Intent& intent) {
    return intent.deferred && intent.to == path;
  });
}

Result<bool> Filesystem::RenameLater(const Renaming& renaming) {
  const Found& from = renaming.from;
  const Found& to = renaming.to;
  // The server would say so too late for mv to copy. (A name in the root itself it may refuse.)
  const bool in_root = Parent(from.path) == "/" && Parent(to.path) == "/";
  if (options_.remote_folder == "/" && !in_root && FirstPart(from.path) != FirstPart(to.path)) {
    return FailErrno(EXDEV, to.path);
  }
  // Replaced: an empty directory, or a file at a name that the server has free.
  if (to.on_server()) {
    auto removed = RemoveThere(renaming.to_dir, renaming.to_name, to);
    if (!removed) return removed;
    return false;
  }
  if (auto known = RememberSource(renaming); !known) return Fail(known.error());
  {
    WriterLock names(names_mu_);
    if (!StillTrue(renaming.from_dir, renaming.from_name, from) ||
        !StillTrue(renaming.to_dir, renaming.to_name, to)) {
      return false;
    }
    cache::Intent intent{.what = from.facts->kind,
                         .folder = options_.remote_folder,
                         .from = from.path,
                         .to = to.path,
                         .source = from.identity()};
    const auto deferred = rooms_.store.DeferRename(std::move(intent), SeenIn(from));
    if (!deferred && deferred.error().code == ESTALE) return false;
    if (!deferred) return Fail(deferred.error());
    nodes_.Move(renaming.from_dir, renaming.from_name, renaming.to_dir, renaming.to_name);
  }
  Log::Info("rename {} to {}: the server follows when the uploads in it have ended", from.path,
            to.path);
  changes_moved_.NotifyAll();
  return true;
}

Result<bool> Filesystem::RemoveLater(const NodePtr& dir, const std::string& name,
                                     const Found& found) {
  {
    WriterLock names(names_mu_);
    if (!StillTrue(dir, name, found)) return false;
    const auto deferred = rooms_.store.DeferRemoval(
        {.what = found.facts->kind, .folder = options_.remote_folder, .from = found.path},
        SeenIn(found));
    if (!deferred && deferred.error().code == ESTALE) return false;
    if (!deferred) return Fail(deferred.error());
    nodes_.Unlink(dir, name);
  }
  Touch(dir);
  Log::Info("delete {}: the server follows when the uploads in it have ended", found.path);
  changes_moved_.NotifyAll();
  return true;
}

// ---- On the server ------------------------------------------------------------------------

bool Filesystem::HasDeferred() const {
  if (!rooms_.store.AnyDeferred()) return false;
  const auto intents = rooms_.store.Intents();
  return std::any_of(intents.begin(), intents.end(), [this](const cache::Intent& intent) {
    return intent.folder == options_.remote_folder && Waits(intent);
  });
}

void Filesystem::CarryOutDeferred(const std::stop_token& stop) {
  const std::vector<cache::Intent> intents = rooms_.store.Intents();
  for (const cache::Intent& intent : intents) {
    if (stop.stop_requested()) return;
    if (!Waits(intent) || intent.folder != options_.remote_folder) continue;
    auto& next_try = deferred_tries_[intent.id];
    if (!intent.trouble.empty() && rooms_.clock.Now() < next_try) continue;
    const Status done = CarryOutLater(intent, intents);
    if (done) {
      deferred_tries_.erase(intent.id);
      continue;
    }
    if (IsPassing(done.error())) continue;
    next_try = rooms_.clock.Now() + kAfterTrouble;
    rooms_.store.NoteTrouble(intent.id, done.error().text);
    Log::Notice("{}: {}", Words(intent), done.error().text);
  }
}

// Where the server is to have what the mount shows at `path`, as a remote path. Empty: its
// directory has no place yet, or it is to go.
std::string Filesystem::PlaceOf(const std::string& path) const {
  if (path.empty()) return "";
  const std::string dir = rooms_.store.RemotePathOf(Parent(path));
  return dir.empty() ? "" : JoinPath(dir, Name(path));
}

// Uploads that were begun at this remote path by what has another name now, and leave it.
std::vector<cache::Item> Filesystem::LeavingUploads(const std::string& remote_path) const {
  const std::string at = ServerPath(options_.remote_folder, remote_path);
  std::vector<cache::Item> there = rooms_.store.UploadsAt(at);
  std::erase_if(there, [](const cache::Item& item) { return item.state == cache::State::kParked; });
  return there;
}

Status Filesystem::CarryOutLater(const cache::Intent& intent,
                                 const std::vector<cache::Intent>& all) {
  if (intent.kind == cache::Intent::Kind::kRemove) return RemoveAtLast(intent);
  std::string place = PlaceOf(intent.to);
  if (place.empty()) return FailErrno(EBUSY, intent.to);
  const std::string at = ServerPath(options_.remote_folder, intent.remote_from);
  if (place != intent.remote_from && rooms_.store.IsUploadingIn(at)) {
    return FailErrno(EBUSY, intent.to);
  }
  if (IsInACircle(intent, all)) {
    place = JoinPath(Parent(place),
                     remote::PassingName(device_tag_, rooms_.store.NewIno(), Name(intent.to)));
  } else if (place != intent.remote_from && !LeavingUploads(place).empty()) {
    return FailErrno(EBUSY, intent.to);
  } else if (auto made = MakeRemoteParents(Parent(intent.to)); !made) {
    return made;
  }
  const bool two_steps =
      Parent(place) != Parent(intent.remote_from) && Name(place) != Name(intent.remote_from);
  const std::string passing =
      two_steps ? remote::PassingName(device_tag_, rooms_.store.NewIno(), Name(intent.to)) : "";
  if (place == intent.remote_from) return EndDeferred(intent, place);  // renamed back
  const auto begun = BeginLater(intent, place, passing);
  if (!begun) return Fail(begun.error());
  Status done = CarryOut(*begun);
  if (done || done.error().code != ENOENT) return done;
  const auto beside = ListNow(Parent(at), lane_.exit.get_token());
  if (!beside) return Fail(beside.error());
  if (*beside && (*beside)->Find(Name(at)) != nullptr) return done;
  Log::Notice("{} is not on the server any more: there is nothing to rename", at);
  return EndDeferred(intent, place);
}

Result<cache::Intent> Filesystem::BeginLater(const cache::Intent& intent, const std::string& place,
                                             const std::string& passing) {
  MutexLock lock(changes_mu_);
  auto begun = rooms_.store.BeginDeferred(intent.id, place, passing);
  if (!begun) return begun;
  changes_.insert(begun->id);
  late_until_.erase(begun->id);
  return begun;
}

// The server has nothing to do.
Status Filesystem::EndDeferred(const cache::Intent& intent, const std::string& place) {
  const auto begun = BeginLater(intent, place, "");
  if (!begun) return Fail(begun.error());
  Status done = FollowServer(*begun, cache::Store::Caller::kWaits);
  LeaveChange(*begun);
  return done;
}

// What somebody has put there since stays, and shows again.
Status Filesystem::RemoveAtLast(const cache::Intent& intent) {
  const std::string at = ServerPath(options_.remote_folder, intent.remote_from);
  if (intent.is_aside()) {
    if (rooms_.store.IsHeld(intent.remote_from)) return FailErrno(EBUSY, intent.from);
    const auto begun = BeginLater(intent, "", "");
    return begun ? CarryOut(*begun) : Fail(begun.error());
  }
  if (rooms_.store.IsUploadingIn(at) || rooms_.store.HoldsDeferred(intent.remote_from)) {
    return FailErrno(EBUSY, intent.from);
  }
  const auto begun = BeginLater(intent, "", "");
  if (!begun) return Fail(begun.error());
  const auto inside = ListNow(at, lane_.exit.get_token());
  if (!inside) {
    const auto cancelled = CancelChange(*begun);
    return cancelled ? Fail(inside.error()) : cancelled;
  }
  const auto counts = [this](const remote::EntryPtr& entry) {
    return remote::IsPassingName(entry->name) || !remote::IsTempNameOf(device_tag_, entry->name);
  };
  const bool filled =
      *inside && ((*inside)->refused > 0 ||
                  std::any_of((*inside)->entries.begin(), (*inside)->entries.end(), counts));
  if (!filled) return CarryOut(*begun);
  Log::Notice("{} is not empty any more on the server: it stays", at);
  Status done = rooms_.store.GiveUpDeferred(intent.id);
  LeaveChange(*begun);
  return done;
}

// Each waits for the next one to make room: directories that change their names, one that takes the
// name of what it was in, or what is being uploaded under a name that it has no more.
bool Filesystem::IsInACircle(const cache::Intent& intent,
                             const std::vector<cache::Intent>& all) const {
  struct Mover {
    std::string at;     // remote path
    std::string place;  // where it is to go; empty: it is to be removed
    bool operator==(const Mover&) const = default;
  };
  const Mover first{intent.remote_from, PlaceOf(intent.to)};
  std::vector<Mover> reached{first};
  for (size_t i = 0; i < reached.size(); ++i) {
    const Mover mover = reached[i];
    std::vector<Mover> in_the_way;
    for (const cache::Intent& other : all) {
      if (!Waits(other) || other.remote_from == mover.at) continue;
      const bool blocks = mover.place.empty() ? cache::IsAtOrBeneath(other.remote_from, mover.at)
                                              : other.remote_from == mover.place;
      if (blocks) in_the_way.push_back({other.remote_from, PlaceOf(other.to)});
    }
    if (!mover.place.empty()) {
      for (const cache::Item& item : LeavingUploads(mover.place)) {
        const std::string place = item.state == cache::State::kRemoving ? "" : PlaceOf(item.path);
        in_the_way.push_back({mover.place, place});
      }
    }
    for (Mover& other : in_the_way) {
      if (other == first) return true;
      if (std::find(reached.begin(), reached.end(), other) == reached.end()) {
        reached.push_back(std::move(other));
      }
    }
  }
  return false;
}

}  // namespace outboxfs::fs
