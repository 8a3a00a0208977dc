#include "cache/keeper.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "common/disk.h"
#include "common/log.h"
#include "common/thread.h"

namespace outboxfs::cache {
namespace {

constexpr unsigned kBatch = 64;       // files made at once
constexpr unsigned kMostAhead = 512;  // a burst of small files empties this in a tenth of a second
constexpr auto kTick = std::chrono::seconds(2);

}  // namespace

Keeper::Keeper(const Layout& layout, DirtyDirs& dirty, ReserveIds reserve,
               std::function<void()> tick)
    : layout_(layout), dirty_(dirty), reserve_(std::move(reserve)), tick_(std::move(tick)) {}

Keeper::~Keeper() { Stop(); }

void Keeper::Start() {
  thread_ = StartThread("cache-keeper", [this](const std::stop_token& stop) { Run(stop); });
}

void Keeper::Stop() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
  std::vector<ItemId> ids;
  {
    MutexLock lock(mu_);
    ids = std::exchange(to_remove_, {});
    ids.insert(ids.end(), ahead_.begin(), ahead_.end());
    ahead_.clear();
  }
  RemoveAll(std::move(ids));
}

Status Keeper::MakeBackingFile(ItemId id) {
  auto fd = disk::Open(layout_.StagedFile(id), O_WRONLY | O_CREAT | O_EXCL);
  if (!fd) return Fail(fd.error());
  dirty_.Add(id);
  return {};
}

Result<ItemId> Keeper::TakeBackingFile() {
  {
    MutexLock lock(mu_);
    taken_ = true;
    if (ahead_.size() <= target_ / 2) {
      target_ = std::clamp(target_ * 2, kBatch, kMostAhead);
      wake_.NotifyAll();
    }
    if (!ahead_.empty()) {
      const ItemId id = ahead_.front();
      ahead_.pop_front();
      return id;
    }
  }
  auto id = reserve_(1);
  if (!id) return id;
  if (auto made = MakeBackingFile(*id); !made) return Fail(made.error());
  return id;
}

void Keeper::GiveBack(ItemId id) {
  MutexLock lock(mu_);
  ahead_.push_front(id);
}

void Keeper::RemoveLater(ItemId id) {
  {
    MutexLock lock(mu_);
    to_remove_.push_back(id);
  }
  wake_.NotifyAll();
}

void Keeper::RemoveAll(std::vector<ItemId> ids) {
  for (const ItemId id : ids) {
    if (auto gone = disk::Remove(layout_.StagedFile(id)); !gone)
      Log::Error("{}", gone.error().text);
  }
}

void Keeper::Refill(unsigned count) {
  const auto first = reserve_(count);
  if (!first) return;  // whoever needs an id gets the error
  for (ItemId id = *first; id < *first + count; ++id) {
    if (auto made = MakeBackingFile(id); !made) return Log::Warning("{}", made.error().text);
    MutexLock lock(mu_);
    ahead_.push_back(id);
  }
}

void Keeper::Run(const std::stop_token& stop) {
  SteadyTime next_tick = std::chrono::steady_clock::now() + kTick;
  while (!stop.stop_requested()) {
    unsigned refill = 0;
    std::vector<ItemId> remove;
    {
      MutexLock lock(mu_);
      const bool busy = ahead_.size() < target_ || !to_remove_.empty();
      if (!busy) wake_.WaitUntil(mu_, stop, next_tick);
      if (ahead_.size() < target_) refill = std::min<unsigned>(kBatch, target_);
      remove = std::exchange(to_remove_, {});
    }
    if (refill > 0 && !stop.stop_requested()) Refill(refill);
    RemoveAll(std::move(remove));
    if (std::chrono::steady_clock::now() < next_tick) continue;
    next_tick = std::chrono::steady_clock::now() + kTick;
    tick_();
    MutexLock lock(mu_);
    if (std::exchange(taken_, false)) continue;
    // Nobody creates files any more: an idle staging directory is an empty one.
    target_ = 0;
    to_remove_.insert(to_remove_.end(), ahead_.begin(), ahead_.end());
    ahead_.clear();
  }
}

}  // namespace outboxfs::cache
