// The process's environment as a plain map, taken once by main() before any thread exists: getenv
// is not safe beside setenv, and tests pass their own.
#pragma once

#include <map>
#include <string>

namespace outboxfs::cli {

using Environment = std::map<std::string, std::string>;

// `environment` as main() gets it: "NAME=value" strings up to a nullptr.
Environment ReadEnvironment(const char* const* environment);
// The value, or "" when unset.
std::string Lookup(const Environment& environment, const std::string& name);

}  // namespace outboxfs::cli
