// The configuration file: flat TOML, one key per option of options.h.
#pragma once

#include <string>

#include "cli/load_config.h"
#include "common/result.h"

namespace outboxfs::cli {

// EINVAL with file and line for anything that is not TOML, an unknown key (with the nearest known
// one), or a value of a wrong type; the errno of a file that cannot be read.
Result<Settings> ReadTomlFile(const std::string& path);

}  // namespace outboxfs::cli
