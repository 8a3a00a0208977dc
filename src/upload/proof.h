// Does a listing prove that our bytes stand at a name (docs/PROTOCOL.md, "Verification")? Pure.
#pragma once

#include <optional>
#include <set>
#include <string>

#include "cache/item.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"

namespace outboxfs::upload {

// What we know of the bytes that should stand there.
struct Evidence {
  uint64_t size = 0;
  cache::Digests digests;                   // ours, as far as known
  std::optional<cache::Identity> replaced;  // the entry of that name before Start
  bool served_whole = false;                // the server acknowledged every byte
  bool hash_given = false;  // the server asked for a whole-file hash of ours, or was told one
  // The server said Finish or Skipped for exactly these bytes, or its queue shows that it is done
  // with them. Without that only a listed hash proves anything, and only one that is new.
  bool reported = false;
  bool accepted = false;  // a person vouches for what stands there
};

enum class Finding {
  kProven,
  kAbsent,
  kPending,    // shown, but still being uploaded
  kOld,        // the entry that was there before Start
  kTwice,      // several entries of the name
  kWrongKind,  // a directory
  kWrongSize,
  kWrongHash,
  kNeedHash,  // a hash is listed that we do not know of our bytes yet: compute, then judge again
  kUnproven,  // nothing is wrong, but nothing shows that these are our bytes
};

struct Judgement {
  Finding finding = Finding::kAbsent;
  cache::Identity identity;            // of the one entry, if there is one
  std::set<remote::HashType> missing;  // kNeedHash
  std::string text;                    // for a person, unless kProven
};
// True for what a listing that lags behind can show.
bool MayBeLag(Finding finding);

cache::Identity IdentityOf(const remote::Entry& entry);
Judgement Judge(const remote::Listing& listing, const std::string& name, const Evidence& evidence);

}  // namespace outboxfs::upload
