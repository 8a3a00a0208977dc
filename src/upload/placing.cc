#include "upload/placing.h"

#include <cerrno>

#include "common/log.h"
#include "upload/digests.h"
#include "upload/paths.h"
#include "upload/proof.h"

namespace outboxfs::upload {
namespace {

using remote::ListingPtr;

// Renames that come while we place may make us start again; more than this is somebody's loop.
constexpr int kMaxRounds = 16;

// It was proven at its upload path; this only tells it from a stranger that came meanwhile.
bool HasOurBytes(const remote::Entry& entry, const cache::Item& item) {
  if (item.kind == cache::ItemKind::kDir) return entry.is_dir;
  if (entry.is_dir || entry.pending || entry.size != item.size) return false;
  for (const auto& [type, hex] : entry.hashes) {
    const auto ours = item.digests.find(static_cast<uint32_t>(type));
    if (ours != item.digests.end() && !SameHex(ours->second, hex)) return false;
  }
  return true;
}

Result<const remote::Entry*> FindOne(const ListingPtr& listing, const std::string& name) {
  if (listing->Count(name) > 1) {
    return Fail(EEXIST, "the server shows several entries of " + name, Retry::kPark);
  }
  return listing->Find(name);
}

// The entry with our bytes at `path`, in a listing begun at or after `not_before`; ENOENT if there
// is none.
Result<cache::Identity> FindOurs(const Rooms& rooms, const cache::Item& item,
                                 const std::string& path, SteadyTime not_before,
                                 const std::stop_token& stop) {
  const Result<ListingPtr> listing = rooms.List(ParentOf(path), not_before, stop);
  if (!listing) return Fail(listing.error());
  const Result<const remote::Entry*> entry = FindOne(*listing, NameOf(path));
  if (!entry) return Fail(entry.error());
  if (*entry == nullptr || !HasOurBytes(**entry, item)) {
    return Fail(ENOENT, "the listing does not show our file as " + path);
  }
  return IdentityOf(**entry);
}

// A listing may be slow: what stands there by now may be what the user has put in its place.
Status CheckStillPlacing(const Rooms& rooms, const cache::Item& item) {
  const std::optional<cache::Item> now = rooms.store.Get(item.id);
  if (now && now->state == cache::State::kPlacing && now->path == item.path) return {};
  return Fail(EAGAIN, "changed while it was being placed");
}

// Somebody reads it: it goes later (cache::Store::PutAside).
Status PutOldAside(const Rooms& rooms, const std::string& target, const std::stop_token& stop) {
  const std::string name =
      remote::PassingName(rooms.device_tag, rooms.store.NewIno(), NameOf(target));
  const std::string& folder = rooms.options.remote_folder;
  const std::string from = ToMountPath(folder, target);
  const std::string aside = JoinPath(ParentOf(from), name);
  if (Status kept = rooms.store.PutAside(folder, from, aside); !kept) return kept;
  const Status sent = rooms.names.Rename(target, name, stop);
  rooms.dirs.Doubt(ParentOf(target), NameOf(target), true);
  rooms.dirs.Doubt(ParentOf(target), name, false);
  if (sent) return {};
  const Result<ListingPtr> listing = rooms.List(ParentOf(target), rooms.clock.Now(), stop);
  if (listing && (*listing)->Find(name) != nullptr) return {};
  if (listing) {
    if (Status back = rooms.store.PutBack(aside, from); !back) return back;
  }
  return Fail(Error(sent.error()).Prepend("put " + target + " aside"));
}

// The old entry makes room, if it is still the one that is meant to go. What it was; empty: nothing
// stood there.
using Removed = std::optional<cache::Identity>;
Result<Removed> RemoveOld(const Rooms& rooms, const cache::Item& item, const std::string& target,
                          const std::stop_token& stop) {
  const SteadyTime begun = rooms.clock.Now();
  const Result<ListingPtr> listing = rooms.List(ParentOf(target), begun, stop);
  if (!listing && listing.error().code == ENOENT) {
    if (Status made = rooms.EnsureParent(item.id, target, stop); !made) return Fail(made.error());
    return Removed();
  }
  if (!listing) return Fail(listing.error());
  const Result<const remote::Entry*> old = FindOne(*listing, NameOf(target));
  if (!old) return Fail(old.error());
  if (*old == nullptr) return Removed();
  if ((*old)->is_dir) return Fail(EISDIR, "the server has a directory of this name", Retry::kPark);
  // Ours may have gone along with its directory: then this is it. The next try looks for it.
  const auto ours = FindOurs(rooms, item, item.upload_path, begun, stop);
  if (!ours) return Fail(ours.error());
  // Renamed onto this path since: the user asked to replace whatever stands here.
  const cache::Identity identity = IdentityOf(**old);
  const bool as_known = item.replaced && cache::SameVersion(identity, *item.replaced);
  if (!item.renamed && !as_known) {
    return Fail(
        EEXIST,
        "changed remotely: both versions kept (the new one as " + NameOf(item.upload_path) + ")",
        Retry::kPark);
  }
  if (Status same = CheckStillPlacing(rooms, item); !same) return Fail(same.error());
  Status gone =
      rooms.IsReadOn(target) ? PutOldAside(rooms, target, stop) : rooms.DeleteEntry(target, stop);
  if (!gone) return Fail(gone.error());
  return Removed(identity);
}

Status Send(const Rooms& rooms, const std::string& from, const PlacingStep& step,
            const std::stop_token& stop) {
  if (step.kind == PlacingStep::Kind::kRename) {
    return rooms.names.Rename(from, NameOf(step.to), stop);
  }
  return rooms.names.Move(from, ParentOf(step.to), stop);
}

// A directory that nobody filled; anything else stays.
Status DropIfEmpty(const Rooms& rooms, const std::string& dir, const std::stop_token& stop) {
  const Result<ListingPtr> listing = rooms.List(dir, rooms.clock.Now(), stop);
  if (!listing && listing.error().code == ENOENT) return {};
  if (!listing) return Fail(listing.error());
  return (*listing)->empty() ? rooms.DeleteEntry(dir, stop) : Status();
}

// True when a directory stands at `target` already: its parent was renamed with it inside, or
// somebody else made it. What we made under the old name is then superfluous.
Result<bool> DirIsThere(const Rooms& rooms, const cache::Item& item, const std::string& target,
                        const std::stop_token& stop) {
  if (item.kind != cache::ItemKind::kDir) return false;
  const auto there = FindOurs(rooms, item, target, rooms.clock.Now(), stop);
  if (!there && there.error().code == ENOENT) return false;
  if (!there) return Fail(there.error());
  if (Status gone = DropIfEmpty(rooms, item.upload_path, stop); !gone) return Fail(gone.error());
  return true;
}

// A server whose listing lags may still show the old file, which can be of the same size.
Status CheckIsNotOld(const Rooms& rooms, const cache::Item& item, const cache::Identity& at_target,
                     const Removed& removed, SteadyTime begun, const std::stop_token& stop) {
  if (!removed || !cache::SameVersion(at_target, *removed)) return {};
  const auto unmoved = FindOurs(rooms, item, item.upload_path, begun, stop);
  if (!unmoved && unmoved.error().code == ENOENT) return {};
  if (!unmoved) return Fail(unmoved.error());
  return Fail(EAGAIN, "the server still shows the old " + item.path + " that it has deleted");
}

Status TakeStep(const Rooms& rooms, const cache::Item& item, const PlacingStep& step,
                const Removed& removed, std::string& step_to, const std::stop_token& stop) {
  const std::string& from = item.upload_path;
  step_to = step.to;
  const Status sent = Send(rooms, from, step, stop);
  rooms.dirs.Doubt(ParentOf(from), NameOf(from), true);
  rooms.dirs.Doubt(ParentOf(step.to), NameOf(step.to), false);
  const SteadyTime begun = rooms.clock.Now();
  const auto ours = FindOurs(rooms, item, step.to, begun, stop);
  if (!ours && !sent) return Fail(Error(sent.error()).Prepend("place " + step.to));
  if (!ours) return Fail(ours.error());
  if (Status right = CheckIsNotOld(rooms, item, *ours, removed, begun, stop); !right) return right;
  Log::Debug("placed {} at {}", from, step.to);
  return rooms.store.SetUploadPath(item.id, item.generation, step.to);
}

Status TakeNextStep(const Rooms& rooms, const cache::Item& item, const std::string& target,
                    std::string& step_to, const std::stop_token& stop) {
  const Result<bool> there = DirIsThere(rooms, item, target, stop);
  if (!there) return Fail(there.error());
  if (*there) return rooms.store.SetUploadPath(item.id, item.generation, target);
  const std::string temp = NameOf(rooms.TempPath(item.id, target));
  const PlacingStep step = NextStep(item.upload_path, target, temp);
  Removed removed;
  if (step.to == target) {
    Result<Removed> old = RemoveOld(rooms, item, target, stop);
    if (!old) return Fail(old.error());
    removed = *std::move(old);
  }
  return TakeStep(rooms, item, step, removed, step_to, stop);
}

}  // namespace

PlacingStep NextStep(const std::string& from, const std::string& to, const std::string& temp_name) {
  using Kind = PlacingStep::Kind;
  if (ParentOf(from) == ParentOf(to)) return {Kind::kRename, to};
  const std::string name = NameOf(from);
  if (name == NameOf(to) || IsTempName(name)) return {Kind::kMove, JoinPath(ParentOf(to), name)};
  return {Kind::kRename, JoinPath(ParentOf(from), temp_name)};
}

Status Place(const Rooms& rooms, const PlacingJob& job, std::string& step_to,
             const std::stop_token& stop) {
  if (Status marked = rooms.store.MarkPlacing(job.item, job.generation); !marked) return marked;
  SteadyTime not_before = rooms.clock.Now();
  for (int round = 0; round < kMaxRounds; ++round) {
    const std::optional<cache::Item> item = rooms.store.Get(job.item);
    if (!item || item->generation != job.generation) return Fail(ESTALE, "changed meanwhile");
    const std::string target = rooms.ServerPath(item->path);
    if (target.empty()) return Fail(EAGAIN, "the server has yet to free " + item->path);
    if (item->upload_path != target) {
      if (Status free = rooms.CheckNotBusy(target); !free) return free;
      not_before = rooms.clock.Now();  // the step's own listing serves below
      Status taken = TakeNextStep(rooms, *item, target, step_to, stop);
      if (!taken) return taken;
      continue;
    }
    const auto ours = FindOurs(rooms, *item, target, not_before, stop);
    if (!ours) return Fail(ours.error());
    Status done = rooms.store.MarkDone(job.item, job.generation, item->path, *ours);
    if (done || done.error().code != EAGAIN) return done;
  }
  return Fail(EAGAIN, "renamed again and again while it was being placed");
}

Status StepAside(const Rooms& rooms, const PlacingJob& job, std::string& step_to,
                 const std::stop_token& stop) {
  if (Status marked = rooms.store.MarkPlacing(job.item, job.generation); !marked) return marked;
  const std::optional<cache::Item> item = rooms.store.Get(job.item);
  if (!item || item->generation != job.generation) return Fail(ESTALE, "changed meanwhile");
  const std::string temp = rooms.TempPath(item->id, item->upload_path);
  if (item->upload_path == temp) return {};
  return TakeStep(rooms, *item, {PlacingStep::Kind::kRename, temp}, std::nullopt, step_to, stop);
}

}  // namespace outboxfs::upload
