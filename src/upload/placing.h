// Moving a verified upload from where it stands to the item's own path: safe overwrite, and renames
// that came while it was in flight (docs/PROTOCOL.md, rule 10). Blocking; every step is journalled,
// and after a step a forced listing decides whether it happened, whatever the call said.
#pragma once

#include <string>

#include "upload/rooms.h"

namespace outboxfs::upload {

// The server renames inside one directory and moves between directories keeping the name, so a
// change of both goes over a name that nobody else uses.
struct PlacingStep {
  enum class Kind { kRename, kMove } kind = Kind::kRename;
  std::string to;  // full path after the step
};
inline constexpr int kMaxPlacingSteps = 3;
// REQUIRES: from != to.
PlacingStep NextStep(const std::string& from, const std::string& to, const std::string& temp_name);

struct PlacingJob {
  cache::ItemId item = 0;
  cache::Generation generation = 0;
};
// Until the item's bytes stand at its path and the cache knows. ESTALE: the generation is over.
// `step_to`: where the last step leads that was sent, whatever came of it. Of a file that was
// deleted meanwhile the row cannot keep that any more.
Status Place(const Rooms& rooms, const PlacingJob& job, std::string& step_to,
             const std::stop_token& stop);

// Out of the way, to the temporary name: two files that want each other's name.
Status StepAside(const Rooms& rooms, const PlacingJob& job, std::string& step_to,
                 const std::stop_token& stop);

}  // namespace outboxfs::upload
