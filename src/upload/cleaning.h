// Getting rid of an upload that nobody wants any more: cancel it, wait until the server has let go,
// delete what it left (docs/PROTOCOL.md, "Verification"). Blocking.
//
// Another file may stand under the same name by then, perhaps the only copy of its bytes: only what
// is proven to be this upload's result is deleted.
#pragma once

#include <optional>
#include <string>

#include "upload/rooms.h"

namespace outboxfs::upload {

// What a cancel came to.
enum class Ending {
  kCancelled,  // nothing will come of it any more
  kUnknown,    // the server does not know it: cancelled before, lost or finished
  kFinished,   // it succeeded: its result stands, or shows up soon
};

struct Leftover {
  cache::ItemId item = 0;
  std::string upload_id;    // empty: not known
  std::string upload_path;  // empty: nothing was ever started
  // A placing step was sent that leads here: it may stand here instead.
  std::string step_to;
  // The item's own path, when nothing is known of a step to it (a restart while placing).
  std::string maybe_at;
  // Its temporary name, in the directory that the item is in by now: it may have been renamed with
  // what was going up inside.
  std::string carried_to;
  std::optional<cache::Identity> sent;  // the bytes that were going up, as far as known
  std::optional<cache::Identity> replaced;
  // Where the item lives now: what stands there is overwritten later. Empty: it was deleted.
  std::string keep_path;
  bool put_in_place = false;  // at step_to, by the cleaning itself
  bool stands = false;        // it was seen at upload_path (cache::Item)
  bool place_taken = false;   // by another upload: nothing may be put at keep_path
  bool is_dir = false;
  bool cancel_only = false;  // nothing is deleted
  bool was_running = false;  // until now, as this process has seen itself
  bool succeeded = false;    // the server said so
  // Nothing of it was to be seen. A listing begun at `ends` or later is the last that is looked at.
  struct Lag {
    SteadyTime ends;
    Ending ending = Ending::kUnknown;
    bool was_running = false;
    bool succeeded = false;
  };
  std::optional<Lag> lag;
  bool comes_back = false;  // the caller does, when that time has come
};
Leftover LeftoverOf(const Rooms& rooms, const cache::Item& item);
// See Leftover::carried_to; empty when it cannot be elsewhere.
std::string CarriedTo(const Rooms& rooms, const cache::Item& item, const std::string& upload_path);

// Cancels the upload and waits until the server's queue shows no running one (a while).
Result<Ending> CancelUpload(const Rooms& rooms, cache::ItemId item, const std::string& upload_id,
                            const std::string& upload_path, const std::stop_token& stop);
// `leftover.step_to` tells afterwards, also after a failure, where else the result may stand by
// now. EAGAIN with `leftover.lag`: call again then; without `comes_back` it waits itself.
Status CleanUp(const Rooms& rooms, Leftover& leftover, const std::stop_token& stop);
// The same for an item that may be renamed or deleted meanwhile: what was kept under a path that it
// has left is cleaned up too. `lived_at`: the mount's path for which it was done; empty: deleted.
Status CleanUpFollowing(const Rooms& rooms, Leftover& leftover, std::string& lived_at,
                        const std::stop_token& stop);

}  // namespace outboxfs::upload
