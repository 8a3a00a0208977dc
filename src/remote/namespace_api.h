// The remote tree as plain types, without gRPC. Paths are full server paths: absolute, "/"
// separated, no trailing slash ("/" alone is the virtual root).
//
// Every call is blocking, thread-safe, carries its own deadline and ends early when `stop` is
// requested (ECANCELED). Both error levels of the server (gRPC status, success=false) come as one
// Error. A failed change may have happened all the same (timeouts, clouds that lie): callers that
// must know list the directory afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "common/result.h"
#include "remote/upload_api.h"

namespace outboxfs::remote {

// One entry of a listing. Names have been validated: never empty, ".", "..", and without "/" or
// NUL.
struct Entry {
  std::string name;
  bool is_dir = false;
  uint64_t size = 0;       // bytes
  int64_t mtime_ns = 0;    // writeTime, since 1970 UTC; 0 when the server gave none
  std::string id;          // the cloud's own id; may be empty
  Hashes hashes;           // whatever the server lists
  bool pending = false;    // shown, but still being uploaded: proves nothing
  bool read_only = false;  // the cloud refuses every write

  bool operator==(const Entry&) const = default;
};

// What a directory holds.
struct DirContent {
  std::vector<Entry> entries;
  size_t refused = 0;  // entries whose names cannot be shown here
};

struct Space {  // bytes
  uint64_t total = 0;
  uint64_t used = 0;
  uint64_t free = 0;
};

// Where a file's bytes can be fetched with HTTP range requests.
struct DownloadLink {
  std::string url;
  std::string user_agent;                                    // empty: ours
  std::vector<std::pair<std::string, std::string>> headers;  // must be sent along
  std::optional<int64_t> expires_in_s;
};

struct FsChange {
  enum class Kind { kCreate, kDelete, kRename, kModify };  // unknown kinds arrive as kModify
  Kind kind = Kind::kModify;
  bool is_dir = false;
  std::string path;      // full server path
  std::string new_path;  // kRename only
};

// What the token may do and where its root is.
struct TokenFacts {
  std::string root_dir;
  bool may_push = true;          // PushMessage
  bool may_list_uploads = true;  // GetUploadFileList
  bool may_get_space = true;     // GetSpaceInfo
  std::optional<int64_t> expires_in_s;
};

class PushStream {
 public:
  virtual ~PushStream() = default;
  // Blocks. An error ends the stream (EPIPE, or ECANCELED after Cancel); changes may have been
  // missed: everything cached is stale. Messages that are not about files are skipped.
  virtual Result<FsChange> Next() = 0;
  virtual void Cancel() = 0;
};

class NamespaceApi {
 public:
  virtual ~NamespaceApi() = default;

  // Entries in the server's order; two entries may have one name. ENOENT, ENOTDIR.
  virtual Result<DirContent> List(const std::string& dir, bool force_refresh,
                                  const std::stop_token& stop) = 0;
  // Server's cache, no refresh: a hint, never a proof. ENOENT.
  virtual Result<Entry> Find(const std::string& path, const std::stop_token& stop) = 0;
  // EEXIST when it is there already. EPERM directly under the virtual root.
  virtual Status MakeDir(const std::string& parent, const std::string& name,
                         const std::stop_token& stop) = 0;
  // Inside one directory.
  virtual Status Rename(const std::string& path, const std::string& new_name,
                        const std::stop_token& stop) = 0;
  // To another directory, keeping the name.
  virtual Status Move(const std::string& path, const std::string& dest_dir,
                      const std::stop_token& stop) = 0;
  virtual Status Delete(const std::string& path, const std::stop_token& stop) = 0;
  virtual Result<Space> GetSpace(const std::string& path, const std::stop_token& stop) = 0;
  virtual Result<DownloadLink> GetDownloadLink(const std::string& path,
                                               const std::stop_token& stop) = 0;
  virtual Result<std::unique_ptr<PushStream>> OpenPush(const std::stop_token& stop) = 0;
  // GetSystemInfo (reachable and ready?) and GetApiTokenInfo. EACCES: the token is refused.
  virtual Result<TokenFacts> Probe(const std::stop_token& stop) = 0;
};

}  // namespace outboxfs::remote
