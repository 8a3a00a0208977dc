// The Store: in-memory tables of everything staged over the journal, one lock for both. Private to
// the room. One source file per chapter of store.h:
//   store.cc        opening, looking, pins        store_names.cc   remove, rename, memory, overlay
//   store_write.cc  making and changing items     store_upload.cc  the way of a sealed generation
//   store_seal.cc   sealing and evicting          recovery.cc      what a start finds
//   store_partial.cc  partly hydrated files
//   store_intents.cc  remote removals and renames
//   store_deferred.cc  those that the server follows later
//   store_holds.cc  versions that are read on
//   store_overlay.cc  attribute memory, and the overlay of what a lagging listing still shows
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "cache/dirty_dirs.h"
#include "cache/journal.h"
#include "cache/keeper.h"
#include "cache/layout.h"
#include "cache/presence.h"
#include "cache/sealer.h"
#include "cache/store.h"

namespace outboxfs::cache {

// Ranges that the server acknowledged for one generation.
struct Ledger {
  Generation generation = 0;
  ExtentMap served;
  uint64_t unsaved_bytes = 0;
  SteadyTime saved_at;
};

// One item in memory. Guarded by the Store's lock, like all that follows here.
struct Record {
  Row row;
  uint64_t epoch = 0;  // grows whenever a running seal becomes void
  int pins = 0;
  int write_pins = 0;
  bool unlinked = false;               // has neither name nor row; lives for its pins
  bool durable = true;                 // bytes and row are on stable storage
  std::shared_ptr<StagedFile> file;    // while pinned
  std::unique_ptr<Ledger> ledger;      // once asked for
  std::shared_ptr<Presence> presence;  // of a partial file
};

// What is known of a path beside an item: shown when no item is there.
struct Ghost {
  Overlay::Kind kind = Overlay::Kind::kGone;  // or kUploaded
  Memory memory;                              // kUploaded
  GoneRow gone;                               // kGone
  SteadyTime since;
  // Listings that said the contrary when it could not be lag any more, and the newest of them.
  int contradictions = 0;
  SteadyTime contradicted;
  std::optional<SteadyTime> doubted;  // kUploaded: since then it is said to be gone
};

struct Name {
  Record* item = nullptr;
  std::unique_ptr<Ghost> ghost;
};
// Sorted, so that a directory's names and a whole tree are ranges (paths.h).
using Names = std::map<std::string, Name>;

class StoreImpl final : public Store, private SealHost, private KeeperHost {
 public:
  static Result<std::unique_ptr<Store>> Open(const StoreOptions& options, const Clock& clock);
  ~StoreImpl() override;
  StoreImpl(const StoreImpl&) = delete;
  StoreImpl& operator=(const StoreImpl&) = delete;

  const RecoveryReport& recovery() const override { return report_; }
  const std::string& device_id() const override { return device_id_; }
  ReadCache& read_cache() override { return *read_cache_; }
  Feed& feed() override { return feed_; }

  Overlay Lookup(const std::string& path) const override;
  std::optional<Item> Get(ItemId id) const override;
  std::vector<OverlayEntry> ListDir(const std::string& dir) const override;
  std::vector<Item> All() const override;
  StoreTotals Totals() const override;

  Ino NewIno() override;
  Result<Item> CreateFile(const std::string& path, Ino ino, const Attr& attr) override;
  Result<Item> StageRemote(const std::string& path, Ino ino, const Attr& attr,
                           const Identity& identity) override;
  std::vector<ByteRange> Missing(ItemId id, const ByteRange& range) const override;
  Status FillMissing(const Pin& pin, uint64_t offset, std::span<const std::byte> data) override;
  Status WritePart(const Pin& pin, uint64_t offset, std::span<const std::byte> data) override;
  Status ResizePart(const Pin& pin, uint64_t size) override;
  Status AllocatePart(const Pin& pin, int mode, const ByteRange& range) override;
  Status HydrationDone(ItemId id) override;
  Status HydrationFailed(ItemId id, const Error& error, bool park) override;
  Result<Item> MakeDir(const std::string& path, Ino ino, const Attr& attr) override;
  Result<Pin> PinFile(ItemId id, bool writable) override;
  Status BeginWrite(ItemId id) override;
  Status MarkClosed(ItemId id) override;
  Status EndWrite(ItemId id, bool changed) override;
  Status SetAttr(ItemId id, const Attr& attr) override;
  Status Sync(ItemId id) override;
  Status SyncJournal() override;
  Status Remove(const std::string& path, bool remote_exists,
                const std::optional<Seen>& seen) override;
  Status Rename(const std::string& from, const std::string& to, bool remote_exists_at_from,
                const std::optional<Seen>& seen) override;
  Result<Intent> BeginIntent(Intent intent) override;
  Status FinishIntent(uint64_t id, Caller caller) override;
  Status DropIntent(uint64_t id) override;
  std::vector<Intent> Intents() const override;
  bool IsBusy(const std::string& server_path) const override;
  HoldId Hold(const std::string& path) override;
  std::string HeldAt(HoldId id) const override;
  void ReleaseHold(HoldId id) override;
  bool IsHeld(const std::string& remote_path) const override;
  Status PutAside(const std::string& folder, const std::string& remote_path,
                  const std::string& aside) override;
  Status PutBack(const std::string& aside, const std::string& remote_path) override;
  bool IsUploadingTo(const std::string& server_path) const override;
  std::vector<Item> UploadsAt(const std::string& server_path) const override;
  bool IsUploadingIn(const std::string& server_dir) const override;
  std::string RemotePathOf(const std::string& path) const override;
  std::string MountPathOf(const std::string& remote_path) const override;
  bool AnyDeferred() const override { return any_deferred_; }
  bool AwaitsRename(const std::string& path) const override;
  bool HoldsDeferred(const std::string& remote_path) const override;
  Status DeferRename(Intent intent, const std::optional<Seen>& seen) override;
  Status DeferRemoval(Intent intent, const std::optional<Seen>& seen) override;
  Result<Intent> BeginDeferred(uint64_t id, const std::string& remote_to,
                               const std::string& passing) override;
  Status GiveUpDeferred(uint64_t id) override;
  void NoteTrouble(uint64_t id, const std::string& trouble) override;
  bool IsUploadedTo(const std::string& server_path, const std::string& path,
                    ItemId except) const override;

