// What the operations are built upon. References only; all must outlive who holds them.
#pragma once

#include "cache/store.h"
#include "common/clock.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"
#include "remote/remote.h"

namespace outboxfs::fs {

struct Rooms {
  cache::Store& store;
  remote::NamespaceApi& names;
  remote::DirCache& dirs;
  remote::Downloader& downloads;
  const Clock& clock;
};

}  // namespace outboxfs::fs
