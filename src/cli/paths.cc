#include "cli/paths.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <filesystem>

#include "common/disk.h"

namespace outboxfs::cli {
namespace {

std::string HashName(const std::string& text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

// $`variable`, or ~/`below`; empty without either. XDG: a relative value counts as unset.
std::string XdgHome(const Environment& environment, const std::string& variable,
                    const std::string& below) {
  std::string set = Lookup(environment, variable);
  if (set.starts_with("/")) return set;
  const std::string home = Lookup(environment, "HOME");
  return home.starts_with("/") ? home + "/" + below : "";
}

}  // namespace

std::string DefaultConfigFile(const Environment& environment) {
  const std::string home = XdgHome(environment, "XDG_CONFIG_HOME", ".config");
  return home.empty() ? "" : home + "/outboxfs/config.toml";
}

Result<std::string> DefaultCacheDir(const Environment& environment, const std::string& remote) {
  std::string home = XdgHome(environment, "XDG_CACHE_HOME", ".cache");
  if (home.empty() && ::geteuid() == 0) home = "/var/cache";
  if (home.empty()) return Fail(EINVAL, "HOME is not set: give --cache-dir DIR");
  return fmt::format("{}/outboxfs/{}", home, HashName(remote));
}

Result<std::string> RuntimeDir(const Environment& environment) {
  const std::string xdg = Lookup(environment, "XDG_RUNTIME_DIR");
  std::string path = "/run/outboxfs";  // of root: the same for a service and for a login
  if (::geteuid() != 0) {
    // Directly in /tmp, where nobody else can rename it.
    path = xdg.starts_with("/") ? xdg + "/outboxfs" : fmt::format("/tmp/outboxfs-{}", ::geteuid());
  }
  if (Status made = disk::MakeDirs(path); !made) {
    return Fail(made.error().Prepend("directory of control sockets"));
  }
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return FailErrno(errno, path);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::geteuid() || (info.st_mode & 077) != 0) {
    return Fail(EACCES, fmt::format("{} is not a directory of ours alone", path));
  }
  return path;
}

std::string ControlSocketPath(const std::string& runtime_dir, const std::string& mountpoint) {
  return fmt::format("{}/{}.sock", runtime_dir, HashName(mountpoint));
}

Result<std::string> CanonicalPath(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  if (path.empty()) return Fail(ENOENT, "an empty path");
  fs::path whole = fs::absolute(path, error).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // "/a/" -> "/a"
  fs::path canonical = fs::canonical(whole, error);
  if (!error) return canonical.string();
  canonical = fs::canonical(whole.parent_path(), error);
  if (error) return FailErrno(error.value(), path);
  return (canonical / whole.filename()).string();
}

}  // namespace outboxfs::cli
