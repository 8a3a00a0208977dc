// Names to nodes: what stands at a path, and what the kernel is told about it.
#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

// What only we change, or is expired by the notifier when somebody else does.
constexpr double kStableSeconds = 60;
constexpr double kNegativeSeconds = 5;
// After a failed listing the server is left alone for so long: each try may cost a long deadline.
constexpr std::chrono::seconds kOfflinePause{5};
constexpr int kMaxRenameRaces = 100;
// So long what we have uploaded needs no listing to be there.
constexpr std::chrono::seconds kRecent{60};

bool IsTransient(const Error& error) {
  return error.code == EIO || error.code == ETIMEDOUT || error.code == EAGAIN;
}

bool SameEntry(const remote::Entry& a, const remote::Entry& b) {
  return a.is_dir == b.is_dir && cache::SameVersion(IdentityOf(a), IdentityOf(b));
}

}  // namespace

Result<NodePtr> Filesystem::NodeOf(cache::Ino ino) const {
  NodePtr node = nodes_.Get(ino);
  if (!node) return Fail(ESTALE, "no such inode");
  return node;
}

Result<NodePtr> Filesystem::DirOf(cache::Ino ino) const {
  auto node = NodeOf(ino);
  if (node && !(*node)->is_dir()) return Fail(ENOTDIR, "not a directory");
  return node;
}

Result<std::string> Filesystem::PathOf(const NodePtr& node) const {
  auto path = nodes_.PathOf(node);
  if (!path) return Fail(ENOENT, "deleted");
  return *std::move(path);
}

std::string Filesystem::ServerPathOf(const std::string& path) const {
  const std::string remote = rooms_.store.RemotePathOf(path);
  return remote.empty() ? "" : ServerPath(options_.remote_folder, remote);
}

std::optional<std::string> Filesystem::MountPathOf(const std::string& server_path) const {
  const auto remote = MountPath(options_.remote_folder, server_path);
  if (!remote) return std::nullopt;
  std::string path = rooms_.store.MountPathOf(*remote);
  if (path.empty()) return std::nullopt;
  return path;
}

// What the server lists there under this name is what the mount shows there.
bool Filesystem::IsItsEntry(const std::string& dir, const std::string& name) const {
  if (!rooms_.store.AnyDeferred()) return true;
  const std::string at = ServerPathOf(JoinPath(dir, name));
  return !at.empty() && at == JoinPath(ServerPathOf(dir), name);
}

Result<Filesystem::RemoteView> Filesystem::ViewOf(const NodePtr& dir, const std::string* name,
                                                  SlowLane& lane) {
  auto path = PathOf(dir);
  if (!path) return Fail(path.error());
  if (rooms_.store.Lookup(*path).kind == cache::Overlay::Kind::kItem) {
    // Made here and not yet on the server.
    return RemoteView{.path = *path, .listing = nullptr, .certain = true};
  }
  const std::string folder = ServerPathOf(*path);
  // Its directory is still to be freed on the server.
  if (folder.empty()) return RemoteView{.path = *path, .listing = nullptr, .certain = true};
  if (auto listing = name == nullptr ? rooms_.dirs.Peek(folder) : rooms_.dirs.Peek(folder, *name)) {
    Adopt(dir, *path, listing);
    return RemoteView{.path = *path, .listing = listing, .certain = true};
  }
  return AskServer(dir, *path, name, lane);
}

Result<Filesystem::RemoteView> Filesystem::AskServer(const NodePtr& dir, const std::string& path,
                                                     const std::string* name, SlowLane& lane) {
  if (rooms_.clock.Now() < offline_until_.load()) {
    return Offline(dir, path, Error{EIO, Retry::kBackoff, "the server does not answer"});
  }
  const auto token = lane.Enter();
  if (!token) return Fail(token.error());
  const std::string folder = ServerPathOf(path);
  auto listing =
      name == nullptr ? rooms_.dirs.Get(folder, *token) : rooms_.dirs.Get(folder, *name, *token);
  if (listing) {
    reached_ = true;
    Adopt(dir, path, *listing);
    return RemoteView{.path = path, .listing = *listing, .certain = true};
  }
  Error error = lane.Explain(listing.error());
  if (error.code == ENOENT || error.code == ENOTDIR) {
    reached_ = true;
    return RemoteView{.path = path, .listing = nullptr, .certain = true};
  }
  if (!IsTransient(error)) return Fail(error.Prepend("list " + path));
  Log::Warning("list {}: {}", path, error.text);
  offline_until_ = rooms_.clock.Now() + kOfflinePause;
  auto view = Offline(dir, path, error);
  // A directory that was never seen may hold anything: only a mount that never reached its server
  // takes new files on trust (they wait; the uploader looks before it puts them).
  if (!view.listing && reached_) return Fail(error.Prepend("list " + path));
  return view;
}

