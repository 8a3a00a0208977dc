#include "cache/keeper.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cache/writer_probe.h"
#include "common/crash_point.h"
#include "common/disk.h"
#include "common/log.h"
#include "common/thread.h"

namespace outboxfs::cache {
namespace {

constexpr size_t kBatch = 64;       // files made at once
constexpr size_t kMostAhead = 512;  // a burst of small files uses this up in a tenth of a second
constexpr uint64_t kUseAgainBytes = 1024ULL * 1024;
constexpr auto kTick = std::chrono::seconds(2);

}  // namespace

void Keeper::Start() {
  thread_ = StartThread("cache-keeper", [this](const std::stop_token& stop) { Run(stop); });
}

void Keeper::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  Rest();
  RemoveDoomed();
}

Status Keeper::MakeBackingFile(ItemId id) {
  const std::string path = layout_.StagedFile(id);
  auto fd = disk::Open(path, O_WRONLY | O_CREAT | O_EXCL);
  if (!fd && fd.error().code == ENOENT) {
    if (auto made = MakeDirOf(id); !made) return made;
    fd = disk::Open(path, O_WRONLY | O_CREAT | O_EXCL);
  }
  if (!fd) return Fail(fd.error());
  dirty_.Add(id);
  return {};
}

Status Keeper::MakeDirOf(ItemId id) {
  if (auto made = disk::MakeDirs(layout_.StagedDir(Layout::DirIndexOf(id))); !made) return made;
  dirty_.AddDir();
  return {};
}

Result<ItemId> Keeper::TakeBackingFile() {
  {
    MutexLock lock(mu_);
    taken_ = true;
    if (ahead_.size() <= target_ / 2) {
      if (ahead_.empty()) target_ = std::clamp(target_ * 2, kBatch, kMostAhead);
      wake_.NotifyAll();
    }
    if (!ahead_.empty()) {
      const ItemId id = ahead_.front();
      ahead_.pop_front();
      return id;
    }
  }
  auto id = host_.ReserveIds(1);
  if (!id) return id;
  if (auto made = MakeBackingFile(*id); !made) return Fail(made.error());
  return id;
}

void Keeper::GiveBack(ItemId id) {
  MutexLock lock(mu_);
  ahead_.push_front(id);
}

void Keeper::RemoveSoon(const std::vector<Doomed>& doomed) {
  if (doomed.empty()) return;
  {
    MutexLock lock(mu_);
    doomed_.insert(doomed_.end(), doomed.begin(), doomed.end());
    for (const Doomed& one : doomed) bytes_to_remove_ += one.disk_bytes;
  }
  wake_.NotifyAll();
}

uint64_t Keeper::bytes_to_remove() const {
  MutexLock lock(mu_);
  return bytes_to_remove_;
}

void Keeper::Run(const std::stop_token& stop) {
  SteadyTime next_tick = std::chrono::steady_clock::now() + kTick;
  while (!stop.stop_requested()) {
    WaitForWork(stop, next_tick);
    Refill();
    RemoveDoomed();
    if (std::chrono::steady_clock::now() < next_tick) continue;
    next_tick = std::chrono::steady_clock::now() + kTick;
    host_.Tick();
    bool idle = false;
    {
      MutexLock lock(mu_);
      removing_fails_ = false;
      idle = !std::exchange(taken_, false);
    }
    if (idle) Rest();
  }
}

void Keeper::WaitForWork(const std::stop_token& stop, SteadyTime deadline) {
  MutexLock lock(mu_);
  while (!stop.stop_requested()) {
    if ((target_ > 0 && Wanted() >= target_ / 2) || (!doomed_.empty() && !removing_fails_)) return;
    if (!wake_.WaitUntil(mu_, stop, deadline)) return;
  }
}

void Keeper::Refill() {
  size_t count = 0;
  {
    MutexLock lock(mu_);
    count = std::min(Wanted(), kBatch);
  }
  if (count == 0) return;
  const auto first = host_.ReserveIds(static_cast<unsigned>(count));
  if (!first) return;  // whoever needs an id gets the error
  for (ItemId id = *first; id < *first + count; ++id) {
    if (auto made = MakeBackingFile(id); !made) return Log::Warning("{}", made.error().text);
    MutexLock lock(mu_);
    ahead_.push_back(id);
  }
}

void Keeper::RemoveDoomed() {
  std::vector<Doomed> doomed;
  {
    MutexLock lock(mu_);
    doomed.swap(doomed_);
  }
  if (doomed.empty()) return;
  if (auto durable = host_.Barrier(); !durable) {
    Log::Error("{}", durable.error().text);
    MutexLock lock(mu_);
    doomed_.insert(doomed_.begin(), doomed.begin(), doomed.end());
    removing_fails_ = true;
    return;
  }
  std::vector<ItemId> removed;
  for (const Doomed& one : doomed) {
    CrashPoint("remove");
    const Status gone = Dispose(one);
    if (gone) {
      removed.push_back(one.id);
    } else {
      Log::Error("{}", gone.error().text);  // the next start tries again
    }
    MutexLock lock(mu_);
    bytes_to_remove_ -= one.disk_bytes;
  }
  host_.BytesRemoved(removed);
}

Status Keeper::Dispose(const Doomed& doomed) {
  if (doomed.keepsake && host_.Keep(doomed.id, *doomed.keepsake)) return {};
  return UseAgain(doomed) ? Status{} : disk::Remove(layout_.StagedFile(doomed.id));
}

// Only a file that nobody has open: an old descriptor must not show another file's bytes.
bool Keeper::UseAgain(const Doomed& doomed) {
  {
    MutexLock lock(mu_);
    if (!doomed.reusable || doomed.disk_bytes > kUseAgainBytes || Wanted() == 0) return false;
  }
  const std::string path = layout_.StagedFile(doomed.id);
  const auto fd = disk::Open(path, O_RDONLY);
  if (!fd || IsOpenElsewhere(fd->get())) return false;
  const auto id = host_.ReserveIds(1);
  if (!id) return false;
  if (::truncate(path.c_str(), 0) < 0) return false;
  const std::string new_path = layout_.StagedFile(*id);
  if (!disk::Rename(path, new_path)) {
    if (!MakeDirOf(*id) || !disk::Rename(path, new_path)) return false;
  }
  dirty_.Add(*id);
  MutexLock lock(mu_);
  ahead_.push_back(*id);
  return true;
}

// Nobody creates files any more: an idle staging directory is an empty one.
void Keeper::Rest() {
  MutexLock lock(mu_);
  target_ = 0;
  for (const ItemId id : ahead_) doomed_.push_back({id, 0, false});
  ahead_.clear();
}

}  // namespace outboxfs::cache
