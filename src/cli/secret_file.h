// Files that hold a token or a password.
#pragma once

#include <string>

#include "common/result.h"

namespace outboxfs::cli {

// EACCES when the file is somebody else's, or when its permissions let others read it.
Status CheckPrivate(const std::string& path);
// The content without the line end behind it. EACCES as above, EINVAL when empty, too long, or of
// several lines.
Result<std::string> ReadSecretFile(const std::string& path);
// A new file with 0600. EEXIST when there is one.
Status WriteSecretFile(const std::string& path, const std::string& secret);
// 256 random bits as hex text, from the kernel.
std::string RandomToken();

}  // namespace outboxfs::cli
