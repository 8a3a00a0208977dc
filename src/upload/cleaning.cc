#include "upload/cleaning.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "common/log.h"
#include "upload/digests.h"
#include "upload/paths.h"
#include "upload/policy.h"
#include "upload/proof.h"

namespace outboxfs::upload {
namespace {

using std::chrono::milliseconds;

constexpr auto kCancelPatience = std::chrono::seconds(30);
// How long a listing may lag behind an upload that finished at the very end.
constexpr auto kLagPatience = std::chrono::seconds(6);

// False on stop.
bool Pause(std::chrono::nanoseconds pause, const std::stop_token& stop) {
  Mutex mu;
  CondVar never;
  const SteadyTime until = std::chrono::steady_clock::now() + pause;
  MutexLock lock(mu);
  while (!stop.stop_requested() && never.WaitUntil(mu, stop, until)) {
  }
  return !stop.stop_requested();
}

// ENOENT: the server does not know it (any more).
Status SendCancel(const Rooms& rooms, const std::string& upload_id, const std::stop_token& stop) {
  return rooms.uploads.ControlUpload(upload_id, remote::Control::kCancel, stop);
}

// Is `entry` the result of the upload, and not what was there before or came from elsewhere?
bool IsOurs(const remote::Entry& entry, const Leftover& leftover) {
  if (IsTempName(entry.name)) return true;
  if (entry.is_dir != leftover.is_dir) return false;
  if (leftover.is_dir) return !leftover.replaced;
  // Without the size, only what the user deleted is ours to delete.
  if (leftover.size ? entry.size != *leftover.size : !leftover.keep_path.empty()) return false;
  const cache::Identity identity = IdentityOf(entry);
  if (leftover.replaced && cache::SameVersion(identity, *leftover.replaced)) return false;
  return std::all_of(entry.hashes.begin(), entry.hashes.end(), [&leftover](const auto& listed) {
    const auto known = leftover.digests.find(static_cast<uint32_t>(listed.first));
    return known == leftover.digests.end() || SameHex(known->second, listed.second);
  });
}

// A directory that we made and nobody filled.
Result<bool> IsEmptyDir(const Rooms& rooms, const std::string& path, const std::stop_token& stop) {
  const Result<remote::ListingPtr> listing = rooms.List(path, rooms.clock.Now(), stop);
  if (!listing) return Fail(listing.error());
  return (*listing)->empty();
}

// Deletes our result if it is there; false when nothing of ours is to be seen.
Result<bool> DeleteResult(const Rooms& rooms, const Leftover& leftover,
                          const std::stop_token& stop) {
  const Result<remote::ListingPtr> listing =
      rooms.List(ParentOf(leftover.upload_path), rooms.clock.Now(), stop);
  if (!listing && listing.error().code == ENOENT) return true;
  if (!listing) return Fail(listing.error());
  const remote::Entry* entry = (*listing)->Find(NameOf(leftover.upload_path));
  if (entry == nullptr || !IsOurs(*entry, leftover)) return false;
  if (leftover.is_dir) {
    const Result<bool> empty = IsEmptyDir(rooms, leftover.upload_path, stop);
    if (!empty) return Fail(empty.error());
    if (!*empty) return true;
  }
  Log::Info("deleting {}: uploaded, but no longer wanted", leftover.upload_path);
  if (Status deleted = rooms.DeleteEntry(leftover.upload_path, stop); !deleted) {
    return Fail(deleted.error());
  }
  return true;
}

}  // namespace

Leftover LeftoverOf(const Rooms& rooms, const cache::Item& item) {
  Leftover leftover;
  leftover.item = item.id;
  leftover.upload_id = item.upload_id;
  leftover.upload_path = item.upload_path;
  leftover.replaced = item.replaced;
  leftover.is_dir = item.kind == cache::ItemKind::kDir;
  if (item.upload_generation == item.generation) leftover.digests = item.digests;
  if (item.state != cache::State::kRemoving) leftover.keep_path = rooms.ServerPath(item.path);
  return leftover;
}

Result<bool> CancelUpload(const Rooms& rooms, const std::string& upload_id,
                          const std::string& upload_path, const std::stop_token& stop) {
  std::string id = upload_id;
  bool cancelled = false;
  milliseconds pause(20);
  const SteadyTime give_up = rooms.clock.Now() + kCancelPatience;
  while (rooms.clock.Now() < give_up) {
    if (!id.empty() && !cancelled) {
      const Status sent = SendCancel(rooms, id, stop);
      if (!sent && sent.error().code == ENOENT) return true;
      if (!sent) return Fail(sent.error());
      cancelled = true;
    }
    const auto uploads = rooms.queue.Refresh(rooms.clock.Now(), stop);
    if (!uploads && IsForbidden(uploads.error())) return true;
    if (!uploads) return Fail(uploads.error());
    const remote::QueuedUpload* found = FindUpload(**uploads, id, upload_path);
    if (found == nullptr) return !cancelled;
    if (remote::IsTerminal(found->status)) return IsSuccess(found->status);
    id = found->key;
    if (cancelled && !Pause(pause, stop)) return Fail(ECANCELED, "stopped");
    pause = std::min(pause * 2, milliseconds(1000));
  }
  return Fail(ETIMEDOUT, "the server does not end the cancelled upload of " + upload_path);
}

Status CleanUp(const Rooms& rooms, const Leftover& leftover, const std::stop_token& stop) {
  if (leftover.upload_path.empty()) return {};
  bool finished = true;
  if (!leftover.is_dir) {
    const Result<bool> ended = CancelUpload(rooms, leftover.upload_id, leftover.upload_path, stop);
    if (!ended) return Fail(ended.error());
    finished = *ended;
  }
  if (leftover.upload_path == leftover.keep_path) return {};
  const SteadyTime give_up = rooms.clock.Now() + kLagPatience;
  milliseconds pause(100);
  while (true) {
    const Result<bool> deleted = DeleteResult(rooms, leftover, stop);
    if (!deleted) return Fail(deleted.error());
    // Without an upload id nothing shows that the server ever had it: one look is enough.
    if (*deleted || !finished || leftover.upload_id.empty()) return {};
    if (rooms.clock.Now() + pause > give_up) return {};
    if (!Pause(pause, stop)) return Fail(ECANCELED, "stopped");
    pause *= 2;
  }
}

}  // namespace outboxfs::upload