Filesystem::RemoteView Filesystem::Offline(const NodePtr& dir, const std::string& path,
                                           const Error& error) {
  // The uploader may have seen a newer one than anybody who looked here.
  if (const auto last = rooms_.dirs.Last(ServerPathOf(path))) Adopt(dir, path, last);
  MutexLock lock(dir->mu);
  return {.path = path, .listing = dir->adopted, .certain = false, .error = error};
}

void Filesystem::Adopt(const NodePtr& dir, const std::string& path,
                       const remote::ListingPtr& listing) {
  remote::ListingPtr before;
  {
    MutexLock lock(dir->mu);
    if (dir->adopted && dir->adopted->begun >= listing->begun) {
      if (dir->adopted->begun == listing->begun) dir->adopted = listing;  // with our own changes
      return;
    }
    before = std::exchange(dir->adopted, listing);
    dir->shown_complete = false;
  }
  Reconcile(path, *listing);
  if (before) ExpireChanges(dir, *before, *listing);
}

void Filesystem::Reconcile(const std::string& path, const remote::Listing& listing) {
  using cache::Listed;
  const auto look = [&](const std::string& name) -> std::optional<Listed> {
    const remote::Entry* entry = listing.Find(name);
    if (entry == nullptr) return std::nullopt;
    return Listed{entry->is_dir ? cache::ItemKind::kDir : cache::ItemKind::kFile,
                  IdentityOf(*entry)};
  };
  rooms_.store.ReconcileEntries(path, listing.begun, look);
}

void Filesystem::ExpireChanges(const NodePtr& dir, const remote::Listing& before,
                               const remote::Listing& after) {
  for (const auto& [name, node] : nodes_.NamesIn(dir)) {
    const remote::Entry* was = before.Find(name);
    const remote::Entry* is = after.Find(name);
    if (was == nullptr && is == nullptr) continue;
    if (was != nullptr && is != nullptr && SameEntry(*was, *is)) continue;
    notifier_.ExpireEntry(dir->ino, ShownName(name));
    if (was != nullptr && is != nullptr && !node->is_dir()) notifier_.DropContent(node->ino);
  }
}

Filesystem::Found Filesystem::Decide(const RemoteView& view, const std::string& name) const {
  Found found;
  found.path = JoinPath(view.path, name);
  const uint64_t as_of = closes_;
  found.overlay = rooms_.store.Lookup(found.path);
  found.certain = view.certain || found.overlay.kind != cache::Overlay::Kind::kNone;
  const remote::Entry* entry =
      view.listing && !IsTempName(name) ? view.listing->Find(name) : nullptr;
  if (entry != nullptr && !IsItsEntry(view.path, name)) entry = nullptr;
  if (entry != nullptr) found.entry = *entry;
  const auto memory = entry == nullptr ? std::nullopt : rooms_.store.Recall(found.path);
  found.facts = FactsOf(defaults_, found.overlay, entry, memory ? &*memory : nullptr);
  if (found.facts) found.facts->as_of = as_of;
  return found;
}

std::optional<cache::Identity> Filesystem::Found::identity() const {
  // What we have verified is newer than a listing that may lag.
  if (overlay.kind == cache::Overlay::Kind::kUploaded) return overlay.memory.identity;
  if (is_item() && overlay.item.state == cache::State::kClean && overlay.item.replaced) {
    return overlay.item.replaced;
  }
  if (entry) return IdentityOf(*entry);
  return std::nullopt;
}

Result<Filesystem::Found> Filesystem::Find(const NodePtr& dir, const std::string& name,
                                           SlowLane& lane) {
  auto view = ViewOf(dir, &name, lane);
  if (!view) return Fail(view.error());
  return Decide(*view, name);
}

Result<Filesystem::Found> Filesystem::FindAny(const NodePtr& dir, const std::string& name,
                                              SlowLane& lane) {
  auto path = PathOf(dir);
  if (!path) return Fail(path.error());
  Found known = Decide({.path = *path, .listing = nullptr, .certain = false}, name);
  using Kind = cache::Overlay::Kind;
  const Kind kind = known.overlay.kind;
  const bool recent = known.overlay.since >= rooms_.clock.Now() - kRecent;
  if (kind == Kind::kItem || (kind == Kind::kUploaded && recent)) return known;
  // Somebody may have made the name anew since we deleted it, or deleted what we uploaded.
  auto found = Find(dir, name, lane);
  if (!found && kind != Kind::kNone) return known;
  return found;
}

