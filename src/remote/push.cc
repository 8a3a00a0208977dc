#include "remote/push.h"

#include <utility>

#include "common/log.h"
#include "common/thread.h"

namespace outboxfs::remote {
namespace {

void DoubtEntry(DirCache& cache, const std::string& path, bool gone) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return;
  cache.Doubt(slash == 0 ? "/" : path.substr(0, slash), path.substr(slash + 1), gone);
  // A file has nothing below it, so this is right for both.
  cache.InvalidateTree(path);
}

}  // namespace

PushReader::PushReader(NamespaceApi& api, DirCache& cache, OnChange on_change, Pauses pauses)
    : api_(api),
      cache_(cache),
      on_change_(std::move(on_change)),
      pauses_(pauses),
      thread_(StartThread("push", [this](const std::stop_token& stop) { Run(stop); })) {}

PushReader::PushReader(NamespaceApi& api, DirCache& cache, OnChange on_change)
    : PushReader(api, cache, std::move(on_change), Pauses()) {}

void PushReader::Run(const std::stop_token& stop) {
  Backoff backoff(pauses_.first, pauses_.most);
  while (!stop.stop_requested() && ListenOnce(stop, backoff)) {
    connected_ = false;
    if (!PauseFor(backoff.Next(), stop)) break;
  }
  connected_ = false;
}

bool PushReader::ListenOnce(const std::stop_token& stop, Backoff& backoff) {
  Result<std::unique_ptr<PushStream>> stream = api_.OpenPush(stop);
  if (!stream) {
    if (stop.stop_requested()) return true;
    Log::Info("push: {}", stream.error().text);
    if (stream.error().retry != Retry::kPark) return true;
    Log::Notice("push: not available, changes made elsewhere show up after the cache time ({})",
                stream.error().text);
    return false;
  }
  const std::stop_callback cancel(stop, [&stream] { (*stream)->Cancel(); });
  // There is no replay: whatever happened before this moment was not told to us.
  cache_.InvalidateAll();
  connected_ = true;
  on_change_(nullptr);
  Log::Info("push: the server tells of changes made elsewhere");
  for (;;) {
    Result<FsChange> change = (*stream)->Next();
    if (!change) {
      if (!stop.stop_requested()) Log::Info("push: {}", change.error().text);
      return true;
    }
    backoff.Reset();  // a stream that works, unlike one that ends at once
    Apply(*change);
    on_change_(&*change);
  }
}

void PushReader::Apply(const FsChange& change) {
  const bool renamed = change.kind == FsChange::Kind::kRename;
  DoubtEntry(cache_, change.path, renamed || change.kind == FsChange::Kind::kDelete);
  if (renamed) DoubtEntry(cache_, change.new_path, false);
}

}  // namespace outboxfs::remote
