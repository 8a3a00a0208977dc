// Listings of remote directories, kept for a while. Answers "is there such a name" without an RPC
// while a listing is fresh. Thread-safe. Paths are full server paths.
#pragma once

#include <chrono>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "remote/namespace_api.h"

namespace outboxfs::remote {

using EntryPtr = std::shared_ptr<const Entry>;

// One answer of the server, immutable once made.
struct Listing {
  SteadyTime begun;  // when the call was sent: changes before it are visible in it
  // Sorted by name; equal names stay in the server's order. Shared with the listings that were made
  // of this one by an edit: a copy of 100,000 entries takes as many increments, no allocations.
  std::vector<EntryPtr> entries;
  size_t refused = 0;  // further entries, whose names cannot be shown here
  static Listing Of(SteadyTime begun, DirContent content);
  // The directory holds nothing at all.
  bool empty() const { return entries.empty() && refused == 0; }
  // The first entry of that name, or nullptr.
  const Entry* Find(const std::string& name) const;
  size_t Count(const std::string& name) const;
};
using ListingPtr = std::shared_ptr<const Listing>;

class DirCache {
 public:
  // Beyond these the listings that were not used for the longest time go.
  struct Limits {
    size_t dirs = 10'000;
    size_t entries = 2'000'000;  // of all listings together
  };

  // `api` and `clock` must outlive the cache. A listing is fresh for `ttl`.
  DirCache(NamespaceApi& api, const Clock& clock, std::chrono::nanoseconds ttl, Limits limits);
  DirCache(NamespaceApi& api, const Clock& clock, std::chrono::nanoseconds ttl);
  DirCache(const DirCache&) = delete;
  DirCache& operator=(const DirCache&) = delete;
  ~DirCache();

  // The fresh listing, or nullptr. Never an RPC: this is the fast lane.
  ListingPtr Peek(const std::string& dir) const;
  // One that is fresh for this name; others in it may be in doubt.
  ListingPtr Peek(const std::string& dir, const std::string& name) const;
  // The newest one, fresh or not, for when the server does not answer. May be nullptr.
  ListingPtr Last(const std::string& dir) const;
  // The fresh listing, else one RPC, shared by all who ask meanwhile.
  Result<ListingPtr> Get(const std::string& dir, const std::stop_token& stop);
  Result<ListingPtr> Get(const std::string& dir, const std::string& name,
                         const std::stop_token& stop);
  // A listing whose call was begun at or after `not_before`, by forced refresh; one RPC is shared
  // by all whom it satisfies. What verification uses.
  Result<ListingPtr> Refresh(const std::string& dir, SteadyTime not_before,
                             const std::stop_token& stop);

  // Our own changes, applied to a cached listing so that no RPC is needed to see them.
  void Put(const std::string& dir, const Entry& entry);
  void Erase(const std::string& dir, const std::string& name);
  // The name may have changed at the server (`gone`: only by going away); the rest of the listing
  // stays fresh. So changes in a large directory, our own among them, cost no listing each.
  void Doubt(const std::string& dir, const std::string& name, bool gone);
  // Drops the listing of `dir` alone, or of everything at and below it.
  void Invalidate(const std::string& dir);
  void InvalidateTree(const std::string& dir);
  void InvalidateAll();

 private:
  // One RPC under way, shared by all who wait for it.
  struct Flight;
  struct Change {
    SteadyTime at;       // a listing begun later shows it
    bool known = false;  // `listing` shows it too; kept only for calls under way
  };
  struct Slot {
    ListingPtr listing;
    bool forced = false;  // `listing` is the answer to a forced call, and not edited since
    std::map<std::string, Change> changes;         // by name, since `listing` was begun
    std::vector<std::shared_ptr<Flight>> flights;  // the newest last
    std::list<std::string>::iterator age;          // in ages_
  };
  using Slots = std::unordered_map<std::string, Slot>;

  // `name`: nullptr for all names.
  static bool Doubtful(const Slot& slot, const std::string* name);
  static bool Overtaken(const Slot& slot, const Flight& flight, const std::string* name);
  ListingPtr FreshLocked(const std::string& dir, const std::string* name) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Result<ListingPtr> GetFor(const std::string& dir, const std::string* name,
                            const std::stop_token& stop);
  void EditedLocked(Slot& slot, const std::string& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Slot& SlotLocked(const std::string& dir) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // nullopt: the flight ended for a reason of its leader only, look again.
  std::optional<Result<ListingPtr>> Join(const std::shared_ptr<Flight>& flight,
                                         const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Result<ListingPtr> Fly(const std::string& dir, bool forced, const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void LandLocked(const std::string& dir, const std::shared_ptr<Flight>& flight)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void StoreLocked(Slot& slot, ListingPtr listing, bool forced) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropLocked(Slots::iterator at) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShrinkLocked(const std::string& keep) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  NamespaceApi& api_;
  const Clock& clock_;
  const std::chrono::nanoseconds ttl_;
  const Limits limits_;
  mutable Mutex mu_;
  mutable std::list<std::string> ages_ ABSL_GUARDED_BY(mu_);  // least recently used first
  Slots slots_ ABSL_GUARDED_BY(mu_);
  size_t entries_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace outboxfs::remote
