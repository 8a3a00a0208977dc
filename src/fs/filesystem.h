// The operations of the mount in plain types: no libfuse here, so that tests call them directly.
// fuse_ops.cc copies the kernel's arguments, calls one of these, and replies.
//
// Thread-safe. Lock order: names_mu_ (shared; exclusive for what changes or removes names) -> a
// node's mu -> the cache. None is held over a remote call, a reply or a notification. Operations
// that may wait for anything remote enter the slow lane first; the others never wait for more than
// a lock or the local disk.
#pragma once

#include <sys/stat.h>
#include <sys/statvfs.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/store.h"
#include "common/clock.h"
#include "common/permits.h"
#include "common/result.h"
#include "fs/call.h"
#include "fs/decision.h"
#include "fs/facts.h"
#include "fs/handle_table.h"
#include "fs/hydrator.h"
#include "fs/mount_session.h"
#include "fs/node_table.h"
#include "fs/notifier.h"
#include "fs/passthrough.h"
#include "fs/remote_reader.h"
#include "fs/rooms.h"
#include "fs/slow_lane.h"
#include "remote/dir_cache.h"
#include "remote/namespace_api.h"
#include "remote/remote.h"

namespace outboxfs::fs {

constexpr cache::Ino kRootIno = 1;

// What the kernel may keep, and for how long (seconds). ino 0: there is no such name, and that may
// be kept too.
struct EntryReply {
  cache::Ino ino = 0;
  struct stat st = {};
  double attr_timeout = 0;
  double entry_timeout = 0;
};
struct AttrReply {
  struct stat st = {};
  double timeout = 0;
};

struct Opened {
  uint64_t handle = 0;
  int backing_id = 0;       // > 0: passthrough
  bool keep_cache = false;  // the kernel's pages still show this version
  bool direct_io = false;
};
struct Created {
  EntryReply entry;
  Opened opened;
};

// A part of a file: in `bytes`, or (fd >= 0) `size` bytes at `offset` of a descriptor that `keep`
// holds open; fewer at the end of the file.
struct ReadReply {
  std::vector<std::byte> bytes;
  int fd = -1;
  uint64_t offset = 0;
  size_t size = 0;
  std::shared_ptr<const void> keep;
};

struct AttrChange {
  std::optional<uint64_t> size;
  std::optional<mode_t> mode;
  std::optional<uid_t> uid;
  std::optional<gid_t> gid;
  std::optional<int64_t> atime_ns;
  std::optional<int64_t> mtime_ns;
};

struct DirOpened {
  uint64_t handle = 0;
  bool keep_cache = false;
};
// One entry of a directory. `offset` is where reading goes on after it.
struct DirEntry {
  std::string name;
  EntryReply entry;
  uint64_t offset = 0;
};
// Takes an entry into the reply; false when it does not fit any more.
using DirSink = std::function<bool(const DirEntry&)>;

class Filesystem {
 public:
  Filesystem(const MountOptions& options, const Rooms& rooms, Passthrough& passthrough,
             Notifier& notifier);
  ~Filesystem();
  Filesystem(const Filesystem&) = delete;
  Filesystem& operator=(const Filesystem&) = delete;

  // ---- lookup.cc, readdir.cc ----
  // An unknown name is success with ino 0 while that is known for sure, else ENOENT.
  Result<EntryReply> Lookup(Call& call, cache::Ino parent, const std::string& name);
  void Forget(cache::Ino ino, uint64_t lookups);
  Result<AttrReply> GetAttr(Call& call, cache::Ino ino);
  Result<DirOpened> OpenDir(Call& call, cache::Ino ino);
  // From `offset` on, until the sink is full. With `plus` each entry counts as looked up, unless
  // the sink refused it.
  Status ReadDir(Call& call, uint64_t number, uint64_t offset, bool plus, const DirSink& sink);
  void ReleaseDir(uint64_t handle);
  Status SyncDir(Call& call);
  Result<struct statvfs> StatFs(Call& call);

  // ---- open.cc ----
  Result<Opened> Open(Call& call, cache::Ino ino, int flags);
  Result<Created> Create(Call& call, cache::Ino parent, const std::string& name, mode_t mode,
                         int flags);
  Status Flush(uint64_t number);
  void Release(uint64_t number);

