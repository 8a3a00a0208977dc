// Unlink and rmdir: at the server first, if it has the name too; then here.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr int kMaxRaces = 100;
// What is still listed so long after we have deleted it was not deleted.
constexpr std::chrono::seconds kBelievedGone{60};

}  // namespace

Status Filesystem::Unlink(Call& call, cache::Ino parent, const std::string& name) {
  return RemoveChild(call, parent, name, false);
}

Status Filesystem::RemoveDir(Call& call, cache::Ino parent, const std::string& name) {
  return RemoveChild(call, parent, name, true);
}

// What is only here can be changed while the server does not answer.
Result<Filesystem::Found> Filesystem::FindForChange(const NodePtr& dir, const std::string& name,
                                                    SlowLane& lane) {
  auto found = Find(dir, name, lane);
  if (found) return found;
  const auto path = PathOf(dir);
  if (!path) return Fail(path.error());
  Found local = Decide({.path = *path, .listing = nullptr, .certain = false}, name);
  if (local.is_item()) return local;
  return found;
}

bool Filesystem::StillTrue(const NodePtr& dir, const std::string& name, const Found& found) const {
  const auto path = PathIn(dir, name);
  if (!path || *path != found.path) return false;
  const cache::Overlay now = rooms_.store.Lookup(*path);
  return now.kind == found.overlay.kind && now.item.id == found.overlay.item.id &&
         now.item.upload_generation == found.overlay.item.upload_generation;
}

cache::Store::Seen Filesystem::SeenIn(const Found& found) {
  return {.item = found.overlay.item.id, .upload_generation = found.overlay.item.upload_generation};
}

Status Filesystem::RemoveChild(Call& call, cache::Ino parent, const std::string& name,
                               bool is_dir) {
  if (auto status = CheckWritable(); !status) return status;
  if (auto status = CheckName(name); !status) return status;
  const auto dir = DirOf(parent);
  if (!dir) return Fail(dir.error());
  SlowLane lane(lane_, call);
  for (int race = 0; race < kMaxRaces; ++race) {
    auto found = FindForChange(*dir, name, lane);
    if (!found) return Fail(found.error());
    if (!found->facts) return FailErrno(ENOENT, name);
    if (found->facts->is_dir() != is_dir) return FailErrno(is_dir ? ENOTDIR : EISDIR, name);
    if (found->on_server()) {
      if (const auto token = lane.Enter(); !token) return Fail(token.error());
    }
    if (is_dir) {
      if (auto status = CheckEmpty(*found); !status) return status;
    }
    const auto removed =
        found->on_server() ? RemoveThere(*dir, name, *found) : RemoveHere(*dir, name, *found);
    if (!removed && removed.error().code == EBUSY) {
      if (auto status = AwaitOtherChange(lane); !status) return status;
      continue;
    }
    if (!removed) return Fail(removed.error());
    if (*removed) return {};
  }
  return Fail(EAGAIN, "the name keeps changing");
}

Result<bool> Filesystem::RemoveHere(const NodePtr& dir, const std::string& name,
                                    const Found& found) {
  {
    WriterLock names(names_mu_);
    if (!StillTrue(dir, name, found)) return false;
    if (rooms_.store.IsBusy(ServerPathOf(found.path))) return Fail(EBUSY, found.path);
    const auto removed = rooms_.store.Remove(found.path, found.in_flight(), SeenIn(found));
    if (!removed && removed.error().code == ESTALE) return false;  // an upload ended just now
    if (!removed) return Fail(removed.error());
    nodes_.Unlink(dir, name);
  }
  Touch(dir);
  return true;
}

Result<bool> Filesystem::RemoveThere(const NodePtr& dir, const std::string& name,
                                     const Found& found) {
  return found.facts->is_dir() && IsInUse(found.path) ? RemoveLater(dir, name, found)
                                                      : RemoveRemotely(dir, name, found);
}

// An interrupt does not end it: the outcome must become known.
Result<bool> Filesystem::RemoveRemotely(const NodePtr& dir, const std::string& name,
                                        const Found& found) {
  cache::Intent intent{.what = found.facts->kind, .from = found.path};
  intent.source = found.identity();
  intent.source_item = found.overlay.item.id;
  cache::HoldId read_on = 0;
  {
    WriterLock names(names_mu_);
    if (!StillTrue(dir, name, found)) return false;
    read_on = HoldReaders(dir, name, found.path);
    if (read_on != 0) {
      intent.aside = remote::PassingName(device_tag_, rooms_.store.NewIno(), name);
    }
    auto begun = BeginChange(std::move(intent));
    if (!begun) {
      EndHold(dir, name, read_on);
      if (begun.error().code == ESTALE) return false;  // an upload began just now
      return Fail(begun.error());
    }
    intent = *std::move(begun);
  }
  const cache::ItemId held = Hold(found);
  Status done = PutAside(intent, read_on);
  if (done) {
    done = CarryOut(intent);
  } else if (const auto cancelled = CancelChange(intent); !cancelled) {
    Log::Error("{}: {}", intent.from, cancelled.error().text);
  }
  if (!done) {
    PutBack(intent, read_on);
    LetGo(dir, name, held);
    Error error = done.error();
    return Fail(error.Prepend("delete " + found.path));
  }
  Touch(dir);
  return true;
}

// The server deletes a folder with all that is in it, so a cached listing is not enough.
Status Filesystem::CheckEmpty(const Found& found) {
  for (const cache::OverlayEntry& entry : rooms_.store.ListDir(found.path)) {
    if (entry.overlay.kind != cache::Overlay::Kind::kGone) return FailErrno(ENOTEMPTY, found.path);
  }
  if (!found.on_server()) return {};
  const auto listing = ListNow(ServerPathOf(found.path), lane_.exit.get_token());
  if (!listing) {
    Error error = listing.error();
    return Fail(error.Prepend("is " + found.path + " empty"));
  }
  if (!*listing) return {};
  Reconcile(found.path, **listing);
  const auto counts = [&](const remote::EntryPtr& entry) {
    return CountsAsContent(found.path, *entry);
  };
  const auto& entries = (*listing)->entries;
  if ((*listing)->refused == 0 && std::none_of(entries.begin(), entries.end(), counts)) return {};
  return Fail(ENOTEMPTY, found.path + " holds something on the server");
}

bool Filesystem::CountsAsContent(const std::string& dir, const remote::Entry& entry) const {
  if (IsAside(JoinPath(ServerPathOf(dir), entry.name))) return false;  // it will go
  if (IsTempName(entry.name)) {
    // Somebody's file on its way through a rename; an upload's leftover can be had again.
    return remote::IsPassingName(entry.name) || !remote::IsTempNameOf(device_tag_, entry.name);
  }
  // It is shown elsewhere, or an upload's that has yet to be placed: it will leave (deferred.cc).
  if (!IsItsEntry(dir, entry.name)) return false;
  const cache::Overlay overlay = rooms_.store.Lookup(JoinPath(dir, entry.name));
  if (overlay.kind == cache::Overlay::Kind::kGone &&
      rooms_.store.IsUploadingTo(JoinPath(ServerPathOf(dir), entry.name))) {
    return false;
  }
  return overlay.kind != cache::Overlay::Kind::kGone ||
         overlay.since < rooms_.clock.Now() - kBelievedGone;
}

}  // namespace outboxfs::fs
