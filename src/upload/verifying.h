// One listing of a directory that decides over all uploads that finished there. Blocking.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "upload/proof.h"
#include "upload/rooms.h"
#include "upload/source.h"

namespace outboxfs::upload {

struct VerifyTask {
  RunKey key = 0;
  cache::ItemId item = 0;
  cache::Generation generation = 0;
  std::string path;  // where the upload went
  bool hash_given = false;
  bool reported = false;  // the server said, or its queue shows, that it is done
  SteadyTime not_before;  // a listing begun earlier cannot show the result
};

struct VerifyOutcome {
  RunKey key = 0;
  Judgement judgement;
  bool placed = false;         // it stands at the item's own path, and the cache knows
  bool stale = false;          // the generation is over
  std::optional<Error> error;  // nothing is known: the listing or the journal failed
};

// One outcome for each task. `dir` is the parent of their paths.
std::vector<VerifyOutcome> VerifyDirectory(const Rooms& rooms, const std::string& dir,
                                           const std::vector<VerifyTask>& tasks,
                                           const std::stop_token& stop);

}  // namespace outboxfs::upload
