#include "upload/verifying.h"

#include <algorithm>
#include <cerrno>

#include "common/log.h"
#include "upload/looking.h"
#include "upload/paths.h"

namespace outboxfs::upload {
namespace {

VerifyOutcome FromError(RunKey key, const Error& error) {
  VerifyOutcome outcome;
  outcome.key = key;
  outcome.stale = error.code == ESTALE;
  if (!outcome.stale) outcome.error = error;
  return outcome;
}

// Lets the cache confirm what older uploads left to be seen in a listing.
void TellCache(const Rooms& rooms, const std::string& dir, const remote::Listing& listing) {
  const std::string mount_dir = rooms.MountPath(dir);
  if (mount_dir.empty()) return;
  std::vector<std::string> names;
  names.reserve(listing.entries.size());
  for (const remote::EntryPtr& entry : listing.entries) names.push_back(entry->name);
  rooms.store.Reconcile(mount_dir, listing.begun, names);
}

// What uploads of ours left whose items are gone by now: a cancel that came to nothing, a result
// that a lagging listing did not show when it was to be cleaned up.
void RemoveOrphans(const Rooms& rooms, const std::string& dir, const remote::Listing& listing,
                   const std::stop_token& stop) {
  for (const remote::EntryPtr& entry : listing.entries) {
    const auto number = remote::TempNumber(rooms.device_tag, entry->name);
    if (!number || entry->is_dir || rooms.store.Get(*number)) continue;
    const std::string path = JoinPath(dir, entry->name);
    Log::Info("deleting {}: left by an upload that is over", path);
    if (const Status gone = rooms.DeleteEntry(path, stop); !gone) {
      Log::Info("{}", gone.error().text);
    }
  }
}

Result<Judgement> JudgeAtNewPlace(const Rooms& rooms, const VerifyTask& task,
                                  const cache::Item& item, const std::string& place,
                                  const std::stop_token& stop) {
  const auto listing = rooms.List(ParentOf(place), rooms.clock.Now(), stop);
  if (!listing) return Fail(listing.error());
  const Evidence evidence =
      EvidenceOf(rooms, item, place, {task.hash_given, task.reported, item.accepted});
  Judgement judgement = Judge(**listing, NameOf(place), evidence);
  if (judgement.finding != Finding::kProven) return judgement;
  const Status moved = rooms.store.SetUploadPath(task.item, task.generation, place);
  if (!moved) return Fail(moved.error());
  return judgement;
}

VerifyOutcome VerifyOne(const Rooms& rooms, const VerifyTask& task, const remote::Listing& listing,
                        const std::stop_token& stop) {
  const std::optional<cache::Item> item = rooms.store.Get(task.item);
  if (!item || item->generation != task.generation) {
    return FromError(task.key, Error{ESTALE, Retry::kBackoff, "changed"});
  }
  VerifyOutcome outcome;
  outcome.key = task.key;
  outcome.judgement =
      Judge(listing, NameOf(task.path),
            EvidenceOf(rooms, *item, task.path, {task.hash_given, task.reported, item->accepted}));
  const std::string target = rooms.ServerPath(item->path);
  std::string at = task.path;
  const std::string place = NewPlace(at, target);
  if (outcome.judgement.finding == Finding::kAbsent && !place.empty()) {
    const auto judged = JudgeAtNewPlace(rooms, task, *item, place, stop);
    if (!judged && judged.error().code != ENOENT) return FromError(task.key, judged.error());
    if (judged && judged->finding != Finding::kAbsent) {
      outcome.judgement = *judged;
      at = place;
    }
  }
  if (outcome.judgement.finding != Finding::kProven) return outcome;
  if (target != at) return outcome;  // placing follows
  const Status done =
      rooms.store.MarkDone(task.item, task.generation, item->path, outcome.judgement.identity);
  if (done || done.error().code == EAGAIN) {
    outcome.placed = done.has_value();
    return outcome;
  }
  return FromError(task.key, done.error());
}

}  // namespace

std::vector<VerifyOutcome> VerifyDirectory(const Rooms& rooms, const std::string& dir,
                                           const std::vector<VerifyTask>& tasks,
                                           const std::stop_token& stop) {
  std::vector<VerifyOutcome> outcomes;
  std::vector<const VerifyTask*> rest;
  for (const VerifyTask& task : tasks) {
    const Status marked = rooms.store.MarkVerifying(task.item, task.generation);
    if (marked) {
      rest.push_back(&task);
    } else {
      outcomes.push_back(FromError(task.key, marked.error()));
    }
  }
  if (rest.empty()) return outcomes;
  SteadyTime not_before;
  for (const VerifyTask* task : rest) not_before = std::max(not_before, task->not_before);
  Result<remote::ListingPtr> listing = rooms.List(dir, not_before, stop);
  if (!listing && listing.error().code == ENOENT) {  // nothing of ours stands there
    listing = std::make_shared<const remote::Listing>();
  } else if (listing) {
    TellCache(rooms, dir, **listing);
  }
  for (const VerifyTask* task : rest) {
    outcomes.push_back(listing ? VerifyOne(rooms, *task, **listing, stop)
                               : FromError(task->key, listing.error()));
  }
  if (listing) RemoveOrphans(rooms, dir, **listing, stop);
  return outcomes;
}

}  // namespace outboxfs::upload
