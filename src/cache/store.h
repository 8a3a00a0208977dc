// The face of the cache room: everything that is staged, durable in the journal, and the only
// owner of its states. fs and upload both call in here; nothing is called back. News goes out
// through feed().
//
// Thread-safe. Every changing function commits to the journal before it returns (no fsync: the
// sealer makes it durable within a second, Sync() at once) and publishes the item. Lock order: this
// room's locks are below fs's and upload's; none is held over unbounded I/O.
//
// Paths are mount paths: "/" separated, absolute, normalised, "/" is the root.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cache/feed.h"
#include "cache/item.h"
#include "cache/read_cache.h"
#include "cache/staged_file.h"
#include "common/clock.h"
#include "common/range.h"
#include "common/result.h"

namespace outboxfs::cache {

struct StoreOptions {
  std::string directory;              // made with 0700 if missing; one owner at a time (flock)
  uint64_t memory_limit = 1'000'000;  // entries of the attribute memory; then the least used go
  ReadCache::Limits read_cache;       // by default nothing is kept
  std::chrono::nanoseconds keep{0};   // how long the bytes of an uploaded file go on to be kept
  std::string mountpoint;             // noted beside the owner's pid
};

// The overlay's word about one path.
struct Overlay {
  enum class Kind {
    kNone,      // nothing staged: the remote listing decides
    kItem,      // staged wins
    kGone,      // deleted or renamed away here; a listing may still show it
    kUploaded,  // verified, but no listing begun since has shown it yet: exists with `memory`
  };
  Kind kind = Kind::kNone;
  Item item;         // kItem
  Memory memory;     // kUploaded
  SteadyTime since;  // kGone: when the name went; of an earlier run: SteadyTime::min()
};
struct OverlayEntry {
  std::string name;
  Overlay overlay;  // never kNone
};

// What a listing shows of one name. Without an identity: any version.
struct Listed {
  ItemKind kind = ItemKind::kFile;
  std::optional<Identity> identity;
};
// Looks a name up in a listing; called under the store's lock, so in memory only.
using ListedNames = std::function<std::optional<Listed>(const std::string& name)>;

// Sums for status; bytes.
struct StoreTotals {
  uint64_t files_pending = 0;  // sealed or being sealed, not yet verified
  uint64_t bytes_pending = 0;
  uint64_t files_open = 0;
  uint64_t files_parked = 0;
  uint64_t files_interrupted = 0;
  uint64_t bytes_staged = 0;       // disk space of all backing files (st_blocks)
  uint64_t files_not_durable = 0;  // closed, not yet on stable storage
  uint64_t bytes_not_durable = 0;
};

// What Open() found and did.
struct RecoveryReport {
  uint64_t pending = 0;      // items that will be uploaded
  uint64_t interrupted = 0;  // items that were open
  uint64_t lost_found = 0;   // backing files without a row, moved to lost+found
  uint64_t missing = 0;      // rows whose backing file is missing, parked
};

class Store;

// Keeps the bytes of an item from eviction, and its StagedFile open. Movable. Destroying the last
// pin of a kClean, verified item evicts it; of a deleted item removes its bytes.
class Pin {
 public:
  Pin() = default;
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

  explicit operator bool() const { return file_ != nullptr; }
  StagedFile& operator*() const { return *file_; }
  StagedFile* operator->() const { return file_.get(); }
  void Reset();

 private:
  friend class Store;
  Store* store_ = nullptr;
  std::shared_ptr<StagedFile> file_;
  bool writable_ = false;
};

class Store {
 public:
  // EBUSY: another daemon owns the directory (text names its pid). EACCES: not writable or not
  // ours. EPROTO: the journal is of a newer version. Recovers from the journal alone; no remote
  // call.
  static Result<std::unique_ptr<Store>> Open(const StoreOptions& options, const Clock& clock);
  virtual ~Store() = default;

  virtual const RecoveryReport& recovery() const = 0;
  virtual const std::string& device_id() const = 0;  // made once, kept in the directory
  virtual Feed& feed() = 0;
  virtual ReadCache& read_cache() = 0;

  // ---- Looking (memory only) --------------------------------------------------------------
  virtual Overlay Lookup(const std::string& path) const = 0;
  // Of an item that was deleted and lives on for its pins the path is empty: the name may be
  // another file's by now.
  virtual std::optional<Item> Get(ItemId id) const = 0;
  virtual std::vector<OverlayEntry> ListDir(const std::string& dir) const = 0;
  // Every item, oldest change first (for the scheduler's start, status and drain).
  virtual std::vector<Item> All() const = 0;
  virtual StoreTotals Totals() const = 0;

