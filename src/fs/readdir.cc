// Directories as a whole: listing them, and the file system's own figures.
#include <algorithm>
#include <cerrno>

#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr uint64_t kFirstEntry = 2;  // after "." and ".."
// readdir(3) without attributes for a name that has no inode number yet, as libfuse has it.
constexpr cache::Ino kUnknownIno = 0xffffffff;
constexpr uint64_t kBlock = 4096;
constexpr uint64_t kPlenty = uint64_t{1} << 50;
constexpr std::chrono::seconds kSpaceIsFresh{60};
constexpr size_t kMaxName = 255;

// Sorted by name.
bool Holds(const std::vector<NamedFacts>& entries, const std::string& name) {
  const auto at = std::lower_bound(
      entries.begin(), entries.end(), name,
      [](const NamedFacts& entry, const std::string& wanted) { return entry.name < wanted; });
  return at != entries.end() && at->name == name;
}

}  // namespace

Result<DirOpened> Filesystem::OpenDir(Call& call, cache::Ino ino) {
  const auto dir = DirOf(ino);
  if (!dir) return Fail(dir.error());
  SlowLane lane(lane_, call);
  const auto view = ViewOf(*dir, nullptr, lane);
  if (!view) return Fail(view.error());
  auto handle = std::make_shared<DirHandle>();
  handle->dir = *dir;
  bool keep = false;
  {
    MutexLock lock((*dir)->mu);
    keep = view->certain && (*dir)->shown_complete;
  }
  return DirOpened{.handle = dir_handles_.Add(std::move(handle)), .keep_cache = keep};
}

Status Filesystem::FillDir(DirHandle& handle, SlowLane& lane) {
  for (;;) {
    const uint64_t changes = attr_changes_;
    const auto view = ViewOf(handle.dir, nullptr, lane);
    if (!view) return Fail(view.error());
    ReaderLock names(names_mu_);
    const auto path = PathOf(handle.dir);
    if (!path) return Fail(path.error());
    if (*path != view->path) continue;  // renamed while the server was asked
    auto entries = MergeDirectory(defaults_, view->listing.get(), rooms_.store.ListDir(*path),
                                  rooms_.store.RecallDir(*path));
    std::erase_if(entries, [&](const NamedFacts& named) {
      return named.entry && !IsItsEntry(*path, named.name);
    });
    MutexLock lock(handle.mu);
    handle.filled = true;
    handle.entries = std::move(entries);
    handle.listing = view->listing;
    handle.attr_changes = changes;
    handle.incomplete = view->error;
    return {};
  }
}

// The snapshot may be older than a removal or a change of attributes that the kernel itself asked
// for: it must not be told of the past.
std::optional<NamedFacts> Filesystem::Freshen(const std::string& dir, const NamedFacts& named,
                                              const Changes& changes) const {
  const std::string path = JoinPath(dir, named.name);
  const uint64_t as_of = closes_;
  const cache::Overlay overlay = rooms_.store.Lookup(path);
  NamedFacts fresh = named;
  std::optional<Facts> facts = named.facts;
  if (overlay.kind != cache::Overlay::Kind::kNone) {
    facts = FactsOf(defaults_, overlay, nullptr, nullptr);
    fresh.entry.reset();  // beneath what is shown, and soon an older version
  } else if (changes.relisted || changes.attributes || !named.entry) {
    if (changes.relisted || !named.entry) {
      // Without an entry it was staged: gone from there, it is uploaded (and listed) or deleted.
      const remote::Entry* entry = changes.listing ? changes.listing->Find(named.name) : nullptr;
      if (entry == nullptr || !IsItsEntry(dir, named.name)) return std::nullopt;
      fresh.entry = *entry;
    }
    const auto memory = rooms_.store.Recall(path);
    facts = FactsOf(defaults_, overlay, &*fresh.entry, memory ? &*memory : nullptr);
  }
  if (!facts || facts->kind != named.facts.kind) return std::nullopt;
  fresh.facts = *facts;
  fresh.facts.as_of = as_of;
  return fresh;
}

EntryReply Filesystem::EnterListed(const NodePtr& dir, const NamedFacts& named, bool plus) {
  if (plus) return Enter(dir, named.name, named.facts, named.entry);
  Facts facts = named.facts;
  facts.is_link = ShowsAsLink(named.name, facts);
  EntryReply reply{.st = ToStat(facts)};
  if (reply.st.st_ino == 0) {
    const NodePtr child = nodes_.Child(dir, named.name);
    reply.st.st_ino = child ? child->ino : kUnknownIno;
  }
  return reply;
}

