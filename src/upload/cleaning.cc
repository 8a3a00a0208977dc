#include "upload/cleaning.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <set>

#include "common/log.h"
#include "upload/digests.h"
#include "upload/paths.h"
#include "upload/policy.h"
#include "upload/proof.h"

namespace outboxfs::upload {
namespace {

using std::chrono::milliseconds;

constexpr auto kCancelPatience = std::chrono::seconds(30);
constexpr auto kBusyPatience = std::chrono::seconds(30);
// How long a listing may lag behind an upload that finished at the very end.
constexpr auto kLagPatience = std::chrono::seconds(6);

// Nothing can be left where there is no directory.
bool IsNoDir(const Error& error) { return error.code == ENOENT || error.code == ENOTDIR; }

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

// Are these the bytes that went up, as far as the listing tells?
bool HasSentBytes(const remote::Entry& entry, const Leftover& leftover, bool& by_hash) {
  if (!leftover.sent || entry.size != leftover.sent->size) return false;
  const cache::Identity identity = IdentityOf(entry);
  if (leftover.replaced && cache::SameVersion(identity, *leftover.replaced)) return false;
  for (const auto& [type, hex] : entry.hashes) {
    const auto known = leftover.sent->digests.find(static_cast<uint32_t>(type));
    if (known == leftover.sent->digests.end()) continue;
    if (!SameHex(known->second, hex)) return false;
    by_hash = true;
  }
  return true;
}

// Is `entry`, at `path`, the result of the upload, and not what was there before or came from
// elsewhere?
bool IsOurs(const Rooms& rooms, const remote::Entry& entry, const std::string& path,
            const Leftover& leftover, Ending ending) {
  if (entry.is_dir != leftover.is_dir) return false;
  if (IsTempName(entry.name)) return true;  // of this item: nobody else makes it
  if (rooms.IsAnothers(leftover.item, path)) return false;
  if (leftover.is_dir) return !leftover.replaced;
  bool by_hash = false;
  if (!HasSentBytes(entry, leftover, by_hash)) return false;
  if (by_hash) return true;
  if (leftover.put_in_place && path == leftover.step_to) return true;
  if (leftover.stands && path == leftover.upload_path) return true;
  if (path != leftover.upload_path && path != leftover.step_to) return false;
  return leftover.succeeded || ending == Ending::kFinished ||
         (leftover.was_running && ending == Ending::kUnknown);
}

// A directory that we made and nobody filled.
Result<bool> IsEmptyDir(const Rooms& rooms, const std::string& path, const std::stop_token& stop) {
  const Result<remote::ListingPtr> listing = rooms.List(path, rooms.clock.Now(), stop);
  if (!listing) return Fail(listing.error());
  return (*listing)->empty();
}

// Deletes our result if it stands at `path`; false when nothing of ours is to be seen there.
Result<bool> DeleteResult(const Rooms& rooms, const Leftover& leftover, const std::string& path,
                          Ending ending, const std::stop_token& stop) {
  // One listing serves all that were deleted in a directory.
  const SteadyTime from = leftover.lag ? leftover.lag->ends : rooms.clock.Now();
  const Result<remote::ListingPtr> listing = rooms.List(ParentOf(path), from, stop);
  if (!listing && IsNoDir(listing.error())) return true;
  if (!listing) return Fail(listing.error());
  const remote::Entry* entry = (*listing)->Find(NameOf(path));
  if (entry == nullptr) return false;
  if ((*listing)->Count(NameOf(path)) > 1 || !IsOurs(rooms, *entry, path, leftover, ending)) {
    Log::Debug("{} is left alone: nothing proves that it is the cancelled upload's", path);
    return false;
  }
  if (leftover.is_dir) {
    const Result<bool> empty = IsEmptyDir(rooms, path, stop);
    if (!empty) return Fail(empty.error());
    if (!*empty) return true;
  }
  Log::Info("deleting {}: uploaded, but no longer wanted", path);
  if (Status deleted = rooms.DeleteEntry(path, stop); !deleted) return Fail(deleted.error());
  return true;
}

// A change of `path` by fs that began before ours has ended by then.
Status AwaitNotBusy(const Rooms& rooms, const std::string& path, const std::stop_token& stop) {
  const SteadyTime give_up = rooms.clock.Now() + kBusyPatience;
  for (milliseconds pause(5);; pause = std::min(pause * 2, milliseconds(200))) {
    Status free = rooms.CheckNotBusy(path);
    if (free || rooms.clock.Now() >= give_up) return free;
    if (!Pause(pause, stop)) return Fail(ECANCELED, "stopped");
  }
}

bool MayBePutInPlace(const Leftover& leftover) {
  const std::string& temp = leftover.upload_path;
  const std::string& place = leftover.keep_path;
  return !place.empty() && !leftover.place_taken && leftover.replaced && !leftover.is_dir &&
         IsTempName(NameOf(temp)) && ParentOf(temp) == ParentOf(place) &&
         (leftover.step_to.empty() || leftover.step_to == place);
}

// The old version made room for our result, which was then not put in its place: without both
// nothing would be left of the file until the next one is up. True: it stands there now, unless fs
// has removed or renamed it, as the item tells.
Result<bool> PutInPlace(const Rooms& rooms, Leftover& leftover, const std::stop_token& stop) {
  if (!MayBePutInPlace(leftover)) return false;
  const std::string& temp = leftover.upload_path;
  const std::string& place = leftover.keep_path;
  const Result<remote::ListingPtr> listing = rooms.List(ParentOf(temp), rooms.clock.Now(), stop);
  if (!listing && IsNoDir(listing.error())) return false;
  if (!listing) return Fail(listing.error());
  const remote::Entry* ours = (*listing)->Find(NameOf(temp));
  bool by_hash = false;
  if (ours == nullptr || ours->pending || !HasSentBytes(*ours, leftover, by_hash) ||
      (*listing)->Find(NameOf(place)) != nullptr || rooms.store.IsBusy(place)) {
    return false;
  }
  Log::Info("{}: the version before the one that comes next takes its place", place);
  leftover.step_to = place;
  const Status renamed = rooms.names.Rename(temp, NameOf(place), stop);
  rooms.dirs.Doubt(ParentOf(temp), NameOf(temp), true);
  rooms.dirs.Doubt(ParentOf(place), NameOf(place), false);
  if (!renamed) return Fail(renamed.error());
  leftover.put_in_place = true;
  if (Status told = rooms.store.MarkUploadMoved(leftover.item, place); !told) {
    return Fail(told.error());
  }
  // What fs begins from now on finds it there.
  if (Status free = AwaitNotBusy(rooms, place, stop); !free) return Fail(free.error());
  return true;
}

Result<bool> DeleteResults(const Rooms& rooms, const Leftover& leftover, Ending ending,
                           const std::stop_token& stop) {
  bool any = false;
  std::set<std::string> paths{leftover.upload_path, leftover.step_to, leftover.maybe_at,
                              leftover.carried_to};
  for (const std::string& path : paths) {
    if (path.empty() || path == leftover.keep_path) continue;
    Result<bool> deleted = DeleteResult(rooms, leftover, path, ending, stop);
    if (!deleted) return deleted;
    any |= *deleted;
  }
  return any;
}

// What the queue says of an upload that the server does not know as a running one.
Result<Ending> EndingOf(const Rooms& rooms, cache::ItemId item, const std::string& upload_id,
                        const std::stop_token& stop) {
  const auto uploads = rooms.queue.Refresh(rooms.clock.Now(), stop);
  if (!uploads && IsForbidden(uploads.error())) return Ending::kUnknown;
  if (!uploads) return Fail(uploads.error());
  const remote::QueuedUpload* found = rooms.FindUploadOf(item, **uploads, upload_id, "");
  if (found == nullptr || !remote::IsTerminal(found->status)) return Ending::kUnknown;
  return IsSuccess(found->status) ? Ending::kFinished : Ending::kCancelled;
}

}  // namespace

Leftover LeftoverOf(const Rooms& rooms, const cache::Item& item) {
  Leftover leftover;
  leftover.item = item.id;
  leftover.upload_id = item.upload_id;
  leftover.upload_path = item.upload_path;
  leftover.sent = item.sent;
  leftover.replaced = item.replaced;
  leftover.stands = item.stands;
  leftover.is_dir = item.kind == cache::ItemKind::kDir;
  leftover.carried_to = CarriedTo(rooms, item, item.upload_path);
  if (item.state != cache::State::kRemoving) leftover.keep_path = rooms.ServerPath(item.path);
  return leftover;
}

std::string CarriedTo(const Rooms& rooms, const cache::Item& item, const std::string& upload_path) {
  return IsTempName(NameOf(upload_path)) ? NewPlace(upload_path, rooms.ServerPath(item.path)) : "";
}

Result<Ending> CancelUpload(const Rooms& rooms, cache::ItemId item, const std::string& upload_id,
                            const std::string& upload_path, const std::stop_token& stop) {
  std::string id = upload_id;
  bool asked = false;
  bool cancelled = false;
  milliseconds pause(20);
  const SteadyTime give_up = rooms.clock.Now() + kCancelPatience;
  while (rooms.clock.Now() < give_up) {
    if (!id.empty() && !asked) {
      const Status sent = SendCancel(rooms, id, stop);
      if (!sent && sent.error().code == ENOENT) return EndingOf(rooms, item, id, stop);
      // One that may not be cancelled ends by itself: the queue tells when.
      if (!sent && sent.error().retry != Retry::kPark) return Fail(sent.error());
      asked = true;
      cancelled = sent.has_value();
    }
    const auto uploads = rooms.queue.Refresh(rooms.clock.Now(), stop);
    if (!uploads && IsForbidden(uploads.error())) return Ending::kUnknown;
    if (!uploads) return Fail(uploads.error());
    const remote::QueuedUpload* found = rooms.FindUploadOf(item, **uploads, id, upload_path);
    if (found == nullptr) return cancelled ? Ending::kCancelled : Ending::kUnknown;
    if (remote::IsTerminal(found->status)) {
      if (!IsSuccess(found->status)) return Ending::kCancelled;
      // That of an earlier upload to this path says nothing about this one.
      return found->key == id ? Ending::kFinished : Ending::kUnknown;
    }
    id = found->key;
    if (asked && !Pause(pause, stop)) return Fail(ECANCELED, "stopped");
    pause = std::min(pause * 2, milliseconds(1000));
  }
  return Fail(ETIMEDOUT, "the server does not end the cancelled upload of " + upload_path);
}

Status CleanUp(const Rooms& rooms, Leftover& leftover, const std::stop_token& stop) {
  if (leftover.upload_path.empty()) return {};
  Ending ending = leftover.lag ? leftover.lag->ending : Ending::kUnknown;
  if (!leftover.is_dir && !leftover.lag) {
    const Result<Ending> ended =
        CancelUpload(rooms, leftover.item, leftover.upload_id, leftover.upload_path, stop);
    if (!ended) return Fail(ended.error());
    ending = *ended;
  }
  if (leftover.cancel_only) return {};
  const Result<bool> in_place = PutInPlace(rooms, leftover, stop);
  if (!in_place) return Fail(in_place.error());
  if (*in_place) return {};
  if (leftover.upload_path == leftover.keep_path) {
    // It may stand there, and the item may be renamed or deleted before it is overwritten.
    rooms.dirs.Doubt(ParentOf(leftover.keep_path), NameOf(leftover.keep_path), false);
  }
  const SteadyTime give_up = rooms.clock.Now() + kLagPatience;
  milliseconds pause(100);
  while (true) {
    const Result<bool> deleted = DeleteResults(rooms, leftover, ending, stop);
    if (!deleted) return Fail(deleted.error());
    // Without an upload id nothing shows that the server ever had it: one look is enough.
    if (*deleted || ending == Ending::kCancelled || leftover.upload_id.empty()) return {};
    if (leftover.upload_path == leftover.keep_path || leftover.lag) return {};
    if (leftover.comes_back) {
      leftover.lag = {give_up, ending, leftover.was_running, leftover.succeeded};
      return Fail(EAGAIN, "the server may not show it yet");
    }
    if (rooms.clock.Now() + pause > give_up) return {};
    if (!Pause(pause, stop)) return Fail(ECANCELED, "stopped");
    pause *= 2;
  }
}

Status CleanUpFollowing(const Rooms& rooms, Leftover& leftover, std::string& lived_at,
                        const std::stop_token& stop) {
  constexpr int kMaxRounds = 16;
  const auto follow = [&] {
    const std::optional<cache::Item> item = rooms.store.Get(leftover.item);
    // Without a row nobody asked for anything to be deleted.
    if (!item) leftover.cancel_only = true;
    const bool lives = item && item->state != cache::State::kRemoving;
    lived_at = lives ? item->path : "";
    leftover.comes_back = item && !lives;
    leftover.keep_path = lives ? rooms.ServerPath(item->path) : "";
    if (!item) return;
    // Placing may have moved it since.
    if (!item->upload_path.empty()) leftover.upload_path = item->upload_path;
    leftover.carried_to = CarriedTo(rooms, *item, leftover.upload_path);
    leftover.sent = item->sent;
    leftover.stands = item->stands;
  };
  follow();
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::string kept = leftover.keep_path;
    const std::string carried_to = leftover.carried_to;
    Status cleaned = CleanUp(rooms, leftover, stop);
    if (!cleaned || leftover.cancel_only) return cleaned;
    follow();
    if (leftover.cancel_only || (leftover.keep_path == kept && leftover.carried_to == carried_to)) {
      return {};
    }
  }
  return Fail(EAGAIN, "renamed again and again while its upload was cancelled");
}

}  // namespace outboxfs::upload
