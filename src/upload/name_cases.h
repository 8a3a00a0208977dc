// Clouds that take "README" and "readme" for one name: an upload of the one would destroy the
// other, whose bytes are gone here by then. Whether a cloud is like that is asked once, when two
// such names meet. Thread-safe.
#pragma once

#include <map>
#include <string>

#include "common/mutex.h"
#include "common/result.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"

namespace outboxfs::upload {

// Letters of ASCII only: what all such clouds agree on.
std::string FoldCase(std::string name);

// The entry whose name differs from `name` in nothing but its case, or nullptr.
const remote::Entry* FindOtherCase(const remote::Listing& listing, const std::string& name);

class NameCases {
 public:
  // EEXIST (kPark): the server has another name for what `path` would be. `listing`: of its
  // directory. May ask the server.
  Status Check(remote::NamespaceApi& names, const remote::Listing& listing, const std::string& path,
               const std::stop_token& stop);

 private:
  Mutex mu_;
  std::map<std::string, bool> one_name_ ABSL_GUARDED_BY(mu_);  // by cloud: the first path component
};

// What to tell a person.
tl::unexpected<Error> OtherCase(const std::string& other);

}  // namespace outboxfs::upload
