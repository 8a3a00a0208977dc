// Everything that a run of the program can be told, checked, in one struct. Filled by
// load_config.h from the table in options.h; the rooms' own option structs are part of it, so that
// nothing has to be copied from word to word.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "common/log.h"
#include "fs/mount_session.h"
#include "remote/remote.h"
#include "upload/uploader.h"

namespace outboxfs::cli {

// How long leaving may wait for uploads when nothing else was said.
inline constexpr std::chrono::seconds kDrainTimeout{30};

// `outboxfs serve`.
struct ServeConfig {
  std::string listen;  // host:port
  std::vector<std::string> knobs;
  std::string tls_cert;
  std::string tls_key;
  std::string ready_file;
};

struct Config {
  // mount. `mount.dir_mode` and `file_mode` are before the umask until Finish (load_config.cc).
  fs::MountOptions mount;
  upload::UploadOptions upload;
  remote::ConnectOptions connect;  // credentials: see below
  std::string cache_dir;           // empty: derived from the remote (paths.h)
  int attr_memory = 1'000'000;     // entries
  uint64_t cache_max_size = 0;     // bytes
  std::chrono::nanoseconds cache_keep{};
  std::optional<std::chrono::nanoseconds> drain_timeout;  // unset: kDrainTimeout, or the daemon's
  mode_t umask = 022;
  bool foreground = false;

  // Where the credentials come from. LoadCredentials() reads them into connect.credentials.
  std::string token;  // environment or configuration file only, never the command line
  std::string token_file;
  std::string user;
  std::string password;  // as token
  std::string password_file;

  LogOptions log;
  int verbose = 0;

  ServeConfig serve;

  // status, wait, retry, unmount
  bool json = false;
  bool metrics = false;
  size_t limit = 0;
  std::optional<std::chrono::nanoseconds> timeout;
  bool no_drain = false;
  bool accept = false;
};

}  // namespace outboxfs::cli
