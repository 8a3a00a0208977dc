// Paths of a token that is restricted to a folder, in the two ways that were seen (knobs token_root
// and token_root_is_root). Pure.
#pragma once

#include <string>

#include "common/result.h"
#include "server/knobs.h"

namespace outboxfs::server {

// The path in the store of what a client calls `path`. EACCES: outside of the token's folder.
// `above`: the folders on the way to it may be looked at.
Result<std::string> InnerPath(const std::string& path, const Knobs& knobs, bool above = false);
// Of a folder on the way to the token's root: the next one.
std::string NextOnTheWay(const std::string& folder, const Knobs& knobs);
// How the client calls a path of the store.
std::string OuterPath(const std::string& path, const Knobs& knobs);

}  // namespace outboxfs::server
