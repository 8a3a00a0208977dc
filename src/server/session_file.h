// Uploads that outlive a stop of the server (knob keep_sessions): written when it stops, read and
// removed when it starts.
#pragma once

#include <vector>

#include "server/dir_store.h"
#include "server/task.h"

namespace outboxfs::server {

Status SaveSessions(DirStore* store, const std::vector<UploadOrder>& orders);
// Empty when there are none. Private files of no session are removed.
std::vector<UploadOrder> LoadSessions(DirStore* store);

}  // namespace outboxfs::server
