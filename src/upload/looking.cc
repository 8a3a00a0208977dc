#include "upload/looking.h"

#include <cerrno>
#include <chrono>
#include <optional>
#include <utility>

#include "upload/cleaning.h"
#include "upload/digests.h"
#include "upload/paths.h"
#include "upload/placing.h"
#include "upload/policy.h"
#include "upload/proof.h"

namespace outboxfs::upload {
namespace {

using cache::Item;
using remote::ListingPtr;

// A listing of the directory this young serves the first look: our own changes since are in it.
constexpr auto kYoung = std::chrono::seconds(3);
constexpr size_t kPiece = 1 << 20;
constexpr uint64_t kHashFirst = 4 << 20;  // files up to this size are hashed before Start

// The digests of an item are computed only because the server asked, or were told with Start.
bool WasHashGiven(const Item& item) { return !item.digests.empty(); }

// Do our bytes stand, proven, at `path`? Computes a listed hash if that decides.
Result<bool> StandsAt(const Rooms& rooms, const Item& item, cache::SealedReader& reader,
                      const std::string& path, const Told& told, const std::stop_token& stop) {
  const Result<ListingPtr> listing = rooms.List(ParentOf(path), rooms.clock.Now(), stop);
  if (!listing && listing.error().code == ENOENT) return false;
  if (!listing) return Fail(listing.error());
  Evidence evidence = EvidenceOf(rooms, item, path, told);
  Judgement judgement = Judge(**listing, NameOf(path), evidence);
  if (judgement.finding == Finding::kNeedHash) {
    const auto digests = ComputeDigests(rooms, item, reader, judgement.missing, stop);
    if (!digests) return Fail(digests.error());
    evidence.digests.insert(digests->begin(), digests->end());
    judgement = Judge(**listing, NameOf(path), evidence);
  }
  return judgement.finding == Finding::kProven;
}

// Where a finished upload may stand: at its upload path, or one placing step further.
Result<std::optional<std::string>> FindResult(const Rooms& rooms, const Item& item,
                                              cache::SealedReader& reader, const Told& told,
                                              const std::stop_token& stop) {
  std::string at = item.upload_path;
  const std::string target = rooms.ServerPath(item.path);
  const std::string temp = rooms.TempPath(item.id, target);
  for (int step = 0; step < kMaxPlacingSteps + 1; ++step) {
    const Result<bool> stands = StandsAt(rooms, item, reader, at, told, stop);
    if (!stands) return Fail(stands.error());
    if (*stands) return std::optional(at);
    if (at == target || target.empty()) break;
    at = NextStep(at, target, NameOf(temp)).to;
  }
  return std::optional<std::string>();
}

// An upload of this very generation was started before.
Result<std::optional<Look>> TakeUp(const Rooms& rooms, const Item& item,
                                   cache::SealedReader& reader, const std::stop_token& stop) {
  Look look{Look::Kind::kAdopt, item.upload_path, item.replaced, WasHashGiven(item)};
  const auto uploads = rooms.queue.Refresh(rooms.clock.Now(), stop);
  if (!uploads && !IsForbidden(uploads.error())) return Fail(uploads.error());
  const remote::QueuedUpload* found =
      uploads ? rooms.FindUploadOf(item.id, **uploads, item.upload_id, item.upload_path) : nullptr;
  const bool running = found != nullptr && !remote::IsTerminal(found->status);
  if (running && found->key == item.upload_id) return std::optional(look);
  look.reported = uploads.has_value() && (found == nullptr || IsSuccess(found->status));
  if (running || !uploads) {
    const Result<Ending> ended =
        CancelUpload(rooms, item.id, item.upload_id, item.upload_path, stop);
    if (!ended) return Fail(ended.error());
    look.reported = *ended == Ending::kFinished;
  }
  // A queue that has forgotten it says nothing of what the server did with a hash.
  if (uploads && found == nullptr) look.hash_given = false;
  Result<std::optional<std::string>> at =
      FindResult(rooms, item, reader, {look.hash_given, look.reported, item.accepted}, stop);
  if (!at) return Fail(at.error());
  // Finished, says the queue, so what the listing does not show yet is awaited.
  const bool late = !*at && found != nullptr && found->key == item.upload_id && !running &&
                    IsSuccess(found->status);
  if (!*at && !late) return std::optional<Look>();
  look.kind = Look::Kind::kThere;
  look.upload_path = at->value_or(item.upload_path);
  if (look.upload_path != item.upload_path) {
    const Status moved = rooms.store.SetUploadPath(item.id, item.generation, look.upload_path);
    if (!moved) return Fail(moved.error());
  }
  return std::optional(look);
}

// A person takes what the server shows for ours, in spite of the missing proof.
Result<std::optional<Look>> TakeAccepted(const Rooms& rooms, const Item& item,
                                         cache::SealedReader& reader, const std::stop_token& stop) {
  Item sent = item;
  sent.upload_path = rooms.TempPath(item.id, rooms.ServerPath(item.path));
  const auto at = FindResult(rooms, sent, reader, {false, true, true}, stop);
  if (!at) return Fail(at.error());
  if (!*at) return std::optional<Look>();
  if (Status marked = rooms.store.MarkStanding(item.id, item.generation, **at); !marked) {
    return Fail(marked.error());
  }
  return std::optional(Look{Look::Kind::kThere, **at, item.replaced, false, true});
}

Result<ListingPtr> ListParent(const Rooms& rooms, const Item& item, const std::string& dir,
                              const std::stop_token& stop) {
  const bool untouched = item.attempts == 0 && item.upload_generation == 0;
  const SteadyTime not_before = rooms.clock.Now() - (untouched ? kYoung : kYoung * 0);
  Result<ListingPtr> listing = rooms.List(dir, not_before, stop);
  if (listing || listing.error().code != ENOENT) return listing;
  if (Status made = rooms.EnsureParent(item.id, rooms.ServerPath(item.path), stop); !made) {
    return Fail(made.error());
  }
  return rooms.List(dir, rooms.clock.Now(), stop);
}

// Nothing of ours is under way: where to, and over what?
Result<Look> ChoosePath(const Rooms& rooms, const Item& item, const std::stop_token& stop) {
  const std::string target = rooms.ServerPath(item.path);
  const Result<ListingPtr> listing = ListParent(rooms, item, ParentOf(target), stop);
  if (!listing) return Fail(listing.error());
  const std::string temp = rooms.TempPath(item.id, target);
  if ((*listing)->Find(NameOf(temp)) != nullptr) {  // an earlier try that came to nothing
    if (Status gone = rooms.DeleteEntry(temp, stop); !gone) return Fail(gone.error());
  }
  if (Status free = rooms.cases.Check(rooms.names, **listing, target, stop); !free) {
    return Fail(free.error());
  }
  Look look{Look::Kind::kFree, target, std::nullopt, false};
  const remote::Entry* old = (*listing)->Find(NameOf(target));
  if (old == nullptr) return look;
  if (old->is_dir) return Fail(EISDIR, "the server has a directory of this name", Retry::kPark);
  if ((*listing)->Count(NameOf(target)) > 1) {
    return Fail(EEXIST, "the server shows several entries of this name", Retry::kPark);
  }
  look.replaced = IdentityOf(*old);
  if (item.based && item.replaced && !cache::SameVersion(*look.replaced, *item.replaced)) {
    return Fail(EEXIST, "changed remotely since it was opened: both versions kept", Retry::kPark);
  }
  if (rooms.options.overwrite == Overwrite::kSafe) look.upload_path = temp;
  return look;
}

}  // namespace

Result<cache::Digests> ComputeDigests(const Rooms& rooms, const Item& item,
                                      cache::SealedReader& reader,
                                      const std::set<remote::HashType>& types,
                                      const std::stop_token& stop) {
  Digester digester(DigestPlan{types, 0}, reader.size());
  std::vector<std::byte> buffer;
  for (uint64_t at = 0; at < reader.size(); at += buffer.size()) {
    if (stop.stop_requested()) return Fail(ECANCELED, "stopped");
    buffer.resize(std::min<uint64_t>(kPiece, reader.size() - at));
    if (const Status read = reader.Read(buffer, at); !read) return Fail(read.error());
    digester.Update(buffer);
  }
  cache::Digests digests = digester.Finish().digests;
  if (const Status kept = rooms.store.SetDigests(item.id, item.generation, digests); !kept) {
    return Fail(kept.error());
  }
  return digests;
}

Evidence EvidenceOf(const Rooms& rooms, const Item& item, const std::string& path,
                    const Told& told) {
  Evidence evidence;
  evidence.size = item.size;
  evidence.digests = item.digests;
  // `replaced` is about the item's own name; only we make temporary names.
  if (!IsTempName(NameOf(path))) evidence.replaced = item.replaced;
  evidence.served_whole =
      item.size == 0 || rooms.store.ServedWhole(item.id, item.upload_generation);
  evidence.hash_given = told.hash_given;
  evidence.reported = told.reported;
  evidence.accepted = told.accepted;
  return evidence;
}

Result<LookResult> LookBeforeStart(const Rooms& rooms, const Item& item,
                                   const std::set<remote::HashType>& listed,
                                   const std::stop_token& stop) {
  if (Status free = rooms.CheckNotBusy(rooms.ServerPath(item.path)); !free) {
    return Fail(free.error());
  }
  Result<std::unique_ptr<cache::SealedReader>> reader =
      rooms.store.OpenSealed(item.id, item.generation);
  if (!reader) return Fail(reader.error());
  LookResult result;
  result.reader = std::move(*reader);
  if (!item.upload_path.empty() && !item.kept) {
    if (item.upload_generation == item.generation) {
      const auto taken = TakeUp(rooms, item, *result.reader, stop);
      if (!taken) return Fail(taken.error());
      if (*taken) {
        result.look = **taken;
        return result;
      }
    } else {
      Leftover leftover = LeftoverOf(rooms, item);
      if (Status clean = CleanUp(rooms, leftover, stop); !clean) return Fail(clean.error());
    }
    const bool kept = item.upload_path == rooms.ServerPath(item.path);
    if (Status over = rooms.store.MarkUploadOver(item.id, item.path, kept); !over) {
      return Fail(over.error());
    }
  }
  if (item.accepted && item.upload_path.empty()) {
    const auto taken = TakeAccepted(rooms, item, *result.reader, stop);
    if (!taken) return Fail(taken.error());
    if (*taken) {
      result.look = **taken;
      return result;
    }
  }
  std::set<remote::HashType> missing = listed;
  for (const auto& [type, hex] : item.digests) missing.erase(static_cast<remote::HashType>(type));
  if (!missing.empty() && item.size <= kHashFirst) {
    const auto digests = ComputeDigests(rooms, item, *result.reader, missing, stop);
    if (!digests) return Fail(digests.error());
  }
  Result<Look> look = ChoosePath(rooms, item, stop);
  if (!look) return Fail(look.error());
  result.look = std::move(*look);
  return result;
}

namespace {

// Nothing is said of it in the queue: does the listing show its result?
Result<Judgement> JudgeSilent(const Rooms& rooms, const Item& item, const Told& told,
                              const std::stop_token& stop) {
  const Result<ListingPtr> listing =
      rooms.List(ParentOf(item.upload_path), rooms.clock.Now(), stop);
  if (!listing && listing.error().code == ENOENT) return Judgement();
  if (!listing) return Fail(listing.error());
  return Judge(**listing, NameOf(item.upload_path),
               EvidenceOf(rooms, item, item.upload_path, told));
}

}  // namespace

Result<Lookup> LookUp(const Rooms& rooms, const Item& item, const std::string& upload_id,
                      const std::stop_token& stop) {
  const auto uploads = rooms.queue.Refresh(rooms.clock.Now(), stop);
  if (!uploads && !IsForbidden(uploads.error())) return Fail(uploads.error());
  Lookup lookup;
  lookup.served_whole = rooms.store.ServedWhole(item.id, item.upload_generation);
  // A finished entry of an earlier upload to this path says nothing about this one.
  const remote::QueuedUpload* found =
      uploads ? rooms.FindUploadOf(item.id, **uploads, upload_id, item.upload_path) : nullptr;
  if (found != nullptr && (found->key == upload_id || !remote::IsTerminal(found->status))) {
    lookup.kind = remote::IsTerminal(found->status) ? Lookup::Kind::kOver : Lookup::Kind::kRunning;
    lookup.status = {found->status, found->message};
    return lookup;
  }
  // Without a look into the queue nothing shows that it is gone, nor that it has ended.
  lookup.kind = uploads ? Lookup::Kind::kGone : Lookup::Kind::kRunning;
  lookup.blind = !uploads;
  const Result<Judgement> judgement = JudgeSilent(rooms, item, {false, uploads.has_value()}, stop);
  if (!judgement) return Fail(judgement.error());
  const Finding finding = judgement->finding;
  if (finding == Finding::kProven || finding == Finding::kNeedHash) {
    lookup.kind = Lookup::Kind::kThere;
  }
  lookup.looks_done = finding == Finding::kUnproven;
  return lookup;
}

}  // namespace outboxfs::upload