  std::optional<Memory> Recall(const std::string& path) const override;
  std::vector<Memory> RecallDir(const std::string& dir) const override;
  Status Remember(const Memory& memory) override;
  Status ForgetMemory(const std::string& path) override;
  Result<std::string> Xattr(Ino ino, const std::string& name) const override;
  Result<std::vector<std::string>> XattrNames(Ino ino) const override;
  Status SetXattr(Ino ino, const std::string& name, std::string_view value,
                  XattrMode mode) override;
  Status RemoveXattr(Ino ino, const std::string& name) override;
  void ReconcileEntries(const std::string& dir, SteadyTime begun,
                        const ListedNames& listed) override;
  void DoubtUploaded(const std::string& path) override;

  Result<std::unique_ptr<SealedReader>> OpenSealed(ItemId id, Generation generation) override;
  Status MarkStarting(ItemId id, Generation generation, const std::string& upload_path,
                      const std::optional<Identity>& replaced,
                      const std::optional<std::string>& at) override;
  Status MarkStarted(ItemId id, Generation generation, const std::string& upload_id) override;
  void MarkServed(ItemId id, Generation generation, const ByteRange& range) override;
  bool ServedWhole(ItemId id, Generation generation) const override;
  Status SetDigests(ItemId id, Generation generation, const Digests& digests) override;
  Status MarkVerifying(ItemId id, Generation generation) override;
  Status MarkPlacing(ItemId id, Generation generation) override;
  Status SetUploadPath(ItemId id, Generation generation, const std::string& upload_path) override;
  Status MarkDone(ItemId id, Generation generation, const std::string& path,
                  const Identity& identity) override;
  Status MarkFailed(ItemId id, Generation generation, const Error& error, int64_t not_before_ns,
                    bool park) override;
  Status MarkUploadMoved(ItemId id, const std::string& upload_path) override;
  Status MarkUploadOver(ItemId id, const std::optional<std::string>& at, bool kept) override;
  Status ForgetRemoved(ItemId id) override;
  Status Retry(ItemId id) override;
  Status Accept(ItemId id) override;
  Status MarkStanding(ItemId id, Generation generation, const std::string& upload_path) override;

  // For SealedReader: is `generation` still the sealed one?
  bool IsCurrent(ItemId id, Generation generation) const ABSL_LOCKS_EXCLUDED(mu_);
  // For SealedReader: the bytes were changed behind our back; they are sealed anew.
  void NoticeChanged(ItemId id, Generation generation) ABSL_LOCKS_EXCLUDED(mu_);

 private:
  // A change of one item by the uploader; `edit` alters the row before it is saved.
  using Edit = std::function<void(Row&)>;
  // What a start has looked at so far; ids sorted.
  struct Findings {
    std::vector<ItemId> on_disk;  // backing files
    std::vector<ItemId> known;    // those with a row
    std::vector<Keeper::Doomed> doomed;
    std::map<ItemId, ExtentMap> extents;
    bool same_boot = false;
  };
  struct Committed {
    ItemId id = 0;
    uint64_t epoch = 0;
  };

