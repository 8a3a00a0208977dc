// Paths of a token that is restricted to a folder. The server says which folder (GetApiTokenInfo);
// whether its paths then start at that folder or at the server's root is told differently by
// different servers, so it is found out by listing "/" (docs/PROTOCOL.md, "Restricted tokens").
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "common/mutex.h"
#include "common/result.h"

namespace outboxfs::remote {

// Two forms of a path: from the server's root, or from the token's. Ours is that of the folder
// which the user named. Plain value, pure functions.
struct PathForms {
  std::string root = "/";  // the token's; "/" means that there is one form only
  bool ours_full = true;   // from the server's root
  bool servers_full = true;

  std::string ToServer(const std::string& path) const;
  // Of either form: push messages have been seen with full paths from servers that want the other.
  std::string ToOurs(const std::string& path) const;
};

// What a listing of "/" says: `paths` are the full names of its entries. True: only the way to the
// token's root is shown, so paths start at the server's root.
bool ShowsWayTo(const std::string& root, const std::vector<std::string>& paths);

// Finds the forms at the first call that needs them. Thread-safe.
class TokenRoot {
 public:
  // What it asks the server; both are called without a lock.
  struct Questions {
    std::function<Result<std::string>(const std::stop_token&)> root;
    // The full names of the entries of "/".
    std::function<Result<std::vector<std::string>>(const std::stop_token&)> list;
  };
  // `folder`: what is mounted, as the user wrote it.
  TokenRoot(Questions questions, std::string folder);

  // An error only when the server did not answer: then the call that wanted to know fails too.
  Result<std::shared_ptr<const PathForms>> Get(const std::stop_token& stop)
      ABSL_LOCKS_EXCLUDED(mu_);

 private:
  Result<PathForms> Ask(const std::stop_token& stop) const;

  const Questions questions_;
  const std::string folder_;
  Mutex mu_;
  std::shared_ptr<const PathForms> known_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::remote