  // ---- io.cc ----
  Result<ReadReply> Read(Call& call, uint64_t number, size_t size, uint64_t offset);
  Status Write(uint64_t number, std::span<const std::byte> data, uint64_t offset);
  Status Sync(Call& call, uint64_t number);
  Status Allocate(Call& call, uint64_t number, int mode, const ByteRange& range);
  Result<uint64_t> Seek(uint64_t number, uint64_t offset, int whence);

  // ---- attr.cc ----
  Result<AttrReply> SetAttr(Call& call, cache::Ino ino, const AttrChange& change);
  // "user.*"; of those "user.outboxfs.*" tell about the file and cannot be changed. ENODATA,
  // EOPNOTSUPP for other kinds, EPERM for ours.
  Result<std::string> GetXattr(cache::Ino ino, const std::string& name);
  Result<std::vector<std::string>> ListXattr(cache::Ino ino);  // without ours
  Status SetXattr(cache::Ino ino, const std::string& name, std::string_view value,
                  cache::Store::XattrMode mode);
  Status RemoveXattr(cache::Ino ino, const std::string& name);

  // ---- make.cc, remove.cc, rename.cc ----
  Result<EntryReply> MakeDir(Call& call, cache::Ino parent, const std::string& name, mode_t mode);
  // A regular file, as Create without opening it.
  Result<EntryReply> MakeFile(Call& call, cache::Ino parent, const std::string& name, mode_t mode);
  Status Unlink(Call& call, cache::Ino parent, const std::string& name);
  Status RemoveDir(Call& call, cache::Ino parent, const std::string& name);
  // `flags` as renameat2(2); only RENAME_NOREPLACE is possible (else EINVAL).
  Status Rename(Call& call, cache::Ino from_dir, const std::string& from, cache::Ino to_dir,
                const std::string& to, unsigned flags);

  // ---- links.cc ----
  // The name under which what the kernel calls `name` is kept; `name` itself when there is nothing.
  std::string StoredName(Call& call, cache::Ino parent, const std::string& name);
  std::string ShownName(const std::string& name) const;
  // EPERM when a file that is made under this name would show as a link.
  Status CheckNoLinkName(const std::string& name) const;
  // EPERM without --links.
  Result<EntryReply> MakeSymlink(Call& call, cache::Ino parent, const std::string& name,
                                 const std::string& target);
  Result<std::string> ReadLink(Call& call, cache::Ino ino);  // EINVAL: no link
  // Rename, of names as they are shown.
  Status RenameShown(Call& call, cache::Ino from_dir, const std::string& from, cache::Ino to_dir,
                     const std::string& to, unsigned flags);

  // ---- changes.cc ----
  // Remote removals and renames of which nobody knows whether they happened (the daemon died, the
  // server did not answer): forced listings decide. True when none is left.
  bool SettleChanges(const std::stop_token& stop);
  // Does that whenever there are some, until stop. A thread of its own.
  void SettleLoop(const std::stop_token& stop);

  // ---- session.cc ----
  // From now on nothing new is opened for writing, made or removed (EROFS).
  void RefuseWriters() { refuse_writers_.store(true); }
  // Ends every wait of every operation, now and later. Returns at once.
  void StopWaits() {
    lane_.exit.request_stop();
    hydrator_.Stop();
    read_ahead_.Stop();
  }
  // After the last operation: every open file as if its handles were released.
  void CloseAll();
  // A change at a server path (empty: anywhere): tells the notifier what to expire. `gone`: it is
  // said to be removed or renamed away.
  void RemoteChanged(const std::string& server_path, bool gone);
  void FillStatus(MountStatus& status) const;

 private:
  struct Handle {
    Handle(NodePtr of_node, bool for_writing, remote::Downloader& downloads, BlockPool& memory,
           ReadAhead& ahead)
        : node(std::move(of_node)), writable(for_writing), reader(downloads, memory, ahead) {}
    const NodePtr node;
    const bool writable;
    // The remote file, when it was opened; constant afterwards.
    uint64_t remote_size = 0;  // bytes
    cache::Identity remote_version;
    RemoteReader reader;
  };
  struct DirHandle {
    NodePtr dir;
    Mutex mu;
    // One reading of the directory from its start: offsets stay true while it is read.
    bool filled ABSL_GUARDED_BY(mu) = false;
    std::vector<NamedFacts> entries ABSL_GUARDED_BY(mu);
    remote::ListingPtr listing ABSL_GUARDED_BY(mu);       // what they were made of
    uint64_t attr_changes ABSL_GUARDED_BY(mu) = 0;        // as the Filesystem's, at that time
    std::optional<Error> incomplete ABSL_GUARDED_BY(mu);  // reported after the last entry
  };

