// Download links by path, until they expire. Thread-safe.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>

#include "common/clock.h"
#include "common/mutex.h"
#include "remote/namespace_api.h"

namespace outboxfs::remote {

class LinkCache {
 public:
  // Both must outlive the cache.
  LinkCache(NamespaceApi& names, const Clock& clock) : names_(names), clock_(clock) {}

  // From memory, else one RPC.
  Result<std::shared_ptr<const DownloadLink>> Get(const std::string& path,
                                                  const std::stop_token& stop);
  void Forget(const std::string& path);

 private:
  struct Kept {
    std::shared_ptr<const DownloadLink> link;
    SteadyTime until;
  };

  NamespaceApi& names_;
  const Clock& clock_;
  Mutex mu_;
  std::unordered_map<std::string, Kept> links_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::remote