Facts Filesystem::RootFacts() const {
  Facts facts{.kind = cache::ItemKind::kDir, .ino = kRootIno};
  facts.attr = {.mode = defaults_.dir_mode,
                .uid = defaults_.uid,
                .gid = defaults_.gid,
                .atime_ns = started_ns_,
                .mtime_ns = started_ns_,
                .ctime_ns = started_ns_};
  if (const auto memory = rooms_.store.Recall("/")) facts.attr = memory->attr;
  return facts;
}

Result<Filesystem::Known> Filesystem::Recollect(const std::string& path,
                                                std::optional<remote::Entry> entry) const {
  Known known{.path = path, .overlay = rooms_.store.Lookup(path)};
  if (known.overlay.kind == cache::Overlay::Kind::kItem) {
    known.facts = *FactsOf(defaults_, known.overlay, nullptr, nullptr);
    return known;
  }
  // A fresh listing knows better than whoever saw the entry last.
  const std::string name(cache::NameOf(path));
  const auto listing = rooms_.dirs.Peek(ServerPathOf(std::string(cache::ParentOf(path))), name);
  if (listing) {
    const bool its = IsItsEntry(std::string(cache::ParentOf(path)), name);
    const remote::Entry* listed = its ? listing->Find(name) : nullptr;
    entry = listed == nullptr ? std::nullopt : std::optional(*listed);
  }
  const auto memory = rooms_.store.Recall(path);
  if (!entry && !listing && memory && known.overlay.kind == cache::Overlay::Kind::kNone) {
    known.overlay = {.kind = cache::Overlay::Kind::kUploaded, .memory = *memory};
  }
  const auto facts =
      FactsOf(defaults_, known.overlay, entry ? &*entry : nullptr, memory ? &*memory : nullptr);
  if (!facts) return Fail(ENOENT, "no such name");
  known.facts = *facts;
  known.identity = known.overlay.kind == cache::Overlay::Kind::kUploaded
                       ? known.overlay.memory.identity
                       : IdentityOf(*entry);
  return known;
}

Result<Facts> Filesystem::KnownFacts(const NodePtr& node) const {
  if (node == nodes_.root()) return RootFacts();
  const uint64_t as_of = closes_;
  std::optional<remote::Entry> entry;
  {
    MutexLock lock(node->mu);
    entry = node->entry;
    if (node->open.item != 0) {
      const auto item = rooms_.store.Get(node->open.item);
      if (item) node->open.attr = item->attr;
      return Facts{.kind = node->kind,
                   .ino = node->ino,
                   .attr = node->open.attr,
                   .size = item ? item->size : 0,
                   .as_of = as_of};
    }
  }
  const auto path = PathOf(node);
  if (!path) {
    MutexLock lock(node->mu);
    if (node->open.handles == 0) return Fail(path.error());
    // Deleted, and nothing of it is here: as it was last.
    return Facts{.kind = node->kind,
                 .ino = node->ino,
                 .attr = node->described,
                 .size = node->version.size,
                 .as_of = as_of};
  }
  auto known = Recollect(*path, std::move(entry));
  if (!known) return Fail(known.error());
  known->facts.as_of = as_of;
  return known->facts;
}

bool Filesystem::IsUnlinked(const NodePtr& node) const {
  return node != nodes_.root() && !nodes_.ParentOf(node);
}

AttrReply Filesystem::Describe(const NodePtr& node, Facts facts) const {
  for (;;) {
    {
      MutexLock lock(node->mu);
      if (facts.as_of >= node->closed_at) return DescribeLocked(*node, facts);
    }
    // They were found before the last writer closed the file.
    const auto known = KnownFacts(node);
    if (known) {
      facts = *known;
    } else {
      facts.as_of = closes_;  // deleted since
    }
  }
}

AttrReply Filesystem::DescribeLocked(Node& node, Facts facts) const {
  facts.ino = node.ino;
  if (options_.links && !facts.is_dir()) {
    const auto path = nodes_.PathOf(node.shared_from_this());
    facts.is_link = path && IsLinkName(cache::NameOf(*path));
  }
  AttrReply reply{.st = ToStat(facts), .timeout = AtMost(kStableSeconds)};
  node.described = facts.attr;
  if (node.touched_ns > facts.attr.mtime_ns) {
    facts.attr.mtime_ns = facts.attr.ctime_ns = node.touched_ns;
    reply.st = ToStat(facts);
  }
  if (node.open.handles > 0) DescribeOpen(node.open, reply.st);
  if (node.open.writers > 0) {
    reply.timeout = std::chrono::duration<double>(options_.attr_timeout).count();
  }
  return reply;
}