Status Filesystem::ReadDir(Call& call, uint64_t number, uint64_t offset, bool plus,
                           const DirSink& sink) {
  const auto handle = dir_handles_.Get(number);
  if (!handle) return FailErrno(EBADF, "readdir");
  bool fill = offset == 0;
  {
    MutexLock lock(handle->mu);
    fill = fill || !handle->filled;
  }
  if (fill) {
    SlowLane lane(lane_, call);
    if (auto status = FillDir(*handle, lane); !status) return status;
  }
  ReaderLock names(names_mu_);
  const auto path = PathOf(handle->dir);
  if (!path) return Fail(path.error());
  const NodePtr parent = nodes_.ParentOf(handle->dir);
  for (; offset < kFirstEntry; ++offset) {
    DirEntry entry{.name = offset == 0 ? "." : "..", .offset = offset + 1};
    entry.entry.st.st_ino = offset == 0 || !parent ? handle->dir->ino : parent->ino;
    entry.entry.st.st_mode = S_IFDIR;
    if (!sink(entry)) return {};
  }
  Changes changes{.listing = rooms_.dirs.Peek(ServerPathOf(*path))};
  if (!changes.listing) {  // partly in doubt: what rows of uploads gave way to is in the last one
    MutexLock lock(handle->dir->mu);
    changes.listing = handle->dir->adopted;
  }
  MutexLock lock(handle->mu);
  changes.relisted = changes.listing && changes.listing != handle->listing;
  changes.attributes = attr_changes_ != handle->attr_changes;
  for (size_t i = offset - kFirstEntry; i < handle->entries.size(); ++i) {
    const auto named = Freshen(*path, handle->entries[i], changes);
    if (!named) continue;
    const std::string shown = ShownName(named->name);
    if (shown != named->name && Holds(handle->entries, shown)) continue;
    DirEntry entry{.name = shown,
                   .entry = EnterListed(handle->dir, *named, plus),
                   .offset = i + kFirstEntry + 1};
    if (sink(entry)) continue;
    if (entry.entry.ino != 0) nodes_.Forget(entry.entry.ino, 1);
    return {};
  }
  if (handle->incomplete && offset >= kFirstEntry + handle->entries.size()) {
    return Fail(*handle->incomplete);
  }
  MarkShown(*handle);
  return {};
}

void Filesystem::MarkShown(const DirHandle& handle) {
  MutexLock lock(handle.dir->mu);
  if (!handle.incomplete && handle.dir->adopted == handle.listing) {
    handle.dir->shown_complete = true;
  }
}

void Filesystem::ReleaseDir(uint64_t handle) { dir_handles_.Remove(handle); }

Status Filesystem::SyncDir(Call& call) {
  SlowLane lane(lane_, call);
  if (const auto token = lane.Enter(); !token) return Fail(token.error());
  return rooms_.store.SyncJournal();
}

remote::Space Filesystem::SpaceNow(SlowLane& lane) {
  {
    MutexLock lock(space_mu_);
    if (rooms_.clock.Now() < space_fresh_until_) return space_;
    space_fresh_until_ = rooms_.clock.Now() + kSpaceIsFresh;  // one asks, also when it fails
  }
  Result<remote::Space> space = remote::Space{};
  if (const auto token = lane.Enter()) {
    space = rooms_.names.GetSpace(options_.remote_folder, *token);
  }
  MutexLock lock(space_mu_);
  if (space && space->total > 0) space_ = *space;
  return space_;
}

Result<struct statvfs> Filesystem::StatFs(Call& call) {
  SlowLane lane(lane_, call);
  remote::Space space = SpaceNow(lane);
  // Unknown: programs that look before they copy must not refuse.
  if (space.total == 0) space = {.total = kPlenty, .used = 0, .free = kPlenty};
  struct statvfs st = {};
  st.f_bsize = st.f_frsize = kBlock;
  st.f_blocks = space.total / kBlock;
  st.f_bfree = st.f_bavail = space.free / kBlock;
  st.f_files = st.f_ffree = st.f_favail = kPlenty;
  st.f_namemax = kMaxName;
  return st;
}

}  // namespace outboxfs::fs