  // What the remote shows of a directory.
  struct RemoteView {
    std::string path;            // mount path of the directory
    remote::ListingPtr listing;  // null: the directory is not there (yet), or nothing is known
    bool certain = false;        // the listing is fresh, or certainly none is there
    std::optional<Error> error;  // why it is not certain
  };
  // What a name in it stands for.
  struct Found {
    std::string path;
    cache::Overlay overlay;
    std::optional<remote::Entry> entry;  // the remote's, also beneath a staged item or a gone row
    std::optional<Facts> facts;          // nullopt: no such name
    bool certain = false;

    bool is_item() const { return overlay.kind == cache::Overlay::Kind::kItem; }
    // There is something at this path on the server (as far as we know).
    bool on_server() const {
      return overlay.kind == cache::Overlay::Kind::kUploaded ||
             (is_item() && overlay.item.state == cache::State::kClean) ||
             (entry.has_value() && overlay.kind != cache::Overlay::Kind::kGone);
    }
    // The remote entry, if it is what the name stands for.
    std::optional<remote::Entry> shown_entry() const {
      return overlay.kind == cache::Overlay::Kind::kNone ? entry : std::nullopt;
    }
    // The version that the server has, as far as it is known.
    std::optional<cache::Identity> identity() const;
    bool in_flight() const { return is_item() && overlay.item.upload_generation != 0; }
    // The staged bytes will be uploaded: what the server has is only an older version.
    bool is_newer_here() const {
      return is_item() && overlay.item.state != cache::State::kClean &&
             overlay.item.state != cache::State::kOpen;
    }
  };

  // What happened to a directory since a handle took its snapshot.
  struct Changes {
    remote::ListingPtr listing;  // the one of now; null: none is fresh
    bool relisted = false;       // it is another one
    bool attributes = false;     // of something without an item
  };
  struct Known {
    std::string path;
    cache::Overlay overlay;  // kUploaded also when only the attribute memory knows the name
    Facts facts;
    cache::Identity identity;  // of the remote version; empty for an item
  };

  // ---- links.cc ----
  bool ShowsAsLink(const std::string& name, const Facts& facts) const;

  // ---- session.cc ----
  bool IsOurEcho(const std::string& path, bool gone) const;

  // ---- io.cc ----
  Status ReadRemote(Call& call, Handle& handle, std::span<std::byte> out, uint64_t offset);
  Status CheckVersion(Handle& handle, const std::string& path, SlowLane& lane);

  // ---- xattr.cc ----
  Result<Known> KnownOf(const NodePtr& node) const;
  static bool IsDeletedOpen(const NodePtr& node);
  static Result<std::string> OurXattr(const Known& known, const std::string& name);

