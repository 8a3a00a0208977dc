// Listings of remote directories, kept for a while. Answers "is there such a name" without an RPC
// while a listing is fresh. Thread-safe. Paths are full server paths.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "common/clock.h"
#include "common/mutex.h"
#include "remote/namespace_api.h"

namespace outboxfs::remote {

// One answer of the server, immutable once made.
struct Listing {
  SteadyTime begun;           // when the call was sent: changes before it are visible in it
  std::vector<Entry> entries;  // sorted by name; equal names stay in the server's order
  // The first entry of that name, or nullptr.
  const Entry* Find(const std::string& name) const;
  size_t Count(const std::string& name) const;
};
using ListingPtr = std::shared_ptr<const Listing>;

class DirCache {
 public:
  // `api` and `clock` must outlive the cache. A listing is fresh for `ttl`.
  DirCache(NamespaceApi& api, const Clock& clock, std::chrono::nanoseconds ttl);
  ~DirCache();

  // The fresh listing, or nullptr. Never an RPC: this is the fast lane.
  ListingPtr Peek(const std::string& dir) const;
  // The fresh listing, else one RPC, shared by all who ask meanwhile.
  Result<ListingPtr> Get(const std::string& dir, const std::stop_token& stop);
  // A listing whose call was begun at or after `not_before`, by forced refresh; one RPC is shared
  // by all whom it satisfies. What verification uses.
  Result<ListingPtr> Refresh(const std::string& dir, SteadyTime not_before,
                             const std::stop_token& stop);

  // Our own changes, applied to a cached listing so that no RPC is needed to see them.
  void Put(const std::string& dir, const Entry& entry);
  void Erase(const std::string& dir, const std::string& name);
  // Drops the listing of `dir` alone, or of everything at and below it.
  void Invalidate(const std::string& dir);
  void InvalidateTree(const std::string& dir);
  void InvalidateAll();

 private:
  struct Slot;
  std::shared_ptr<Slot> SlotOf(const std::string& dir);

  NamespaceApi& api_;
  const Clock& clock_;
  const std::chrono::nanoseconds ttl_;
  mutable Mutex mu_;
  std::unordered_map<std::string, std::shared_ptr<Slot>> slots_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::remote
