// The two calls that begin something remotely: StartRemoteUpload and CreateFolder. Blocking; each
// is journalled before it is sent.
#pragma once

#include <optional>
#include <string>

#include "upload/rooms.h"

namespace outboxfs::upload {

struct StartedUpload {
  std::string upload_id;
  bool hash_given = false;  // whole-file hashes went with it
};

// ESTALE: the generation is over; nothing was sent. Any other error leaves the outcome open: the
// server may have begun it.
Result<StartedUpload> StartUpload(const Rooms& rooms, const cache::Item& item,
                                  const std::string& upload_path,
                                  const std::optional<cache::Identity>& replaced,
                                  const std::stop_token& stop);

// Makes the remote directory of a staged one, at its newest name. Success when it is there already.
// ESTALE: it was deleted meanwhile.
Status MakeRemoteDir(const Rooms& rooms, const cache::Item& item, const std::stop_token& stop);

}  // namespace outboxfs::upload
