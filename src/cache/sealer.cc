#include "cache/sealer.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "cache/writer_probe.h"
#include "common/crash_point.h"
#include "common/log.h"
#include "common/thread.h"

namespace outboxfs::cache {
namespace {

constexpr size_t kGroup = 128;  // small files per transaction; each costs a descriptor meanwhile
constexpr auto kGroupPause = std::chrono::milliseconds(100);
constexpr auto kFirstPause = std::chrono::milliseconds(20);
constexpr auto kLongestPause = std::chrono::milliseconds(5000);

Status Refuse(int code, std::string_view text) { return Fail(code, text); }

// A file with a foreign writer is not closed, whatever we were told.
Status CheckNoWriter(int fd) {
  auto writer = HasForeignWriter(fd);
  if (!writer) return Fail(writer.error());
  if (*writer) return Refuse(EBUSY, "still written by another process");
  return {};
}

// The later half of a seal, on durable bytes.
Status Sum(int fd, SealResult& result, const std::stop_token& stop) {
  auto before = disk::Stat(fd);
  if (!before) return Fail(before.error());
  result.mark = Mark::Of(*before);
  auto sums = SumFile(fd, result.mark.size, stop);
  if (!sums) return Fail(sums.error());
  result.sums = std::move(*sums);
  auto after = disk::Stat(fd);
  if (!after) return Fail(after.error());
  if (Mark::Of(*after) != result.mark) return Refuse(EAGAIN, "changed while it was sealed");
  result.disk_bytes = static_cast<uint64_t>(after->st_blocks) * 512;
  return CheckNoWriter(fd);
}

}  // namespace

void Sealer::Start() {
  small_.thread =
      StartThread("cache-seal", [this](const std::stop_token& stop) { Run(small_, kGroup, stop); });
  large_.thread =
      StartThread("cache-seal-big", [this](const std::stop_token& stop) { Run(large_, 1, stop); });
}

void Sealer::Stop() {
  for (Lane* lane : {&small_, &large_}) lane->thread.request_stop();
  for (Lane* lane : {&small_, &large_}) {
    if (lane->thread.joinable()) lane->thread.join();
  }
}

void Sealer::Enqueue(ItemId id, uint64_t size) {
  Lane& lane = size > kLargeFile ? large_ : small_;
  bool first = false;
  {
    MutexLock lock(lane.mu);
    first = lane.ready.empty();
    lane.ready.push_back({id, {}});
  }
  if (first) lane.changed.NotifyAll();
}

// The first file after a pause goes at once; in a stream of small files each group takes what has
// piled up, so that many share a transaction and a barrier.
bool Sealer::IsTime(const Lane& lane, size_t group, SteadyTime now) {
  if (lane.ready.empty()) return false;
  return group == 1 || lane.ready.size() >= group || now >= lane.last_group + kGroupPause;
}

std::vector<Sealer::Delayed> Sealer::TakeGroup(Lane& lane, size_t group,
                                               const std::stop_token& stop) {
  std::vector<Delayed> taken;
  MutexLock lock(lane.mu);
  while (!stop.stop_requested()) {
    const SteadyTime now = std::chrono::steady_clock::now();
    while (!lane.later.empty() && lane.later.begin()->first <= now) {
      lane.ready.push_back(lane.later.begin()->second);
      lane.later.erase(lane.later.begin());
    }
    if (IsTime(lane, group, now)) break;
    SteadyTime wake = lane.later.empty() ? SteadyTime::max() : lane.later.begin()->first;
    if (!lane.ready.empty()) wake = std::min(wake, lane.last_group + kGroupPause);
    if (wake == SteadyTime::max()) {
      lane.changed.Wait(lane.mu, stop);
    } else {
      lane.changed.WaitUntil(lane.mu, stop, wake);
    }
  }
  while (!lane.ready.empty() && taken.size() < group) {
    taken.push_back(lane.ready.front());
    lane.ready.pop_front();
  }
  lane.last_group = std::chrono::steady_clock::now();
  return taken;
}

void Sealer::Run(Lane& lane, size_t group, const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    SealGroup(lane, Begin(TakeGroup(lane, group, stop)), stop);
  }
}

// Opens and probes each file and starts its writeback, so that the disk works on all at once.
std::vector<Sealer::Work> Sealer::Begin(const std::vector<Delayed>& group) {
  std::vector<Work> works;
  works.reserve(group.size());
  std::set<ItemId> begun;  // a delayed file may have been closed again meanwhile
  for (const Delayed& queued : group) {
    auto job = host_.BeginSeal(queued.id);
    if (!job || !begun.insert(queued.id).second) continue;
    Work& work = works.emplace_back();
    work.queued = queued;
    work.job = std::move(*job);
    work.result.id = work.job.id;
    work.result.epoch = work.job.epoch;
    auto fd = disk::Open(work.job.path, O_RDONLY);
    if (!fd) {
      work.failed = fd.error();
      if (fd.error().code == ENOENT) work.failed->retry = Retry::kPark;
      continue;
    }
    work.fd = std::move(*fd);
    if (auto alone = CheckNoWriter(work.fd.get()); !alone) {
      work.failed = alone.error();
      continue;
    }
    ::sync_file_range(work.fd.get(), 0, 0, SYNC_FILE_RANGE_WRITE);  // only a hint
  }
  return works;
}

void Sealer::SealGroup(Lane& lane, std::vector<Work> group, const std::stop_token& stop) {
  for (Work& work : group) {
    if (work.failed) continue;
    if (auto synced = disk::DataSync(work.fd.get()); !synced) {
      // The kernel says so once and then takes the lost pages for written: no second try may pass
      // without a person.
      work.failed = synced.error();
      work.failed->retry = Retry::kPark;
    }
  }
  CrashPoint("synced");
  std::vector<SealResult> results;
  for (Work& work : group) {
    if (!work.failed && &lane == &large_) {
      if (auto st = disk::Stat(work.fd.get())) host_.NoteDurable(work.job, Mark::Of(*st));
    }
    if (!work.failed) {
      if (auto sealed = Sum(work.fd.get(), work.result, stop); !sealed) {
        work.failed = sealed.error();
      }
    }
    if (stop.stop_requested()) return;
    if (!work.failed) results.push_back(std::move(work.result));
    work.fd.Close();
  }
  if (!results.empty()) {
    if (auto done = host_.CommitSeals(std::move(results)); !done) {
      for (Work& work : group) {
        if (!work.failed) work.failed = done.error();
      }
    }
  }
  for (const Work& work : group) {
    if (work.failed) Delay(lane, work);
  }
}

void Sealer::Delay(Lane& lane, const Work& work) {
  host_.DelaySeal(work.job, *work.failed);
  const auto pause = std::clamp(work.queued.pause * 2, kFirstPause, kLongestPause);
  MutexLock lock(lane.mu);
  lane.later.emplace(std::chrono::steady_clock::now() + pause, Delayed{work.job.id, pause});
}

}  // namespace outboxfs::cache
