// Reading a partly hydrated file: what is missing is fetched when it is asked for, in pieces that
// grow while the reads are sequential.
#include <algorithm>
#include <cerrno>
#include <vector>

#include "cache/paths.h"
#include "fs/filesystem.h"
#include "fs/hydrator.h"

namespace outboxfs::fs {
namespace {

constexpr uint64_t kSmallestFetch = 256 << 10;
constexpr uint64_t kLargestFetch = 8 << 20;
constexpr uint64_t kAlignment = 128 << 10;
constexpr std::chrono::minutes kLongestWait{30};  // for what somebody else fetches

}  // namespace

Status Filesystem::Hydrate(const NodePtr& node, const ByteRange& range, SlowLane& lane) {
  cache::ItemId item = 0;
  {
    MutexLock lock(node->mu);
    item = node->open.item;
  }
  while (true) {
    const std::vector<ByteRange> missing = rooms_.store.Missing(item, range);
    if (missing.empty()) return {};
    const auto token = lane.Enter();
    if (!token) return Fail(token.error());
    {
      const auto deadline = CondVar::Clock::now() + kLongestWait;
      MutexLock lock(node->mu);
      const bool waited = node->fetching;
      while (node->fetching) {
        if (token->stop_requested()) return FailErrno(EINTR, "waiting for the file's bytes");
        if (!node->changed.WaitUntil(node->mu, *token, deadline)) {
          return FailErrno(ETIMEDOUT, "waiting for the file's bytes");
        }
      }
      if (waited) continue;  // it may have brought ours too
      node->fetching = true;
    }
    const Status fetched = FetchNext(node, item, missing.front(), *token);
    {
      MutexLock lock(node->mu);
      node->fetching = false;
    }
    node->changed.NotifyAll();
    if (fetched) continue;
    Error error = lane.Explain(fetched.error());
    if (error.code != EINTR && error.code != ENOSPC) error.code = EIO;
    return Fail(error);
  }
}

// At least the first piece of what is missing; more while the file is read from front to back.
Status Filesystem::FetchNext(const NodePtr& node, cache::ItemId item, const ByteRange& missing,
                             const std::stop_token& stop) {
  const auto row = rooms_.store.Get(item);
  std::shared_ptr<cache::Pin> pin;
  ByteRange window;
  {
    MutexLock lock(node->mu);
    pin = node->open.read_pin;
    const bool sequential =
        missing.begin >= node->fetched_to && missing.begin <= node->fetched_to + kSmallestFetch;
    node->next_fetch = sequential ? std::clamp(node->next_fetch * 2, kSmallestFetch, kLargestFetch)
                                  : kSmallestFetch;
    window.begin = missing.begin / kAlignment * kAlignment;
    window.end = window.begin + std::max(node->next_fetch, std::min(missing.size(), kLargestFetch));
    node->fetched_to = window.end;
  }
  const auto from = ReadPathOf(node);
  if (!from) return Fail(from.error());
  if (!row || !pin) return Fail(EIO, "deleted on the server");
  for (const ByteRange& gap : rooms_.store.Missing(item, window)) {
    if (auto fetched = FetchMissing(rooms_, *from, *pin, *row, gap, stop); !fetched) {
      return fetched;
    }
  }
  return {};
}

}  // namespace outboxfs::fs