  // ---- lookup.cc ----
  Result<NodePtr> NodeOf(cache::Ino ino) const;
  Result<NodePtr> DirOf(cache::Ino ino) const;
  Result<std::string> PathOf(const NodePtr& node) const;
  // Empty: the server can have nothing there yet (cache/renames.h).
  std::string ServerPathOf(const std::string& path) const;
  // nullopt: outside of the mount, or not shown.
  std::optional<std::string> MountPathOf(const std::string& server_path) const;
  bool IsItsEntry(const std::string& dir, const std::string& name) const;
  // May ask the server. ENOENT when the directory is unlinked.
  // `name`: the only one that the caller wants to know of, or nullptr.
  Result<RemoteView> ViewOf(const NodePtr& dir, const std::string* name, SlowLane& lane);
  Result<RemoteView> AskServer(const NodePtr& dir, const std::string& path, const std::string* name,
                               SlowLane& lane);
  RemoteView Offline(const NodePtr& dir, const std::string& path, const Error& error);
  // A listing is seen for the first time: reconciles the overlay, expires what it contradicts.
  void Adopt(const NodePtr& dir, const std::string& path, const remote::ListingPtr& listing);
  void Reconcile(const std::string& path, const remote::Listing& listing);
  void ExpireChanges(const NodePtr& dir, const remote::Listing& before,
                     const remote::Listing& after);
  // Memory only.
  Found Decide(const RemoteView& view, const std::string& name) const;
  Result<Found> Find(const NodePtr& dir, const std::string& name, SlowLane& lane);
  // As Find, but asks the server only when the overlay does not know the name for sure.
  Result<Found> FindAny(const NodePtr& dir, const std::string& name, SlowLane& lane);
  // What is known without asking the server; `entry` is the remote's as last seen.
  Result<Known> Recollect(const std::string& path, std::optional<remote::Entry> entry) const;
  Result<Facts> KnownFacts(const NodePtr& node) const;
  Facts RootFacts() const;
  // Gives the kernel the node (one lookup more).
  EntryReply Enter(const NodePtr& dir, const std::string& name, const Facts& facts,
                   const std::optional<remote::Entry>& entry);
  EntryReply Reply(const NodePtr& node, const Facts& facts) const;
  EntryReply NoSuchName() const;
  // Bounded by how long a listing is believed: without push nobody tells of others' changes.
  double AtMost(double seconds) const;
  AttrReply Describe(const NodePtr& node, Facts facts) const;
  AttrReply DescribeLocked(Node& node, Facts facts) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  // Only handles know it any more.
  bool IsUnlinked(const NodePtr& node) const;
  static void DescribeOpen(const OpenFile& open, struct stat& st);
  void Touch(const NodePtr& dir) const;
  // The snapshot that one reading of a directory goes through.
  Status FillDir(DirHandle& handle, SlowLane& lane);
  std::optional<NamedFacts> Freshen(const std::string& dir, const NamedFacts& named,
                                    const Changes& changes) const;
  EntryReply EnterListed(const NodePtr& dir, const NamedFacts& named, bool plus);
  // The kernel has read to the end: its cached listing is complete.
  static void MarkShown(const DirHandle& handle) ABSL_EXCLUSIVE_LOCKS_REQUIRED(handle.mu);
  remote::Space SpaceNow(SlowLane& lane) ABSL_LOCKS_EXCLUDED(space_mu_);

  // ---- open.cc, hydrate.cc ----
  Status CheckWritable() const;   // EROFS on a read-only mount
  Status CheckNewWriter() const;  // ... or while draining
  // Finds, or makes, what a file without an item is opened with.
  Status Resolve(Node& node, int flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  Status Stage(Node& node, const Known& known, bool truncate)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  Result<Opened> OpenNow(const NodePtr& node, int flags, uid_t caller)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(node->mu);
  void GiveUpOpen(const NodePtr& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node->mu);
  // Returns when `range` of the staged copy is here, or is known not to come.
  Status Hydrate(const NodePtr& node, const ByteRange& range, SlowLane& lane);
  Status FetchNext(const NodePtr& node, cache::ItemId item, const ByteRange& missing,
                   const std::stop_token& stop);
  Status Attach(Node& node, cache::ItemId item) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  Status BeginWriting(OpenFile& open, bool truncate, uid_t caller);
  static Status NoteBeginning(OpenFile& open);
  static bool WasChanged(const OpenFile& open, const struct stat& st);
  void EndWriting(OpenFile& open);
  Opened AddHandle(const NodePtr& node, int flags) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node->mu);
  bool KeepCache(Node& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  void DropHandle(const NodePtr& node, bool writable);

  // ---- attr.cc ----
  Status Resize(Call& call, const NodePtr& node, uint64_t size);
  Status ChangeAttr(const NodePtr& node, const AttrChange& change);
  Status ChangeClosed(Node& node, const std::string& path, const AttrChange& change)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  Status ChangeOpen(Node& node, const AttrChange& change) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);

  // ---- make.cc ----
  Status CheckNew(const std::string& name) const;
  cache::Attr NewAttr(const Call& call, const NodePtr& dir, mode_t mode, bool is_dir) const;
  Result<std::string> PathIn(const NodePtr& dir, const std::string& name) const;
  Result<Opened> OpenNew(const NodePtr& node, cache::ItemId item, int flags);
  bool IsStaged(const NodePtr& dir) const;
  Result<EntryReply> MakeRemoteDir(SlowLane& lane, const NodePtr& dir, const std::string& name,
                                   const cache::Attr& attr);

