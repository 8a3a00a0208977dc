#include "upload/starting.h"

#include <cerrno>

#include "upload/digests.h"
#include "upload/paths.h"
#include "upload/placing.h"

namespace outboxfs::upload {
namespace {

// A server's error may not look like our own word for "this generation is over".
Error NotStale(Error error) {
  if (error.code == ESTALE) error.code = EIO;
  return error;
}

// The call failed: only a forced listing tells whether the directory is there.
Status JudgeFailedMkdir(const Rooms& rooms, const std::string& path, const Error& error,
                        const std::stop_token& stop) {
  const Result<remote::ListingPtr> listing = rooms.List(ParentOf(path), rooms.clock.Now(), stop);
  if (!listing) return Fail(Error(error).Prepend("mkdir " + path));
  const remote::Entry* entry = (*listing)->Find(NameOf(path));
  if (entry != nullptr && entry->is_dir) return {};
  if (entry != nullptr) {
    return Fail(EEXIST, "the server has a file of this name", Retry::kPark);
  }
  const remote::Entry* other = FindOtherCase(**listing, NameOf(path));
  if (error.code == EEXIST && other != nullptr) return OtherCase(other->name);
  return Fail(Error(error).Prepend("mkdir " + path));
}

// Nothing was made yet: if the directory has another name by now, the next try begins there.
Status MakeParent(const Rooms& rooms, cache::ItemId id, const std::string& path,
                  const std::stop_token& stop) {
  Status above = rooms.EnsureParent(id, path, stop);
  const std::optional<cache::Item> now = rooms.store.Get(id);
  if (above || !now || rooms.ServerPath(now->path) == path) return above;
  const Status gone = rooms.store.MarkUploadGone(id);
  return gone ? above : gone;
}

Status MakeAt(const Rooms& rooms, cache::ItemId id, const std::string& path,
              const std::stop_token& stop) {
  if (Status free = rooms.CheckNotBusy(path); !free) return free;
  const std::string parent = ParentOf(path);
  Status made = rooms.names.MakeDir(parent, NameOf(path), stop);
  if (!made && made.error().code == ENOENT && parent != "/") {
    if (Status above = MakeParent(rooms, id, path, stop); !above) return above;
    made = rooms.names.MakeDir(parent, NameOf(path), stop);
  }
  if (!made) return JudgeFailedMkdir(rooms, path, made.error(), stop);
  remote::Entry entry;
  entry.name = NameOf(path);
  entry.is_dir = true;
  rooms.dirs.Put(parent, entry);
  return {};
}

}  // namespace

Result<StartedUpload> StartUpload(const Rooms& rooms, const cache::Item& item,
                                  const std::string& upload_path,
                                  const std::optional<cache::Identity>& replaced,
                                  const std::stop_token& stop) {
  // Renamed: `replaced` is about another path than its own, look again.
  if (Status marked =
          rooms.store.MarkStarting(item.id, item.generation, upload_path, replaced, item.path);
      !marked) {
    return Fail(marked.error());
  }
  const std::optional<cache::Item> now = rooms.store.Get(item.id);
  if (!now) return Fail(ESTALE, "deleted");
  remote::StartRequest request;
  request.path = upload_path;
  request.size = item.size;
  request.known_hashes = ToHashes(now->digests);
  const Result<std::string> upload_id = rooms.uploads.Start(request, stop);
  if (!upload_id) return Fail(NotStale(upload_id.error()).Prepend("start"));
  // If the generation is over by now, the upload is cancelled by this id.
  const Status kept = rooms.store.MarkStarted(item.id, item.generation, *upload_id);
  if (!kept && kept.error().code != ESTALE) return Fail(kept.error());
  return StartedUpload{*upload_id, !request.known_hashes.empty()};
}

Status MakeRemoteDir(const Rooms& rooms, const cache::Item& item, const std::stop_token& stop) {
  // A restart may find it already made, under a name that it no longer has.
  const bool begun = item.upload_generation != 0 && !item.upload_path.empty();
  const std::string path = begun ? item.upload_path : rooms.ServerPath(item.path);
  if (Status marked = rooms.store.MarkStarting(item.id, item.generation, path, std::nullopt);
      !marked) {
    return marked;
  }
  if (Status made = MakeAt(rooms, item.id, path, stop); !made) {
    // Refused: nothing is there that would have to be found under this name.
    const bool refused = made.error().retry == Retry::kPark;
    const Status over = refused ? rooms.store.MarkUploadGone(item.id) : Status();
    return over ? Fail(NotStale(made.error())) : over;
  }
  Status done = rooms.store.MarkDone(item.id, item.generation, rooms.MountPath(path), {});
  if (done || done.error().code != EAGAIN) return done;
  std::string step_to;  // a directory that is no longer wanted is found by its own path
  return Place(rooms, PlacingJob{item.id, item.generation}, step_to, stop);
}

}  // namespace outboxfs::upload
