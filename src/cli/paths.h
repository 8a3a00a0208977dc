// Every place outside the mount that the program uses, by the XDG rules. No path here comes from
// the remote.
#pragma once

#include <string>

#include "cli/environment.h"
#include "common/result.h"

namespace outboxfs::cli {

// $XDG_CONFIG_HOME/outboxfs/config.toml; empty when there is no home.
std::string DefaultConfigFile(const Environment& environment);
// $XDG_CACHE_HOME/outboxfs/<hash of remote>; without a home, below /var/cache for root, else
// EINVAL. `remote` is the normalised spelling of the server and folder.
Result<std::string> DefaultCacheDir(const Environment& environment, const std::string& remote);

// Where daemons of this user listen; made 0700 when missing. EACCES when it is not ours alone.
Result<std::string> RuntimeDir(const Environment& environment);
// The control socket of the mount at `mountpoint` (absolute, see below).
std::string ControlSocketPath(const std::string& runtime_dir, const std::string& mountpoint);

// Absolute and without symbolic links, also when a dead mount stands at its end, which cannot be
// looked at. ENOENT when its directory does not exist.
Result<std::string> CanonicalPath(const std::string& path);

}  // namespace outboxfs::cli