  // ---- remove.cc ----
  Result<Found> FindForChange(const NodePtr& dir, const std::string& name, SlowLane& lane);
  // Nothing has changed at the path since it was looked at. REQUIRES: names_mu_.
  bool StillTrue(const NodePtr& dir, const std::string& name, const Found& found) const;
  static cache::Store::Seen SeenIn(const Found& found);
  Status RemoveChild(Call& call, cache::Ino parent, const std::string& name, bool is_dir);
  // False: something changed meanwhile, look again. EBUSY: another change is on its way there.
  Result<bool> RemoveHere(const NodePtr& dir, const std::string& name, const Found& found);
  Result<bool> RemoveThere(const NodePtr& dir, const std::string& name, const Found& found);
  Result<bool> RemoveRemotely(const NodePtr& dir, const std::string& name, const Found& found);
  Status CheckEmpty(const Found& found);
  // Anything but what we have just deleted, or left there ourselves.
  bool CountsAsContent(const std::string& dir, const remote::Entry& entry) const;

  // ---- rename.cc ----
  struct Renaming;
  Status LookAtRename(Renaming& renaming, SlowLane& lane);
  Status CheckRename(const Renaming& renaming, unsigned flags);
  // False and EBUSY as RemoveHere.
  Result<bool> RenameHere(const Renaming& renaming);
  Result<cache::Intent> BeginRename(const Renaming& renaming, cache::HoldId& read_on);
  Status AwaitPlacing(const Renaming& renaming);
  Result<bool> RenameRemotely(const Renaming& renaming);
  Status RememberSource(const Renaming& renaming);
  Status KeepShowing(const NodePtr& dir, const std::string& name, const Found& found);
  cache::Intent IntentOf(const Renaming& renaming) const;
  Status PrepareTarget(const Renaming& renaming, cache::ItemId& held);
  Status AwaitNo(const std::function<bool()>& upload);
  Status MakeRemoteParents(const std::string& path);
  Status NoteMade(const cache::Item& dir);

  // ---- holds.cc ----
  cache::HoldId HoldReaders(const NodePtr& dir, const std::string& name, const std::string& path);
  void EndHold(const NodePtr& dir, const std::string& name, cache::HoldId hold);
  void LetGoOfHold(Node& node) ABSL_EXCLUSIVE_LOCKS_REQUIRED(node.mu);
  // The full server path of the bytes of an open file.
  Result<std::string> ReadPathOf(const NodePtr& node) const;
  bool MayHaveMoved(const NodePtr& node, const std::string& from) ABSL_LOCKS_EXCLUDED(changes_mu_);
  Status PutAside(const cache::Intent& intent, cache::HoldId hold);
  // Unless nobody knows yet what became of the change.
  void PutBack(const cache::Intent& intent, cache::HoldId hold);
  bool IsAside(const std::string& server_path) const;
  bool IsReadOn(const std::string& server_path) const;

  // ---- deferred.cc ----
  // The server can follow only when uploads, or other renames, have ended.
  bool MustWait(const Renaming& renaming) const;
  bool IsInUse(const std::string& path) const;
  bool IsDeferred(const std::string& path) const;
  // False and EBUSY as RemoveHere.
  Result<bool> RenameLater(const Renaming& renaming);
  Result<bool> RemoveLater(const NodePtr& dir, const std::string& name, const Found& found);
  bool HasDeferred() const;
  // As many as can be; the settler's thread.
  void CarryOutDeferred(const std::stop_token& stop);
  // EBUSY and the like: it has to wait longer.
  Status CarryOutLater(const cache::Intent& intent, const std::vector<cache::Intent>& all);
  Result<cache::Intent> BeginLater(const cache::Intent& intent, const std::string& place,
                                   const std::string& passing) ABSL_LOCKS_EXCLUDED(changes_mu_);
  Status EndDeferred(const cache::Intent& intent, const std::string& place);
  Status RemoveAtLast(const cache::Intent& intent);
  std::string PlaceOf(const std::string& path) const;
  std::vector<cache::Item> LeavingUploads(const std::string& remote_path) const;
  bool IsInACircle(const cache::Intent& intent, const std::vector<cache::Intent>& all) const;