  // ---- fs: names and bytes -----------------------------------------------------------------
  virtual Ino NewIno() = 0;
  // A new empty file in kOpen with its backing file. A previous overlay row of that path that is
  // not an item (gone, uploaded) is replaced. EEXIST when an item is there. The caller then takes
  // a write pin.
  virtual Result<Item> CreateFile(const std::string& path, Ino ino, const Attr& attr) = 0;
  // A staged copy of a remote file, no byte of which is here yet: kClean and partial.
  virtual Result<Item> StageRemote(const std::string& path, Ino ino, const Attr& attr,
                                   const Identity& identity) = 0;
  // A staged directory in kWaiting: created remotely by the uploader, before anything below it.
  virtual Result<Item> MakeDir(const std::string& path, Ino ino, const Attr& attr) = 0;

  // ---- Partly hydrated files (Item::partial) -------------------------------------------------
  // What of `range` is only on the server. Nothing of a file that is not partial.
  virtual std::vector<ByteRange> Missing(ItemId id, const ByteRange& range) const = 0;
  // Fetched bytes; those that were written or fetched meanwhile stay as they are.
  virtual Status FillMissing(const Pin& pin, uint64_t offset, std::span<const std::byte> data) = 0;
  // Changes, of whole files too; of a partial one they are in the journal before they return.
  // REQUIRES: a write pin.
  virtual Status WritePart(const Pin& pin, uint64_t offset, std::span<const std::byte> data) = 0;
  virtual Status ResizePart(const Pin& pin, uint64_t size) = 0;
  virtual Status AllocatePart(const Pin& pin, int mode, const ByteRange& range) = 0;
  // Of a kHydrating item. Done: nothing is missing; makes that durable, -> kSealing. Failed: the
  // reason is shown, and with `park` -> kParked. ESTALE: it is no longer kHydrating.
  virtual Status HydrationDone(ItemId id) = 0;
  virtual Status HydrationFailed(ItemId id, const Error& error, bool park) = 0;

  virtual Result<Pin> PinFile(ItemId id, bool writable) = 0;
  // A writable open of an item in any state but kRemoving: -> kOpen, voids a running seal; an
  // upload in flight becomes stale (the uploader cancels it). The last seal is kept for
  // NothingChanged.
  virtual Status BeginWrite(ItemId id) = 0;
  // FLUSH of a changed writable handle: the closed mark (size, mtime, ctime of the backing file;
  // docs/ARCHITECTURE.md, "Closing and sealing"). No state change.
  virtual Status MarkClosed(ItemId id) = 0;
  // The last writable handle is gone (write pins released): `changed` -> kSealing, or kHydrating
  // for a partial file; else back to
  // what it was before BeginWrite (the old seal and its digests stand again).
  virtual Status EndWrite(ItemId id, bool changed) = 0;
  virtual Status SetAttr(ItemId id, const Attr& attr) = 0;
  // fsync(2): data and journal on stable storage before it returns.
  virtual Status Sync(ItemId id) = 0;
  // fsync(2) of a directory, staged or remote: every change of names and attributes so far is on
  // stable storage before it returns.
  virtual Status SyncJournal() = 0;

  // What a caller has seen at a path before it changes the name.
  struct Seen {
    ItemId item = 0;  // 0: no item
    Generation upload_generation = 0;
  };
  // Local half of unlink and rmdir: the name is gone at once (kGone overlay iff `remote_exists`);
  // bytes go when unpinned. An item with a started upload becomes kRemoving and stays for the
  // uploader; else its row is deleted. ESTALE, and nothing is changed, when something else than
  // `seen` is there by now (an upload started or ended).
  virtual Status Remove(const std::string& path, bool remote_exists,
                        const std::optional<Seen>& seen = std::nullopt) = 0;
  // Local half of rename, for a file or for a directory with all items, memories and gone rows
  // beneath it. An item at `to` is removed as Remove does. `from` becomes kGone iff
  // `remote_exists_at_from`. Never touches bytes; uploads in flight go on to their upload_path.
  // ESTALE as Remove, when something else than `seen` is at `from`.
  virtual Status Rename(const std::string& from, const std::string& to, bool remote_exists_at_from,
                        const std::optional<Seen>& seen = std::nullopt) = 0;

