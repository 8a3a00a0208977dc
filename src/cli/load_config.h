// Flags, environment and configuration file into one checked Config; flags win over the
// environment, the environment over the file, the file over the defaults of options.h.
//
// Every failure is EINVAL (or the errno of a file) with one line that names where the bad value is.
#pragma once

#include <map>
#include <string>

#include "cli/config.h"
#include "cli/environment.h"
#include "cli/options.h"
#include "common/result.h"

namespace outboxfs::cli {

// Option name -> what was given, in order.
using Settings = std::map<std::string, Values>;

struct ConfigSources {
  Settings flags;
  std::string config_file;  // --config; empty: OUTBOXFS_CONFIG, else the default file if it exists
  Environment environment;
};

Result<Config> LoadConfig(const ConfigSources& sources);

// Reads token and password files into config.connect.credentials and hides the secrets from the
// log. ENOKEY when nothing was given at all. Files that others may read are refused (EACCES).
Status LoadCredentials(Config& config);

}  // namespace outboxfs::cli