  // ---- changes.cc ----
  // What became of a change of the server.
  enum class Ended { kHappened, kNot, kUnknown };
  // Journals it; EBUSY: another one is on its way there. From then on it is ours to end.
  Result<cache::Intent> BeginChange(cache::Intent intent) ABSL_LOCKS_EXCLUDED(changes_mu_);
  // Success: the server has done it, and the names here follow. Any error: they are as before; the
  // outcome may still be unknown, then it is settled later.
  Status CarryOut(const cache::Intent& intent) ABSL_LOCKS_EXCLUDED(changes_mu_);
  Status CancelChange(const cache::Intent& intent) ABSL_LOCKS_EXCLUDED(changes_mu_);
  // Nobody works at it any more.
  void LeaveChange(const cache::Intent& intent) ABSL_LOCKS_EXCLUDED(changes_mu_);
  // As LeaveChange; the server may still do what it was told.
  void LeaveUndecided(const cache::Intent& intent) ABSL_LOCKS_EXCLUDED(changes_mu_);
  bool MayBeLate(const cache::Intent& intent) const ABSL_LOCKS_EXCLUDED(changes_mu_);
  std::optional<cache::Intent> TakeUndecided() ABSL_LOCKS_EXCLUDED(changes_mu_);
  bool HasUndecided() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(changes_mu_);
  void AwaitUploads(const std::stop_token& stop) ABSL_LOCKS_EXCLUDED(changes_mu_);
  // Waits until one of the changes under way has ended; what is undecided is settled.
  Status AwaitOtherChange(SlowLane& lane) ABSL_LOCKS_EXCLUDED(changes_mu_);
  // `begun`: the server has changed something.
  Status SendSteps(const cache::Intent& intent, bool& begun);
  Ended SettleOnServer(const cache::Intent& intent, const std::stop_token& stop);
  Status TakeSettlingStep(const cache::Intent& intent, SettlingStep step,
                          const std::stop_token& stop);
  Status DropAside(const cache::Intent& intent, const std::stop_token& stop);
  Result<Evidence> Gather(const cache::Intent& intent, const std::stop_token& stop);
  // null: there is no such directory.
  Result<remote::ListingPtr> ListNow(const std::string& server_dir, const std::stop_token& stop);
  // The local half of what happened.
  Status FollowServer(const cache::Intent& intent, cache::Store::Caller caller)
      ABSL_LOCKS_EXCLUDED(names_mu_);
  void MoveNodes(const cache::Intent& intent);
  void EditListings(const cache::Intent& intent);
  // The uploader keeps off the file meanwhile, as if it were being written. 0: nothing to let go.
  cache::ItemId Hold(const Found& found);
  void LetGo(const NodePtr& dir, const std::string& name, cache::ItemId held);

  const MountOptions options_;
  const Defaults defaults_;
  const Rooms rooms_;
  Passthrough& passthrough_;
  Notifier& notifier_;
  const int64_t started_ns_;
  const SteadyTime started_at_;
  const bool exact_ctime_;  // the kernel's ctime tells any two changes apart

  std::atomic<bool> refuse_writers_{false};
  std::atomic<bool> reached_{false};  // the server has answered a listing
  std::atomic<SteadyTime> offline_until_{SteadyTime{}};
  std::atomic<uint64_t> attr_changes_{0};  // of names without an item
  // Ends of writing so far: who looked at a file before its last one knows an old size and time.
  std::atomic<uint64_t> closes_{0};
  const std::string device_tag_;
  Lane lane_;
  BlockPool read_memory_;
  mutable SharedMutex names_mu_;  // mount path of every node and what the store has there
  NodeTable nodes_;
  HandleTable<Handle> handles_;
  HandleTable<DirHandle> dir_handles_;

  // Between names_mu_ and the cache.
  mutable Mutex changes_mu_;
  CondVar changes_moved_;
  std::set<uint64_t> changes_ ABSL_GUARDED_BY(changes_mu_);  // intents that somebody works at
  uint64_t changes_ended_ ABSL_GUARDED_BY(changes_mu_) = 0;
  std::map<uint64_t, SteadyTime> late_until_ ABSL_GUARDED_BY(changes_mu_);
  std::map<uint64_t, SteadyTime> deferred_tries_;  // the settler's own: after trouble

  Mutex space_mu_;
  remote::Space space_ ABSL_GUARDED_BY(space_mu_);  // total 0: not known
  SteadyTime space_fresh_until_ ABSL_GUARDED_BY(space_mu_){};

  // Last: their threads end first.
  ReadAhead read_ahead_;
  Hydrator hydrator_;
};

}  // namespace outboxfs::fs
