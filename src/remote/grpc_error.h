// The one table that turns what the server says (gRPC status, or the text of a success=false
// answer) into an Error. Most failures of the clouds behind the server arrive as text only
// (docs/PROTOCOL.md, rule 11). Pure functions, thread-safe.
#pragma once

#include <string_view>

#include "common/error.h"
#include "remote/server_text.h"

namespace grpc {
class Status;
}

namespace outboxfs::remote {

// `status` is not OK; `call` names the RPC and goes in front of the text.
Error FromStatus(const grpc::Status& status, std::string_view call);

}  // namespace outboxfs::remote
