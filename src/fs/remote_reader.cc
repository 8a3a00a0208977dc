#include "fs/remote_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace outboxfs::fs {
namespace {

constexpr uint64_t kSmallestWindow = 256 << 10;
constexpr uint64_t kLargestWindow = 8 << 20;
constexpr uint64_t kGrowth = 2;
// The kernel's read-ahead requests come in any order, so far apart.
constexpr uint64_t kReordered = 1 << 20;
// So many windows are fetched ahead: the pauses between requests must not add up to more than the
// requests.
constexpr int kAhead = 3;

}  // namespace

// A piece of the file, on its way or here.
struct RemoteReader::Window {
  ByteRange range;
  std::string path;    // of the file when it was asked for
  Block block;         // whoever fetches writes to it; constant once it is here
  bool begun = false;  // somebody fetches it; else whoever comes first does
  bool here = false;
  std::stop_source stop;
};

// Shared with the fetches ahead.
class RemoteReader::State : public std::enable_shared_from_this<State> {
 public:
  State(remote::Downloader& downloads, BlockPool& memory, ReadAhead& ahead)
      : downloads_(downloads), memory_(memory), ahead_(ahead) {}

  bool TryRead(const std::string& path, std::span<std::byte> out, uint64_t offset);
  Status Read(const std::string& path, uint64_t file_size, std::span<std::byte> out,
              uint64_t offset, const std::stop_token& stop);
  void Forget();
  void KeepIn(std::shared_ptr<cache::KeptFile> kept);

 private:
  using WindowPtr = std::shared_ptr<Window>;

