// What the server's words mean. Most failures of the clouds behind it arrive as text only;
// the table is in grpc_error.cc (docs/PROTOCOL.md, rule 11). Pure, thread-safe.
#pragma once

#include <string_view>

#include "common/error.h"

namespace outboxfs::remote {

// The errorMessage of a success=false answer or of an upload's terminal status; `call` goes in
// front of it. An empty text is an error as well (EIO).
Error FromServerText(std::string_view text, std::string_view call);

}  // namespace outboxfs::remote