void Filesystem::DescribeOpen(const OpenFile& open, struct stat& st) {
  if (!open.read_pin) return;
  const auto backing = (*open.read_pin)->Stat();
  if (!backing) return;
  st.st_size = backing->st_size;
  st.st_blocks = backing->st_blocks;
  // What was set after the last close is in the row only.
  if (open.writers == 0 || !WasChanged(open, *backing)) return;
  st.st_mtim = backing->st_mtim;
  st.st_ctim = backing->st_ctim;
}

EntryReply Filesystem::Enter(const NodePtr& dir, const std::string& name, const Facts& facts,
                             const std::optional<remote::Entry>& entry) {
  cache::Ino ino = facts.ino;
  if (ino == 0) {
    const NodePtr child = nodes_.Child(dir, name);
    ino = child && child->kind == facts.kind ? child->ino : rooms_.store.NewIno();
  }
  const NodePtr node = nodes_.LinkAndCount(dir, name, ino, facts.kind, facts.ino == 0);
  {
    MutexLock lock(node->mu);
    node->entry = entry;
  }
  return Reply(node, facts);
}

double Filesystem::AtMost(double seconds) const {
  return std::min(seconds, std::chrono::duration<double>(options_.dir_cache_time).count());
}

EntryReply Filesystem::NoSuchName() const {
  return {.ino = 0, .entry_timeout = AtMost(kNegativeSeconds)};
}

EntryReply Filesystem::Reply(const NodePtr& node, const Facts& facts) const {
  const AttrReply attr = Describe(node, facts);
  return EntryReply{.ino = node->ino,
                    .st = attr.st,
                    .attr_timeout = attr.timeout,
                    .entry_timeout = AtMost(kStableSeconds)};
}

Result<EntryReply> Filesystem::Lookup(Call& call, cache::Ino parent, const std::string& name) {
  if (const auto status = CheckName(name); !status) return Fail(status.error());
  const auto dir = DirOf(parent);
  if (!dir) return Fail(dir.error());
  if (IsTempName(name)) return NoSuchName();
  SlowLane lane(lane_, call);
  for (int race = 0; race < kMaxRenameRaces; ++race) {
    auto found = FindAny(*dir, name, lane);
    if (!found) return Fail(found.error());
    ReaderLock names(names_mu_);
    const auto path = PathOf(*dir);
    if (!path) return Fail(path.error());
    const cache::Overlay now = rooms_.store.Lookup(JoinPath(*path, name));
    if (JoinPath(*path, name) != found->path || now.kind != found->overlay.kind ||
        now.item.id != found->overlay.item.id) {
      continue;  // renamed, made or removed while the server was asked
    }
    if (found->facts) return Enter(*dir, name, *found->facts, found->shown_entry());
    if (found->certain) return NoSuchName();
    return Fail(ENOENT, "not known here, and the server does not answer");
  }
  return Fail(EAGAIN, "the name keeps changing");
}

void Filesystem::Forget(cache::Ino ino, uint64_t lookups) { nodes_.Forget(ino, lookups); }

Result<AttrReply> Filesystem::GetAttr(Call& call, cache::Ino ino) {
  auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  bool open = false;
  {
    MutexLock lock((*node)->mu);
    open = (*node)->open.handles > 0;
  }
  const NodePtr dir = nodes_.ParentOf(*node);
  if (open || !dir) {
    auto facts = KnownFacts(*node);
    if (!facts) return Fail(facts.error());
    AttrReply reply = Describe(*node, *facts);
    if (IsUnlinked(*node)) reply.st.st_nlink = 0;
    return reply;
  }
  const auto path = PathOf(*node);
  if (!path) return Fail(path.error());
  SlowLane lane(lane_, call);
  auto found = FindAny(dir, std::string(cache::NameOf(*path)), lane);
  if (!found) return Fail(found.error());
  if (!found->facts || found->facts->kind != (*node)->kind) {
    if (!found->certain) {  // the server does not answer: what was known last
      auto facts = KnownFacts(*node);
      if (facts) return Describe(*node, *facts);
    }
    return Fail(ENOENT, "no such name any more");
  }
  return Describe(*node, *found->facts);
}

void Filesystem::Touch(const NodePtr& dir) const {
  const int64_t now = rooms_.clock.WallNs();
  MutexLock lock(dir->mu);
  dir->touched_ns = now;
}

}  // namespace outboxfs::fs