  // ---- fs: remote removals and renames (item.h: Intent) ----------------------------------------
  // Journals it, with its id. EBUSY: another one is on its way at, above or beneath its paths.
  // ESTALE: the server can follow only later (DeferRename, DeferRemoval).
  virtual Result<Intent> BeginIntent(Intent intent) = 0;
  // It happened: what Remove or Rename do, in the transaction that ends the intent. Items that came
  // to its names meanwhile stay where they are; so does the item that goes, when its caller was
  // told that nothing had happened and it was written to since.
  enum class Caller { kWaits, kWasRefused };
  virtual Status FinishIntent(uint64_t id, Caller caller) = 0;
  // It did not happen.
  virtual Status DropIntent(uint64_t id) = 0;
  virtual std::vector<Intent> Intents() const = 0;  // oldest first
  // ---- fs: renames and removals that the server follows later ---------------------------------
  // Of what has uploads under way beneath it, or goes to a name that the server has yet to free:
  // the local half, as Rename with `from` hidden, and in the same transaction the intent (`folder`,
  // `what`, `from`, `to`). EBUSY: another change of these names is under way, or what is at `to`
  // is itself still to be renamed. ESTALE as Rename.
  virtual Status DeferRename(Intent intent, const std::optional<Seen>& seen) = 0;
  // As DeferRename, for a directory that is empty here (`folder`, `what`, `from`).
  virtual Status DeferRemoval(Intent intent, const std::optional<Seen>& seen) = 0;
  // Before the server is told. FinishIntent and DropIntent (it waits again) end it. EBUSY: uploads
  // are under way beneath, or another change, or what the server has at `remote_to` is itself still
  // to be renamed. ESTALE: it does not wait any more.
  virtual Result<Intent> BeginDeferred(uint64_t id, const std::string& remote_to,
                                       const std::string& passing) = 0;
  // It will not be done any more: names show what the server has.
  virtual Status GiveUpDeferred(uint64_t id) = 0;
  // For a person: why it could not be carried out; empty: nothing is wrong.
  virtual void NoteTrouble(uint64_t id, const std::string& trouble) = 0;
  // Where the server has what the mount shows at `path`, and the other way, as paths below the
  // folder that the mount's root stands for. Empty: nowhere (renames.h). Memory only.
  virtual std::string RemotePathOf(const std::string& path) const = 0;
  virtual std::string MountPathOf(const std::string& remote_path) const = 0;
  virtual bool AnyDeferred() const = 0;
  // Something beneath has yet to leave it, on the server.
  virtual bool HoldsDeferred(const std::string& remote_path) const = 0;
  // A deferred intent has to be carried out before anything new is begun at this mount path.
  virtual bool AwaitsRename(const std::string& path) const = 0;
  // An upload is under way at this full server path or beneath it; in this directory. Parked ones
  // do not count. Memory only.
  virtual bool IsUploadingTo(const std::string& server_path) const = 0;
  virtual bool IsUploadingIn(const std::string& server_dir) const = 0;

  // Items whose upload was begun at exactly this path, wherever they live now. Parked ones count.
  virtual std::vector<Item> UploadsAt(const std::string& server_path) const = 0;

  // ---- Versions that are read on after their name is gone (memory only, but for PutAside) ------
  // What the server has at this mount path.
  virtual HoldId Hold(const std::string& path) = 0;
  virtual std::string HeldAt(HoldId id) const = 0;  // remote path, wherever it is by now
  virtual void ReleaseHold(HoldId id) = 0;
  virtual bool IsHeld(const std::string& remote_path) const = 0;
  // Before it is renamed on the server to a hidden name, instead of being deleted: journals that it
  // is to be removed there. PutBack: it was not renamed, or got its name again.
  virtual Status PutAside(const std::string& folder, const std::string& remote_path,
                          const std::string& aside) = 0;
  virtual Status PutBack(const std::string& aside, const std::string& remote_path) = 0;

  // An intent is on its way at this full server path or above it: no upload may start there, no
  // directory be made, nothing placed; try again a little later. Memory only.
  virtual bool IsBusy(const std::string& server_path) const = 0;
  // An upload of another item than `except` may still put something at `server_path` (which is
  // `path` here) or beneath it, or delete what it has put there. Memory only.
  virtual bool IsUploadedTo(const std::string& server_path, const std::string& path,
                            ItemId except) const = 0;

  // ---- Attribute memory ----------------------------------------------------------------------
  virtual std::optional<Memory> Recall(const std::string& path) const = 0;
  virtual std::vector<Memory> RecallDir(const std::string& dir) const = 0;
  virtual Status Remember(const Memory& memory) = 0;
  virtual Status ForgetMemory(const std::string& path) = 0;