  static ByteRange CopyFrom(const Window& window, std::span<std::byte> out, ByteRange wanted);
  // Copies what is here from the front of `wanted`; returns what is left of it.
  ByteRange CopyLocked(std::span<std::byte> out, ByteRange wanted) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  WindowPtr FindLocked(uint64_t offset) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  WindowPtr AddLocked(const std::string& path, const ByteRange& wanted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  WindowPtr AddForReaderLocked(const std::string& path, const ByteRange& wanted)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReadAheadLocked(const std::string& path, uint64_t read_end)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropLocked(uint64_t read_begin) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Not kept yet on success: that follows, as far as it takes nobody's time.
  Status Fetch(const WindowPtr& window, const std::stop_token& stop);
  void Keep(const Window& window);
  void FetchAhead(const WindowPtr& window, const std::stop_token& stop);

  remote::Downloader& downloads_;
  BlockPool& memory_;
  ReadAhead& ahead_;
  Mutex mu_;
  CondVar fetched_;
  bool fetching_ ABSL_GUARDED_BY(mu_) = false;         // on behalf of a reader
  std::list<WindowPtr> windows_ ABSL_GUARDED_BY(mu_);  // by their begin; they do not overlap
  uint64_t next_size_ ABSL_GUARDED_BY(mu_) = 0;        // of the next sequential window
  bool failed_ahead_ ABSL_GUARDED_BY(mu_) = false;     // until a reader's own fetch succeeds
  uint64_t file_size_ ABSL_GUARDED_BY(mu_) = 0;
  std::shared_ptr<cache::KeptFile> kept_ ABSL_GUARDED_BY(mu_);
};

bool RemoteReader::State::TryRead(const std::string& path, std::span<std::byte> out,
                                  uint64_t offset) {
  MutexLock lock(mu_);
  // After a rename another file may stand at the old path.
  for (const WindowPtr& window : windows_) {
    if (window->path != path) return false;
  }
  if (!CopyLocked(out, {offset, offset + out.size()}).empty()) return false;
  DropLocked(offset);
  ReadAheadLocked(path, offset + out.size());
  return true;
}

Status RemoteReader::State::Read(const std::string& path, uint64_t file_size,
                                 std::span<std::byte> out, uint64_t offset,
                                 const std::stop_token& stop) {
  ByteRange missing{offset, offset + out.size()};
  for (;;) {
    WindowPtr window;
    {
      MutexLock lock(mu_);
      file_size_ = file_size;
      if (!windows_.empty() && windows_.front()->path != path) windows_.clear();
      missing = CopyLocked(out, missing);
      if (missing.empty()) {
        DropLocked(offset);
        ReadAheadLocked(path, missing.end);
        return {};
      }
      if (stop.stop_requested()) return FailErrno(ECANCELED, path);
      window = FindLocked(missing.begin);
      if (fetching_ || (window && window->begun)) {
        fetched_.Wait(mu_, stop);
        continue;
      }
      fetching_ = true;
      if (!window) window = AddForReaderLocked(path, missing);
      window->begun = true;
    }
    Status status = Fetch(window, stop);
    {
      MutexLock lock(mu_);
      fetching_ = false;
      if (status) {
        failed_ahead_ = false;
        // From here: a reader of other parts may have dropped the window by now.
        missing = CopyFrom(*window, out, missing);
      }
    }
    fetched_.NotifyAll();
    if (!status) return status;
    ahead_.Post([self = shared_from_this(), window](const std::stop_token& /*stop*/) {
      self->Keep(*window);
    });
  }
}

Status RemoteReader::State::Fetch(const WindowPtr& window, const std::stop_token& stop) {
  std::shared_ptr<cache::KeptFile> kept;
  {
    MutexLock lock(mu_);
    kept = kept_;
  }
  const auto bytes = window->block.bytes();
  const bool had = kept && kept->Read(bytes, window->range.begin);
  Status status = had ? Status() : downloads_.Fetch(window->path, window->range.begin, bytes, stop);
  {
    MutexLock lock(mu_);
    if (status) {
      window->here = true;
    } else {
      windows_.remove(window);
    }
  }
  fetched_.NotifyAll();
  return status;
}

void RemoteReader::State::Keep(const Window& window) {
  std::shared_ptr<cache::KeptFile> kept;
  {
    MutexLock lock(mu_);
    kept = kept_;
  }
  if (kept) kept->Fill(window.block.bytes(), window.range.begin);
}

void RemoteReader::State::KeepIn(std::shared_ptr<cache::KeptFile> kept) {
  MutexLock lock(mu_);
  kept_ = std::move(kept);
}

void RemoteReader::State::Forget() {
  MutexLock lock(mu_);
  for (const WindowPtr& window : windows_) window->stop.request_stop();
  windows_.clear();
}

// The next bytes of `wanted` (the rear of what `out` is for), if they are in the window.
ByteRange RemoteReader::State::CopyFrom(const Window& window, std::span<std::byte> out,
                                        ByteRange wanted) {
  if (wanted.empty() || !window.range.Contains({wanted.begin, wanted.begin + 1})) return wanted;
  const uint64_t end = std::min(wanted.end, window.range.end);
  std::memcpy(out.data() + (out.size() - wanted.size()),
              window.block.bytes().data() + (wanted.begin - window.range.begin),
              end - wanted.begin);
  return {end, wanted.end};
}

ByteRange RemoteReader::State::CopyLocked(std::span<std::byte> out, ByteRange wanted) const {
  for (const WindowPtr& window : windows_) {
    if (window->here) wanted = CopyFrom(*window, out, wanted);
  }
  return wanted;
}

RemoteReader::State::WindowPtr RemoteReader::State::FindLocked(uint64_t offset) const {
  for (const WindowPtr& window : windows_) {
    if (window->range.Contains({offset, offset + 1})) return window;
  }
  return nullptr;
}

// The front of `wanted` that is wholly kept or wholly missing. nullptr: there is no memory for it.
RemoteReader::State::WindowPtr RemoteReader::State::AddLocked(const std::string& path,
                                                              const ByteRange& wanted) {
  auto window = std::make_shared<Window>();
  const ByteRange range = kept_ ? kept_->FirstRun(wanted).range : wanted;
  window->range = range;
  window->path = path;
  if (range.size() <= kSmallestWindow) {
    window->block = BlockPool::Take(range.size());
  } else {
    auto block = memory_.TryTake(range.size());
    if (!block) return nullptr;
    window->block = std::move(*block);
  }
  const auto place = std::find_if(windows_.begin(), windows_.end(), [&](const WindowPtr& other) {
    return other->range.begin > range.begin;
  });
  windows_.insert(place, window);
  return window;
}

RemoteReader::State::WindowPtr RemoteReader::State::AddForReaderLocked(const std::string& path,
                                                                       const ByteRange& wanted) {
  // Sequential: begins inside the windows, or not far behind their end.
  const bool sequential = !windows_.empty() && wanted.begin >= windows_.front()->range.begin &&
                          wanted.begin <= windows_.back()->range.end + kReordered;
  next_size_ = sequential ? std::min(next_size_ * kGrowth, kLargestWindow) : kSmallestWindow;
  if (!sequential) {
    for (const WindowPtr& window : windows_) window->stop.request_stop();
    windows_.clear();
  } else {
    DropLocked(wanted.begin);
  }
  // Up to the next window that is here or on its way.
  uint64_t limit = file_size_;
  for (const WindowPtr& window : windows_) {
    if (window->range.begin > wanted.begin) limit = std::min(limit, window->range.begin);
  }
  for (const uint64_t size : {next_size_, kSmallestWindow}) {
    const uint64_t end = std::min(std::max(wanted.end, wanted.begin + size), limit);
    if (auto window = AddLocked(path, {wanted.begin, end})) return window;
  }
  // It is asked for, so it is fetched; but not kept.
  auto window = std::make_shared<Window>();
  window->range = {wanted.begin, std::min(wanted.end, limit)};
  window->path = path;
  window->block = BlockPool::Take(window->range.size());
  return window;
}

// Once the reader has gone on sequentially for a while.
void RemoteReader::State::ReadAheadLocked(const std::string& path, uint64_t read_end) {
  if (next_size_ <= kSmallestWindow || failed_ahead_ || windows_.empty()) return;
  auto on_their_way = std::count_if(windows_.begin(), windows_.end(),
                                    [](const WindowPtr& window) { return !window->here; });
  for (; on_their_way < kAhead; ++on_their_way) {
    const uint64_t begin = windows_.back()->range.end;
    if (begin >= file_size_ || begin > read_end + kAhead * next_size_) return;
    WindowPtr window;
    uint64_t size = std::min(next_size_ * kGrowth, kLargestWindow);
    for (; !window && size > kSmallestWindow; size /= kGrowth) {
      window = AddLocked(path, {begin, std::min(begin + size, file_size_)});
    }
    if (!window) return;
    next_size_ = size * kGrowth;
    // Without a place there: the reader fetches it when it comes to it.
    ahead_.Post([self = shared_from_this(), window](const std::stop_token& stop) {
      self->FetchAhead(window, stop);
    });
  }
}

void RemoteReader::State::FetchAhead(const WindowPtr& window, const std::stop_token& stop) {
  {
    MutexLock lock(mu_);
    // Given up before its turn came: the reader went elsewhere.
    if (window->stop.stop_requested() || std::exchange(window->begun, true)) return;
  }
  const std::stop_callback ended(stop, [&window] { window->stop.request_stop(); });
  if (Fetch(window, window->stop.get_token())) return Keep(*window);
  MutexLock lock(mu_);
  failed_ahead_ = true;
}

// What lies so far behind that the kernel will not ask for it out of order any more.
void RemoteReader::State::DropLocked(uint64_t read_begin) {
  std::erase_if(windows_, [read_begin](const WindowPtr& window) {
    return window->here && window->range.end + kReordered <= read_begin;
  });
}

RemoteReader::RemoteReader(remote::Downloader& downloads, BlockPool& memory, ReadAhead& ahead)
    : state_(std::make_shared<State>(downloads, memory, ahead)) {}

RemoteReader::~RemoteReader() { state_->Forget(); }

bool RemoteReader::TryRead(const std::string& path, std::span<std::byte> out, uint64_t offset) {
  return state_->TryRead(path, out, offset);
}

Status RemoteReader::Read(const std::string& path, uint64_t file_size, std::span<std::byte> out,
                          uint64_t offset, const std::stop_token& stop) {
  return state_->Read(path, file_size, out, offset, stop);
}

void RemoteReader::Forget() { state_->Forget(); }

void RemoteReader::KeepIn(std::shared_ptr<cache::KeptFile> kept) {
  state_->KeepIn(std::move(kept));
}

}  // namespace outboxfs::fs
