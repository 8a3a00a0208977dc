// What the operations are built upon. References only; all must outlive who holds them.
#pragma once

#include "cache/read_cache.h"
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
  cache::ReadCache* read_cache = nullptr;  // null: what was read is not kept
};

}  // namespace outboxfs::fs
