// What every blocking piece of remote work needs: the lower rooms and the settings. References and
// constants only; freely shared between threads.
#pragma once

#include <string>

#include "cache/store.h"
#include "common/clock.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"
#include "remote/upload_api.h"
#include "upload/name_cases.h"
#include "upload/server_queue.h"
#include "upload/uploader.h"

namespace outboxfs::upload {

struct Rooms {
  cache::Store& store;
  remote::UploadApi& uploads;
  remote::NamespaceApi& names;
  remote::DirCache& dirs;
  ServerQueue& queue;
  NameCases& cases;
  const Clock& clock;
  const UploadOptions& options;
  std::string device_tag;

  // The full server path of a mount path. Empty: the server has yet to free it (cache/renames.h).
  std::string ServerPath(const std::string& mount_path) const;
  // The way back; empty when the mount does not show what is there.
  std::string MountPath(const std::string& server_path) const;
  // The name under which the new bytes of `item` go up beside `path`.
  std::string TempPath(cache::ItemId item, const std::string& path) const;

  // The server's upload of `item` in its queue (see FindUpload).
  const remote::QueuedUpload* FindUploadOf(cache::ItemId item, const ServerQueue::Uploads& list,
                                           const std::string& upload_id,
                                           const std::string& path) const;
  // Does the mount show a file at the server path `path` that is not this item's? What stands there
  // may be its only copy.
  bool IsAnothers(cache::ItemId item, const std::string& path) const;

  // Somebody has the old version open that stands there (cache::Store::Hold).
  bool IsReadOn(const std::string& server_path) const;

  // A forced listing begun at or after `not_before`.
  Result<remote::ListingPtr> List(const std::string& dir, SteadyTime not_before,
                                  const std::stop_token& stop) const;
  // EAGAIN while fs renames or removes `path`, or what it is in, on the server: nothing may be made
  // there meanwhile.
  Status CheckNotBusy(const std::string& path) const;
  // Makes `dir` and its missing parents. Success also when they are there already.
  Status EnsureDir(const std::string& dir, const std::stop_token& stop) const;
  // Makes the directory of `path`, the item's own, which was seen missing. EAGAIN if the item is
  // deleted or renamed by now: its directory may be missing because it went the same way.
  Status EnsureParent(cache::ItemId item, const std::string& path,
                      const std::stop_token& stop) const;
  // Deletes one remote entry. A failed call may have worked: a listing decides.
  Status DeleteEntry(const std::string& path, const std::stop_token& stop) const;
};

}  // namespace outboxfs::upload