  // ---- Extended attributes, of an inode number for as long as an item or a memory has it
  // ---------
  virtual Result<std::string> Xattr(Ino ino, const std::string& name) const = 0;  // ENODATA
  virtual Result<std::vector<std::string>> XattrNames(Ino ino) const = 0;
  enum class XattrMode { kSet, kCreate, kReplace };  // EEXIST, ENODATA
  virtual Status SetXattr(Ino ino, const std::string& name, std::string_view value,
                          XattrMode mode) = 0;
  virtual Status RemoveXattr(Ino ino, const std::string& name) = 0;  // ENODATA
  // What a listing of `dir`, begun then, says of the overlay. Of rows that are older than it:
  // uploaded ones that it shows are confirmed; those that it lacks go when it is no lag any more.
  // Gone ones that it lacks go, and those of which it shows another version.
  virtual void ReconcileEntries(const std::string& dir, SteadyTime begun,
                                const ListedNames& listed) = 0;
  // As above with the names only: of gone rows nothing shows whether it is another version.
  void Reconcile(const std::string& dir, SteadyTime begun, const std::vector<std::string>& names);
  // Somebody says that this name was removed or renamed away remotely: an uploaded row goes with
  // the first listing begun from now on that lacks it.
  virtual void DoubtUploaded(const std::string& path) = 0;

  // ---- upload: the way of one sealed generation ------------------------------------------------
  // Each returns ESTALE when `generation` is no longer the item's sealed one (changed, deleted):
  // the caller then cancels. MarkUploadMoved and MarkUploadOver are valid in any state.
  virtual Result<std::unique_ptr<SealedReader>> OpenSealed(ItemId id, Generation generation) = 0;
  // Before Start (or CreateFolder) is sent. -> kUploading. `at`: only while the item lives at this
  // path; else EAGAIN, and what the row knows of an earlier upload stays known.
  virtual Status MarkStarting(ItemId id, Generation generation, const std::string& upload_path,
                              const std::optional<Identity>& replaced,
                              const std::optional<std::string>& at) = 0;
  Status MarkStarting(ItemId id, Generation generation, const std::string& upload_path,
                      const std::optional<Identity>& replaced) {
    return MarkStarting(id, generation, upload_path, replaced, std::nullopt);
  }
  // ESTALE as above, but the id is kept while the row still knows of this start.
  virtual Status MarkStarted(ItemId id, Generation generation, const std::string& upload_id) = 0;
  // Ranges that the server acknowledged (a ledger per upload; journalled now and then).
  virtual void MarkServed(ItemId id, Generation generation, const ByteRange& range) = 0;
  virtual bool ServedWhole(ItemId id, Generation generation) const = 0;
  virtual Status SetDigests(ItemId id, Generation generation, const Digests& digests) = 0;
  virtual Status MarkVerifying(ItemId id, Generation generation) = 0;  // -> kVerifying
  // Verified at upload_path. -> kPlacing; the uploader then moves it to the item's path.
  virtual Status MarkPlacing(ItemId id, Generation generation) = 0;
  // The remote copy now stands at `upload_path` (after a placing step).
  virtual Status SetUploadPath(ItemId id, Generation generation,
                               const std::string& upload_path) = 0;
  // Verified at its own path `path` with `identity`. EAGAIN when the item was renamed meanwhile
  // (place again). The item leaves: memory row (kUploaded), bytes evicted once unpinned.
  virtual Status MarkDone(ItemId id, Generation generation, const std::string& path,
                          const Identity& identity) = 0;
  // -> kWaiting with one attempt more and a next try; or -> kParked. The upload, if any is known,
  // is kept in the row (it must be cancelled or adopted before the next Start) unless it is over.
  virtual Status MarkFailed(ItemId id, Generation generation, const Error& error,
                            int64_t not_before_ns, bool park) = 0;
  // What the upload left stands at `upload_path` now, whatever has become of the item since.
  virtual Status MarkUploadMoved(ItemId id, const std::string& upload_path) = 0;
  // The server no longer has the upload `upload_path`/`upload_id` of this item: clears it, or marks
  // it as Item::kept. `at`: only while the item lives at this path; else EAGAIN.
  virtual Status MarkUploadOver(ItemId id, const std::optional<std::string>& at, bool kept) = 0;
  Status MarkUploadGone(ItemId id) { return MarkUploadOver(id, std::nullopt, false); }
  // A kRemoving item whose remote side is clean.
  virtual Status ForgetRemoved(ItemId id) = 0;
  // kParked, kInterrupted or backing off -> kWaiting (or kSealing) now.
  virtual Status Retry(ItemId id) = 0;
  // Retry of a file that is parked for kUnprovenCode: what stands on the server is taken for ours
  // unless something speaks against it. EINVAL for any other.
  virtual Status Accept(ItemId id) = 0;
  // Our bytes, accepted, stand at `upload_path`: as if they had just been uploaded there.
  virtual Status MarkStanding(ItemId id, Generation generation, const std::string& upload_path) = 0;

 protected:
  friend class Pin;
  static Pin MakePin(Store* store, std::shared_ptr<StagedFile> file, bool writable);
  virtual void Unpin(std::shared_ptr<StagedFile> file, bool writable) = 0;
};

}  // namespace outboxfs::cache
