// Fetching a whole remote file into its staged copy, when it is opened to be changed in place.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"

namespace outboxfs::fs {
namespace {

constexpr uint64_t kPiece = 4 << 20;

}  // namespace

Result<cache::Pin> Filesystem::Hydrate(const NodePtr& node, const cache::Item& item,
                                       SlowLane& lane) {
  auto keep = rooms_.store.PinFile(item.id, false);
  Status status = keep ? FetchInto(item, lane) : Fail(keep.error());
  if (status || status.error().code == EIO) {  // a shorter file now has no such range
    const Status same = CheckVersion(node, item, lane);
    if (status || (!same && same.error().code == ESTALE)) status = same;
  }
  if (status) status = rooms_.store.HydrationDone(item.id);
  if (!status) {
    WriterLock names(names_mu_);
    const auto now = rooms_.store.Get(item.id);
    if (now) {
      const auto removed = rooms_.store.Remove(now->path, false);
      if (!removed) Log::Warning("{}: {}", now->path, removed.error().text);
    }
  }
  {
    MutexLock lock(node->mu);
    node->fetching = false;
  }
  node->changed.NotifyAll();
  if (!status) return Fail(status.error());
  return keep;
}

// A listing begun after the last byte came: all of them are of the version that we meant to fetch.
Status Filesystem::CheckVersion(const NodePtr& node, const cache::Item& item, SlowLane& lane) {
  const auto token = lane.Enter();
  if (!token) return Fail(token.error());
  const auto now = rooms_.store.Get(item.id);
  if (!now) return Fail(ENOENT, item.path + " was deleted");
  const std::string path = ServerPathOf(now->path);
  const auto listing =
      rooms_.dirs.Refresh(std::string(cache::ParentOf(path)), rooms_.clock.Now(), *token);
  if (!listing) return Fail(lane.Explain(listing.error()).Prepend("is this still " + now->path));
  const remote::Entry* entry = (*listing)->Find(std::string(cache::NameOf(path)));
  if (entry == nullptr) return Fail(ENOENT, path + " was deleted on the server");
  if (cache::SameVersion(IdentityOf(*entry), *item.replaced)) return {};
  Log::Notice("{} was changed on the server while it was fetched: fetching it again", path);
  MutexLock lock(node->mu);
  node->entry = *entry;
  return Fail(ESTALE, path + " was changed on the server");
}

Status Filesystem::FetchInto(const cache::Item& item, SlowLane& lane) {
  const auto token = lane.Enter();
  if (!token) return Fail(token.error());
  auto pin = rooms_.store.PinFile(item.id, true);
  if (!pin) return Fail(pin.error());
  rooms_.downloads.Forget(ServerPathOf(item.path));  // its link may lead to an older version
  std::vector<std::byte> piece(std::min(kPiece, item.size));
  for (uint64_t at = 0; at < item.size; at += piece.size()) {
    const auto now = rooms_.store.Get(item.id);
    if (!now) return Fail(ENOENT, item.path + " was deleted");
    piece.resize(std::min<uint64_t>(kPiece, item.size - at));
    const auto fetched = rooms_.downloads.Fetch(ServerPathOf(now->path), at, piece, *token);
    if (!fetched) {
      Error error = lane.Explain(fetched.error());
      if (error.code != EINTR) error.code = EIO;
      return Fail(error.Prepend("fetch " + now->path));
    }
    if (auto written = (*pin)->Write(piece, at); !written) return written;
  }
  return {};
}

}  // namespace outboxfs::fs
