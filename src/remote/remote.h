// The face of the room: one connection to a CloudDrive2 server, and what is built upon it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "remote/dir_cache.h"
#include "remote/namespace_api.h"
#include "remote/upload_api.h"

namespace outboxfs::remote {

// Where and how to connect.
struct Endpoint {
  std::string host;  // name or address
  int port = 19798;
  bool tls = false;
};

// "host", "host:port", "http://host:port", "https://host" and a path after it:
// splits "[scheme://]host[:port][/remote/folder]". The folder is normalised ("/" when absent;
// UTF-8; no empty, "." or ".." components). EINVAL with a text that says what is wrong.
struct RemoteSpec {
  Endpoint endpoint;
  std::string folder = "/";
};
Result<RemoteSpec> ParseRemote(const std::string& text);

struct Credentials {
  std::string token;  // API token or JWT; else user and password through GetToken, renewed
  std::string user;
  std::string password;
  // Reads the token again where it came from; asked when the server refuses it. May be empty.
  std::function<Result<std::string>()> reread_token;
};

// A connection over which nothing came for `after` is asked whether it still stands; without an
// answer within `patience` its streams end.
struct KeepAlive {
  // As the clients that last use it.
  std::chrono::milliseconds after{30'000};
  std::chrono::milliseconds patience{10'000};
};

struct ConnectOptions {
  Endpoint endpoint;
  std::string folder = "/";  // that is mounted, as the user wrote it
  Credentials credentials;
  std::string ca_file;  // PEM; empty: the system's roots
  bool tls_verify = true;
  KeepAlive keep_alive;
};

// Owns the channel and its token renewal. Thread-safe. Connecting is lazy: Connect never fails for
// an unreachable server, only for unusable options (EINVAL, unreadable CA file).
class Remote {
 public:
  static Result<std::unique_ptr<Remote>> Connect(const ConnectOptions& options);
  virtual ~Remote() = default;
  virtual UploadApi& uploads() = 0;
  virtual NamespaceApi& names() = 0;
};

// Fetches bytes of remote files over HTTP. Thread-safe; connections are reused.
class Downloader {
 public:
  virtual ~Downloader() = default;
  // Exactly out.size() bytes at `offset` of the file at `path` (a range past the end is EIO: the
  // caller knows the size). Links are cached and renewed; 502/503 of a fresh file are retried for
  // 90 s (a cloud may not have it ready). `stop` ends it with ECANCELED.
  virtual Status Fetch(const std::string& path, uint64_t offset, std::span<std::byte> out,
                       const std::stop_token& stop) = 0;
  // Forgets the cached link, after the file was replaced, renamed or deleted.
  virtual void Forget(const std::string& path) = 0;
};
// `names` must outlive it.
std::unique_ptr<Downloader> MakeDownloader(NamespaceApi& names, const ConnectOptions& options);

}  // namespace outboxfs::remote
