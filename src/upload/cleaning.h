// Getting rid of an upload that nobody wants any more: cancel it, wait until the server has let go,
// delete what it left at its path (HARD-CASES 16 and 22). Blocking.
#pragma once

#include <optional>
#include <string>

#include "upload/rooms.h"

namespace outboxfs::upload {

struct Leftover {
  cache::ItemId item = 0;
  std::string upload_id;         // empty: not known
  std::string upload_path;       // empty: nothing was ever started
  std::optional<uint64_t> size;  // of the bytes that were going up; not known after a restart
  cache::Digests digests;        // of them, as far as known
  std::optional<cache::Identity> replaced;
  // Where the item lives now: what stands there is overwritten later. Empty: it was deleted.
  std::string keep_path;
  bool is_dir = false;
};
Leftover LeftoverOf(const Rooms& rooms, const cache::Item& item);

// Cancels the upload and waits until the server's queue shows no running one (a while). True when
// the server had finished it already: its result may stand, or show up soon.
Result<bool> CancelUpload(const Rooms& rooms, const std::string& upload_id,
                          const std::string& upload_path, const std::stop_token& stop);
Status CleanUp(const Rooms& rooms, const Leftover& leftover, const std::stop_token& stop);

}  // namespace outboxfs::upload
