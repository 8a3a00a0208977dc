// Unlink and rmdir: the local half first, journalled; then the server, if it has the name too.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr int kMaxRaces = 100;

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
    const auto removed = RemoveFound(*dir, name, *found);
    if (!removed) return Fail(removed.error());
    if (*removed) return {};
  }
  return Fail(EAGAIN, "the name keeps changing");
}

Result<bool> Filesystem::RemoveFound(const NodePtr& dir, const std::string& name,
                                     const Found& found) {
  bool remote = found.on_server();
  {
    WriterLock names(names_mu_);
    if (!StillTrue(dir, name, found)) return false;
    const auto removed = rooms_.store.Remove(found.path, remote || found.in_flight());
    if (!removed) return Fail(removed.error());
    remote = remote || FinishedMeanwhile(found);
    if (!remote) nodes_.Unlink(dir, name);
  }
  if (remote) {
    const auto deleted = DeleteOnServer(found);
    WriterLock names(names_mu_);
    if (!deleted) {
      Unhide(found);
      return Fail(deleted.error());
    }
    nodes_.Unlink(dir, name);
  }
  Touch(dir);
  return true;
}

bool Filesystem::FinishedMeanwhile(const Found& found) const {
  if (!found.in_flight()) return false;
  const auto now = rooms_.store.Get(found.overlay.item.id);
  return !now || now->state == cache::State::kClean;
}

// An interrupt does not end it: the outcome must become known.
Status Filesystem::DeleteOnServer(const Found& found) {
  const std::string path = ServerPathOf(found.path);
  rooms_.downloads.Forget(path);
  const auto deleted = rooms_.names.Delete(path, lane_.exit.get_token());
  if (!deleted && deleted.error().code != ENOENT) {
    const auto listed = ListedOnServer(path);  // a "failed" call may have worked (HARD-CASES 17)
    if (!listed || *listed) {
      Error error = deleted.error();
      Log::Warning("delete {}: {}", path, error.text);
      return Fail(error.Prepend("delete " + path));
    }
  }
  rooms_.dirs.Erase(std::string(cache::ParentOf(path)), std::string(cache::NameOf(path)));
  if (found.facts->is_dir()) rooms_.dirs.InvalidateTree(path);
  return {};
}

Result<std::optional<remote::Entry>> Filesystem::ListedOnServer(const std::string& server_path) {
  const auto listing = rooms_.dirs.Refresh(std::string(cache::ParentOf(server_path)),
                                           rooms_.clock.Now(), lane_.exit.get_token());
  if (!listing) {
    if (listing.error().code == ENOENT) return std::optional<remote::Entry>();
    return Fail(listing.error());
  }
  const remote::Entry* entry = (*listing)->Find(std::string(cache::NameOf(server_path)));
  return entry == nullptr ? std::optional<remote::Entry>() : *entry;
}

// The server deletes a folder with all that is in it, so a cached listing is not enough.
Status Filesystem::CheckEmpty(const Found& found) {
  for (const cache::OverlayEntry& entry : rooms_.store.ListDir(found.path)) {
    if (entry.overlay.kind != cache::Overlay::Kind::kGone) return FailErrno(ENOTEMPTY, found.path);
  }
  if (!found.on_server()) return {};
  const auto listing =
      rooms_.dirs.Refresh(ServerPathOf(found.path), rooms_.clock.Now(), lane_.exit.get_token());
  if (!listing) {
    Error error = listing.error();
    if (error.code == ENOENT) return {};
    return Fail(error.Prepend("is " + found.path + " empty"));
  }
  const auto stands = [&](const remote::Entry& entry) {
    return !IsHiddenName(entry.name) &&
           rooms_.store.Lookup(JoinPath(found.path, entry.name)).kind !=
               cache::Overlay::Kind::kGone;
  };
  if (std::any_of((*listing)->entries.begin(), (*listing)->entries.end(), stands)) {
    return FailErrno(ENOTEMPTY, found.path);
  }
  return {};
}

void Filesystem::Unhide(const Found& found) {
  cache::Memory memory{.path = found.path, .kind = found.facts->kind};
  memory.ino = found.facts->ino != 0 ? found.facts->ino : rooms_.store.NewIno();
  memory.attr = found.facts->attr;
  if (found.entry) {
    memory.identity = IdentityOf(*found.entry);
  } else {
    memory.identity = found.overlay.memory.identity;
  }
  // Unconfirmed takes the gone row away, confirmed leaves the name to the listing again.
  for (const bool confirmed : {false, true}) {
    memory.confirmed = confirmed;
    const auto kept = rooms_.store.Remember(memory);
    if (!kept) Log::Warning("{}: {}", found.path, kept.error().text);
  }
}

}  // namespace outboxfs::fs
