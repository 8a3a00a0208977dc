#include "fs/hydrator.h"

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "cache/paths.h"
#include "common/log.h"
#include "common/thread.h"
#include "fs/facts.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr uint64_t kPiece = 4 << 20;
constexpr std::chrono::seconds kFirstPause{1};
constexpr std::chrono::milliseconds kRenamePause{100};
constexpr int kMostDoublings = 8;  // about four minutes
constexpr std::chrono::hours kIdle{1};

const remote::Entry* Find(const remote::ListingPtr& listing, const std::string& server_path) {
  return listing ? listing->Find(std::string(cache::NameOf(server_path))) : nullptr;
}

std::string Parent(const std::string& path) { return std::string(cache::ParentOf(path)); }
std::string Name(const std::string& path) { return std::string(cache::NameOf(path)); }

Status ChangedRemotely(const std::string& path) {
  return Fail(ESTALE, "changed remotely while only a part of it was here: " + path +
                          " keeps the server's version, the staged one is kept too");
}

}  // namespace

Status FetchMissing(const Rooms& rooms, const std::string& server_path, const cache::Pin& pin,
                    const cache::Item& item, const ByteRange& gap, const std::stop_token& stop) {
  const remote::Entry* shown = nullptr;
  const remote::ListingPtr listing = rooms.dirs.Peek(Parent(server_path), Name(server_path));
  shown = Find(listing, server_path);
  if (shown != nullptr && item.replaced &&
      !cache::SameVersion(IdentityOf(*shown), *item.replaced)) {
    return ChangedRemotely(server_path);
  }
  std::vector<std::byte> piece;
  for (uint64_t at = gap.begin; at < gap.end; at += piece.size()) {
    piece.resize(std::min(kPiece, gap.end - at));
    if (auto fetched = rooms.downloads.Fetch(server_path, at, piece, stop); !fetched) {
      return fetched;
    }
    if (auto filled = rooms.store.FillMissing(pin, at, piece); !filled) return filled;
  }
  return {};
}

Hydrator::Hydrator(const Rooms& rooms, std::string remote_folder)
    : rooms_(rooms),
      remote_folder_(std::move(remote_folder)),
      feed_(rooms.store.feed().Subscribe()),
      thread_(StartThread("hydrator", [this](const std::stop_token& stop) { Run(stop); })) {}

Hydrator::~Hydrator() { Stop(); }

void Hydrator::Run(const std::stop_token& stop) {
  for (const cache::Item& item : rooms_.store.All()) Note(item.id);
  while (!stop.stop_requested()) {
    const SteadyTime now = rooms_.clock.Now();
    const auto due = std::find_if(tasks_.begin(), tasks_.end(), [now](const auto& task) {
      return task.second.not_before <= now;
    });
    if (due != tasks_.end()) Work(due->first, due->second, stop);
    const bool more = due != tasks_.end();
    const SteadyTime wake = more ? std::chrono::steady_clock::now() : NextWake();
    for (const cache::ItemId id : feed_->Take(stop, wake)) Note(id);
  }
}

SteadyTime Hydrator::NextWake() const {
  SteadyTime wake = std::chrono::steady_clock::now() + kIdle;
  for (const auto& [id, task] : tasks_) wake = std::min(wake, task.not_before);
  return wake;
}

void Hydrator::Note(cache::ItemId id) {
  const auto item = rooms_.store.Get(id);
  if (item && item->state == cache::State::kHydrating) {
    tasks_.try_emplace(id);
  } else {
    tasks_.erase(id);
  }
}

void Hydrator::Work(cache::ItemId id, Task& task, const std::stop_token& stop) {
  const auto item = rooms_.store.Get(id);
  const Status done = item && item->state == cache::State::kHydrating
                          ? Complete(*item, stop)
                          : Status(Fail(ENOENT, "gone"));
  if (stop.stop_requested()) return;
  // Asked before the item is looked at: when a rename ends in between, its path tells.
  const bool busy = item && rooms_.store.IsBusy(ServerPathOf(item->path));
  const auto now = rooms_.store.Get(id);
  if (done || !now || now->state != cache::State::kHydrating) {
    tasks_.erase(id);
    return;
  }
  // What a rename took away is not deleted on the server.
  if (now->path != item->path) return;  // at once again, by its new name
  if (busy) {
    task.not_before = rooms_.clock.Now() + kRenamePause;
    return;
  }
  task.not_before =
      rooms_.clock.Now() + kFirstPause * (1 << std::min(task.failures++, kMostDoublings));
  const bool changed = done.error().code == ESTALE;
  const auto told = rooms_.store.HydrationFailed(id, done.error(), changed);
  Log::Notice("{}: {}", now->path, done.error().text);
  if (!told) Log::Warning("{}: {}", now->path, told.error().text);
}

// A copy of a remote file: the server has it somewhere.
std::string Hydrator::ServerPathOf(const std::string& path) const {
  return ServerPath(remote_folder_, rooms_.store.RemotePathOf(path));
}

Status Hydrator::Complete(const cache::Item& item, const std::stop_token& stop) {
  // What was written is made durable first: the rest can be fetched again.
  if (auto synced = rooms_.store.Sync(item.id); !synced) return synced;
  auto pin = rooms_.store.PinFile(item.id, false);
  if (!pin) return Fail(pin.error());
  const auto missing = rooms_.store.Missing(item.id, {0, item.size});
  for (const ByteRange& gap : missing) {
    for (uint64_t at = gap.begin; at < gap.end; at += kPiece) {
      const auto now = rooms_.store.Get(item.id);
      if (!now || now->state != cache::State::kHydrating) return {};  // written again, or deleted
      const ByteRange piece{at, std::min(gap.end, at + kPiece)};
      const std::string path = ServerPathOf(now->path);
      if (auto fetched = FetchMissing(rooms_, path, *pin, *now, piece, stop); !fetched) {
        // A shorter file has no such range, a deleted one none at all.
        const Status same = CheckVersion(*now, stop);
        return !same && same.error().code == ESTALE ? same : fetched;
      }
    }
  }
  const auto now = rooms_.store.Get(item.id);
  if (!now) return {};
  if (auto same = CheckVersion(*now, stop); !same) return same;
  return rooms_.store.HydrationDone(item.id);
}

// By a listing begun after the last byte came: all of them are of one version.
Status Hydrator::CheckVersion(const cache::Item& item, const std::stop_token& stop) {
  const std::string path = ServerPathOf(item.path);
  const auto listing = rooms_.dirs.Refresh(Parent(path), rooms_.clock.Now(), stop);
  if (!listing) return Fail(listing.error());
  const remote::Entry* entry = Find(*listing, path);
  if (entry == nullptr) {
    return Fail(ESTALE, path + " was deleted on the server while only a part of it was here");
  }
  if (item.replaced && !cache::SameVersion(IdentityOf(*entry), *item.replaced)) {
    return ChangedRemotely(path);
  }
  return {};
}

}  // namespace outboxfs::fs
