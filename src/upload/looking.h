// The look before every Start: was an earlier upload of this item left behind, does the server
// still run it, has it finished unseen, and what stands at the name now (docs/PROTOCOL.md,
// "Verification")? Blocking.
#pragma once

#include <memory>
#include <set>

#include "upload/rooms.h"
#include "upload/session.h"

namespace outboxfs::upload {

struct LookResult {
  Look look;
  std::shared_ptr<cache::SealedReader> reader;  // of the item's generation
};

// `listed`: hashes that this server shows in listings; of a small file they are computed at once
// and go along with Start, which may spare the upload.
Result<LookResult> LookBeforeStart(const Rooms& rooms, const cache::Item& item,
                                   const std::set<remote::HashType>& listed,
                                   const std::stop_token& stop);

// Hashes the sealed bytes here and now and keeps the result in the store.
Result<cache::Digests> ComputeDigests(const Rooms& rooms, const cache::Item& item,
                                      cache::SealedReader& reader,
                                      const std::set<remote::HashType>& types,
                                      const std::stop_token& stop);

// What the cache and this run know of the bytes that should stand at `path`.
struct Told {
  bool hash_given = false;  // the server was given a whole-file hash
  bool reported = false;    // the server reported success, or its queue shows that it is done
  bool accepted = false;    // a person vouches for what stands there
};
Evidence EvidenceOf(const Rooms& rooms, const cache::Item& item, const std::string& path,
                    const Told& told);

// What became of a started upload from which nothing was heard.
Result<Lookup> LookUp(const Rooms& rooms, const cache::Item& item, const std::string& upload_id,
                      const std::stop_token& stop);

}  // namespace outboxfs::upload
