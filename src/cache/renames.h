// Where the server has what was renamed or removed here and is to be renamed or removed there
// later: deferred intents (item.h). Mount paths and remote paths are of one form; without deferred
// intents they are equal. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cache/item.h"

namespace outboxfs::cache {

bool IsAtOrBeneath(std::string_view path, std::string_view top);

// Empty: the server can have nothing of that name, because what it has at this path is shown under
// another one.
std::string RemotePathOf(const std::vector<Intent>& intents, const std::string& path);
// Empty: what the server has there is not shown.
std::string MountPathOf(const std::vector<Intent>& intents, const std::string& remote_path);
// A deferred intent has to be carried out before anything new may begin at this mount path.
bool AwaitsRename(const std::vector<Intent>& intents, const std::string& path);

}  // namespace outboxfs::cache
