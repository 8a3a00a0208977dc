#include "upload/rooms.h"

#include <algorithm>
#include <cerrno>

#include "common/log.h"
#include "upload/paths.h"

namespace outboxfs::upload {

std::string Rooms::ServerPath(const std::string& mount_path) const {
  const std::string remote = store.RemotePathOf(mount_path);
  return remote.empty() ? "" : ToServerPath(options.remote_folder, remote);
}

std::string Rooms::MountPath(const std::string& server_path) const {
  const std::string remote = ToMountPath(options.remote_folder, server_path);
  return remote.empty() ? "" : store.MountPathOf(remote);
}

std::string Rooms::TempPath(cache::ItemId item, const std::string& path) const {
  return JoinPath(ParentOf(path), TempName(device_tag, item, NameOf(path)));
}

const remote::QueuedUpload* Rooms::FindUploadOf(cache::ItemId item,
                                                const ServerQueue::Uploads& list,
                                                const std::string& upload_id,
                                                const std::string& path) const {
  return FindUpload(list, upload_id, path, [this, item](const std::string& key) {
    const std::vector<cache::Item> all = store.All();
    return std::any_of(all.begin(), all.end(), [&](const cache::Item& other) {
      return other.id != item && other.upload_id == key;
    });
  });
}

bool Rooms::IsAnothers(cache::ItemId item, const std::string& path) const {
  const std::string mount_path = MountPath(path);
  if (mount_path.empty()) return false;
  const cache::Overlay overlay = store.Lookup(mount_path);
  switch (overlay.kind) {
    case cache::Overlay::Kind::kItem:
      return overlay.item.id != item && overlay.item.kind == cache::ItemKind::kFile;
    case cache::Overlay::Kind::kUploaded:
      return overlay.memory.kind == cache::ItemKind::kFile;
    case cache::Overlay::Kind::kNone:
    case cache::Overlay::Kind::kGone:
      break;
  }
  // A deleted file's memory goes with it: this one belongs to a file that came later.
  return store.Recall(mount_path).has_value();
}

bool Rooms::IsReadOn(const std::string& server_path) const {
  const std::string remote = ToMountPath(options.remote_folder, server_path);
  return !remote.empty() && store.IsHeld(remote);
}

Result<remote::ListingPtr> Rooms::List(const std::string& dir, SteadyTime not_before,
                                       const std::stop_token& stop) const {
  Result<remote::ListingPtr> listing = dirs.Refresh(dir, not_before, stop);
  if (!listing) return Fail(listing.error().Prepend("list " + dir));
  return listing;
}

Status Rooms::CheckNotBusy(const std::string& path) const {
  if (!store.IsBusy(path)) return {};
  return Fail(EAGAIN, path + " is being renamed or removed on the server");
}

Status Rooms::EnsureDir(const std::string& dir, const std::stop_token& stop) const {
  if (dir == "/") return {};
  if (Status free = CheckNotBusy(dir); !free) return free;
  const std::string parent = ParentOf(dir);
  Status made = names.MakeDir(parent, NameOf(dir), stop);
  if (!made && made.error().code == ENOENT && parent != "/") {
    if (Status above = EnsureDir(parent, stop); !above) return above;
    made = names.MakeDir(parent, NameOf(dir), stop);
  }
  if (!made && made.error().code != EEXIST) return Fail(made.error().Prepend("mkdir " + dir));
  dirs.Doubt(parent, NameOf(dir), false);
  return {};
}

Status Rooms::EnsureParent(cache::ItemId item, const std::string& path,
                           const std::stop_token& stop) const {
  const std::optional<cache::Item> now = store.Get(item);
  if (!now || now->state == cache::State::kRemoving) return Fail(EAGAIN, "deleted meanwhile");
  if (ServerPath(now->path) != path) return Fail(EAGAIN, "renamed meanwhile");
  const std::string dir = ParentOf(path);
  Log::Notice("{} is missing on the server: making it again", dir);
  return EnsureDir(dir, stop);
}

Status Rooms::DeleteEntry(const std::string& path, const std::stop_token& stop) const {
  Status deleted = names.Delete(path, stop);
  dirs.Erase(ParentOf(path), NameOf(path));
  if (deleted) return {};
  const Result<remote::ListingPtr> listing = List(ParentOf(path), clock.Now(), stop);
  const bool gone = listing ? (*listing)->Find(NameOf(path)) == nullptr
                            : listing.error().code == ENOENT && deleted.error().code == ENOENT;
  if (gone) return {};
  Error error = deleted.error();
  if (error.code == ENOENT) error.code = EAGAIN;  // it is listed
  return Fail(error.Prepend("delete " + path));
}

}  // namespace outboxfs::upload