  StoreImpl(const StoreOptions& options, const Clock& clock);
  // ---- recovery.cc
  Status Start();
  Status OpenJournal();
  Status Recover();
  Status AdoptAll(Journal::Contents contents, std::vector<ItemId> on_disk)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status ReviewRow(Row& row, Findings& findings) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status ForgetClean(const Row& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status KeepUnknown(Findings& findings);
  void Adopt(Row row, ExtentMap changes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void FlushOnExit() ABSL_LOCKS_EXCLUDED(mu_);

  void Unpin(std::shared_ptr<StagedFile> file, bool writable) override ABSL_LOCKS_EXCLUDED(mu_);
  // ---- SealHost (store_seal.cc)
  std::optional<SealJob> BeginSeal(ItemId id) override ABSL_LOCKS_EXCLUDED(mu_);
  void NoteDurable(const SealJob& job, const Mark& mark) override ABSL_LOCKS_EXCLUDED(mu_);
  Status CommitSeals(std::vector<SealResult> results) override ABSL_LOCKS_EXCLUDED(mu_);
  void DelaySeal(const SealJob& job, const Error& why) override ABSL_LOCKS_EXCLUDED(mu_);
  Status CommitSome(std::span<const SealResult> results, std::vector<Committed>& committed)
      ABSL_LOCKS_EXCLUDED(mu_);
  void NoteAllDurable(const std::vector<Committed>& committed) ABSL_LOCKS_EXCLUDED(mu_);
  Result<std::pair<Row, bool>> Sealed(const Record& record, const SealResult& result)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void TryEvict(ItemId id) ABSL_LOCKS_EXCLUDED(mu_);
  bool EvictableLocked(const Record& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::shared_ptr<const Keepsake> KeepsakeOf(const Row& row, const Identity& version) const;
  Status EvictLocked(Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SealAgainLocked(Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Bytes of the log that are still not in the database.
  uint64_t Checkpoint();

  // ---- KeeperHost
  Result<ItemId> ReserveIds(unsigned count) override ABSL_LOCKS_EXCLUDED(mu_);
  void BytesRemoved(const std::vector<ItemId>& ids) override ABSL_LOCKS_EXCLUDED(mu_);
  Status Barrier() override { return barrier_ ? barrier_->Sync() : Status{}; }
  bool Keep(ItemId id, const Keepsake& keepsake) override;
  void Tick() override ABSL_LOCKS_EXCLUDED(mu_);

  // ---- tables
  Record* Find(ItemId id) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The names directly in `dir`, sorted.
  std::vector<const Names::value_type*> NamesIn(const std::string& dir) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Record* ItemAt(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Record& Insert(Row row, ExtentMap changes = {}) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The name no longer shows the item; what is behind it stays.
  void Detach(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Erase(Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowUploaded(Memory memory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Hide(GoneRow gone) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropGhost(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void DropGhostsBeneath(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Account(const Record& record, int sign) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Apply(Record& record, Row next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Saves `next`, then applies it. On an error nothing has changed.
  Status Change(Record& record, Row next) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  static Overlay ToOverlay(const Name& name);

  // ---- store_write.cc
  Result<ItemId> ReserveIdsLocked(unsigned count) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Result<Item> AddNew(Row row, bool keep_behind) ABSL_LOCKS_EXCLUDED(mu_);
  void RestoreLocked(Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status CloseLocked(Record& record, const struct stat& st, bool whole)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Result<struct stat> StatBacking(ItemId id) const ABSL_LOCKS_EXCLUDED(mu_);
  void EnqueueSeal(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- store_partial.cc
  std::shared_ptr<Presence> PresenceOf(ItemId id) const ABSL_LOCKS_EXCLUDED(mu_);
  bool IsWhole(ItemId id, uint64_t size) const ABSL_LOCKS_EXCLUDED(mu_);
  Status RecordChange(ItemId id, const ByteRange& range, ExtentKind kind) ABSL_LOCKS_EXCLUDED(mu_);
  Status ChangePart(ItemId id, const ByteRange& range, ExtentKind kind,
                    const Presence::Write& write) ABSL_LOCKS_EXCLUDED(mu_);

  // ---- store_names.cc
  using Moved = std::vector<std::pair<Record*, Row>>;
  // What else belongs into the same transaction: the end of an intent.
  using Also = std::function<Status()>;
  Status CheckSeen(const std::string& path, const std::optional<Seen>& seen) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Result<GoneRow> GoneRowOf(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The bytes that go are added to `doomed`.
  Status RemoveLocked(const std::string& path, const std::optional<GoneRow>& gone, const Also& also,
                      std::vector<Keeper::Doomed>& doomed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status RenameLocked(const std::string& from, const std::string& to,
                      const std::optional<GoneRow>& gone, const Also& also,
                      std::vector<Keeper::Doomed>& doomed) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Moved RowsMoved(const std::string& from, const std::string& to) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status JournalRemoval(const Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyRemoval(Record& record, std::vector<Keeper::Doomed>& doomed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status JournalRename(const Moved& moved, const std::string& from, const std::string& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyRename(Moved&& moved, const std::string& from, const std::string& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Unlink(Record& record) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HasItemsBeneath(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- store_overlay.cc
  bool IsListedOtherwise(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  enum class Verdict { kKeep, kConfirm, kForget };
  Verdict JudgeGhost(Ghost& ghost, SteadyTime begun, const std::optional<Listed>& listed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsNoLagAnyMore(Ghost& ghost, SteadyTime begun) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status DropXattrsOfAnother(const Memory& memory) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<std::string_view> UploadPaths() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void UploadLeft(const Row& row) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- store_deferred.cc
  struct CarriedRows {
    std::vector<Intent> intents;
    Moved rows;
  };
  Result<GoneRow> PrepareDeferred(Intent& intent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool HoldsDeferredLocked(const std::string& remote_path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void NoteDeferred() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsUploadingInLocked(const std::string& server_dir) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsUploading(const std::function<bool(const std::string&)>& concerns) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status FinishDeferred(const Intent& intent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsFreeName(const std::string& path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ShowAnew(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PublishReleased(const std::vector<Intent>& before) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  CarriedRows CarryUploads(const Intent& intent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status JournalCarried(const CarriedRows& carried) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ApplyCarried(const Intent& intent, const CarriedRows& carried)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CarryOver(const Intent& intent) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Intent> MovedIntents(const std::string& from, const std::string& to) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- store_holds.cc
  void MoveHolds(const std::string& from, const std::string& to) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- store_intents.cc
  uint64_t NextIntentId() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status CheckNoCollision(const Intent& intent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status CheckQuiet(const Intent& intent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool IsBusyLocked(const std::string& server_path) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // The deferred one that leads to this mount path, if any.
  std::vector<Intent>::iterator FindDeferredTo(const std::string& path)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::vector<Intent>::iterator FindIntent(uint64_t id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void KeepWhatIsNewer(Intent& intent) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status FinishRemoval(const Intent& intent, const Also& end, std::vector<Keeper::Doomed>& doomed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status FinishRename(const Intent& intent, const Also& end, std::vector<Keeper::Doomed>& doomed)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // ---- store_upload.cc
  Result<Record*> FindSealed(ItemId id, Generation generation) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Status EditSealed(ItemId id, Generation generation, const Edit& edit) ABSL_LOCKS_EXCLUDED(mu_);
  Status FinishLocked(Record& record, const Identity& identity) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  Ledger& LedgerOf(Record& record) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Constant after Start.
  const Layout layout_;
  const uint64_t memory_limit_;
  const ReadCache::Limits read_limits_;
  const std::chrono::nanoseconds keep_;
  const std::string mountpoint_;
  const Clock& clock_;
  const SteadyTime started_;
  FileDescriptor lock_file_;
  RecoveryReport report_;
  std::string device_id_;
  std::string boot_id_;
  std::optional<WalBarrier> barrier_;

  std::optional<ReadCache> read_cache_;

  // Thread-safe by themselves.
  Feed feed_;
  DirtyDirs dirty_dirs_;

  mutable Mutex mu_;
  std::unique_ptr<Journal> journal_ ABSL_PT_GUARDED_BY(mu_);  // the pointer: constant after Start
  std::unordered_map<ItemId, std::unique_ptr<Record>> items_ ABSL_GUARDED_BY(mu_);
  Names names_ ABSL_GUARDED_BY(mu_);
  std::vector<Intent> intents_ ABSL_GUARDED_BY(mu_);          // oldest first; a handful
  std::map<HoldId, std::string> holds_ ABSL_GUARDED_BY(mu_);  // remote paths
  HoldId last_hold_ ABSL_GUARDED_BY(mu_) = 0;
  std::atomic<bool> any_deferred_ = false;             // of them; changed with them
  std::set<ItemId> writing_ ABSL_GUARDED_BY(mu_);      // items with a write pin
  std::set<ItemId> evict_later_ ABSL_GUARDED_BY(mu_);  // still open for writing elsewhere
  StoreTotals totals_ ABSL_GUARDED_BY(mu_);
  ItemId next_id_ ABSL_GUARDED_BY(mu_) = 1;
  ItemId id_high_ ABSL_GUARDED_BY(mu_) = 1;  // ids below are reserved in the journal
  Ino next_ino_ ABSL_GUARDED_BY(mu_) = 2;    // 1 is the root
  Ino ino_high_ ABSL_GUARDED_BY(mu_) = 2;

  // The keeper's thread only.
  std::optional<Checkpointer> checkpointer_;
  uint64_t checkpointed_bytes_ = 0;

  // Last: their threads end before anything above goes.
  Sealer sealer_;
  Keeper keeper_;
};

}  // namespace outboxfs::cache
