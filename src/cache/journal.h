// The durable index of everything staged: one SQLite database in WAL mode, and the only SQL of the
// program. Each function is one write; those that belong together go into one Transact.
//
// Not thread-safe: Store calls it under its one lock. Commits do not fsync (synchronous=NORMAL);
// WalBarrier does, from any thread, and Checkpointer moves the log into the database.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cache/ballast.h"
#include "cache/block_sums.h"
#include "cache/extent_map.h"
#include "cache/row.h"
#include "cache/sql.h"
#include "common/disk.h"

namespace outboxfs::cache {

class Journal {
 public:
  // Small, because a commit writes whole pages and the rows are short: a quarter of the log that
  // pages of 4 KiB make.
  static constexpr int kPageSize = 1024;

  // What a start reads. Memories that a listing has confirmed stay on disk.
  struct Contents {
    std::vector<Row> rows;
    std::vector<GoneRow> gone;
    std::vector<Memory> unconfirmed;
    std::vector<Intent> intents;
    std::vector<ItemId> doomed;
    std::map<ItemId, ExtentMap> extents;  // of partly hydrated files: what was changed in them
  };

  // Makes the database if it is missing. EPROTO: made by a newer program. EIO: not a database.
  // Beyond `memory_limit` the confirmed memories that were not used for the longest time go.
  static Result<std::unique_ptr<Journal>> Open(const std::string& path,
                                               const std::string& ballast_path,
                                               uint64_t memory_limit);
  // EIO when a row cannot be what we wrote; the text names it.
  Result<Contents> Load();

  Result<std::optional<std::string>> Meta(const std::string& key);
  Status SetMeta(const std::string& key, const std::string& value);

  // All of `body`'s writes or none. `body` returns Status.
  template <typename Body>
  Status Transact(Body body) {
    ballast_.Watch();
    if (auto begun = begin_.Run(); !begun) return begun;
    Status done = body();
    if (done) done = commit_.Run();
    if (!done) Rollback();
    return done;
  }

  Status Save(const Row& row);
  // With its sums and ledger. Of a file a mark stays that its bytes are to go (doomed), because
  // they go later than the row; whatever has neither row nor mark is kept in lost+found.
  Status Delete(ItemId id, ItemKind kind);
  Status DropDoomed(ItemId id);

  Status SaveSums(ItemId id, const BlockSums& sums);
  Result<std::optional<BlockSums>> LoadSums(ItemId id);
  Status SaveLedger(ItemId id, Generation generation, const ExtentMap& served);
  Result<std::optional<ExtentMap>> LoadLedger(ItemId id, Generation generation);
  Status DropLedger(ItemId id);

  // Changes of a partly hydrated file, in the order in which they were made.
  Status AddExtent(ItemId id, const Extent& extent);
  Status DropExtents(ItemId id);

  Status PutIntent(const Intent& intent);
  Status DropIntent(uint64_t id);

  Status PutGone(const GoneRow& gone);
  Status DropGone(const std::string& path);
  Status PutMemory(const Memory& memory);
  Status DropMemory(const std::string& path);
  Result<std::optional<Memory>> FindMemory(const std::string& path);
  Result<std::vector<Memory>> MemoriesIn(const std::string& dir);

  // Of inode numbers, which are never given again; those of vanished ones go at the next Open.
  Result<std::optional<std::string>> FindXattr(Ino ino, const std::string& name);
  Result<std::vector<std::string>> XattrNames(Ino ino);
  Status PutXattr(Ino ino, const std::string& name, std::string_view value);
  Status DropXattr(Ino ino, const std::string& name);
  Status DropXattrs(Ino ino);
  // Of gone rows and memories: those of `path` and of all beneath it.
  Status DropTree(const std::string& path);
  Status MoveTree(const std::string& from, const std::string& to);

  // ENOSPC while the disk has only the room that is held back: for what is new.
  Status CheckRoom();
  // Size of the write-ahead log after the last commit. Any thread.
  uint64_t wal_bytes() const { return static_cast<uint64_t>(wal_pages_) * kPageSize; }

 private:
  Journal(const std::string& path, const std::string& ballast_path)
      : ballast_(ballast_path, path) {}
  Status SetUp(const std::string& path);
  Status CheckVersion();
  Status PrepareAll();
  Status PrepareItems();
  Status PrepareMemory();
  Status PrepareXattrs();
  Status TrimMemory();
  Result<int64_t> AskNumber(std::string_view sql);
  Status PrepareTrees();
  void Rollback();
  Status LoadRows(std::vector<Row>& rows);
  Status LoadOverlay(Contents& contents);
  Status LoadGone(std::vector<GoneRow>& rows);
  Status LoadDoomed(std::vector<ItemId>& ids);
  Status LoadExtents(std::map<ItemId, ExtentMap>& extents);
  Status LoadIntents(std::vector<Intent>& intents);
  Result<std::vector<Memory>> ReadMemories(Statement& query);

  Ballast ballast_;
  std::atomic<int> wal_pages_ = 0;
  Database db_;  // before the statements: closed after they are finalized
  Statement begin_, commit_, rollback_;
  Statement save_, delete_row_, delete_sums_, delete_ledger_, put_doomed_, drop_doomed_;
  Statement save_sums_, load_sums_, save_ledger_, load_ledger_;
  Statement add_extent_, drop_extents_;
  Statement put_gone_, drop_gone_, put_memory_, drop_memory_, find_memory_, memories_in_;
  Statement touch_memory_, touch_memories_, trim_memory_;
  Statement find_xattr_, xattr_names_, put_xattr_, drop_xattr_, drop_xattrs_;
  Statement drop_gone_beneath_, drop_memory_beneath_;
  Statement move_gone_, move_gone_beneath_, move_memory_, move_memory_beneath_;
  Statement put_intent_, drop_intent_;
  Statement get_meta_, set_meta_;

  int64_t memory_limit_ = 0;  // rows
  int64_t memories_ = 0;      // at most so many rows there are
  int64_t uses_ = 0;          // counts memories put: the clock of `used`
  int64_t least_used_ = 0;    // of the rows read last
};

void BindAttr(Statement& statement, const Attr& attr);

// Makes everything committed so far durable: fdatasync of the write-ahead log, outside the
// journal's lock (docs/adr/0002-sqlite-journal.md). Thread-safe.
class WalBarrier {
 public:
  static Result<WalBarrier> Open(const std::string& wal_path);
  Status Sync() const { return disk::DataSync(wal_.get()); }

 private:
  explicit WalBarrier(FileDescriptor wal) : wal_(std::move(wal)) {}
  FileDescriptor wal_;
};

// Moves the write-ahead log into the database, on a connection of its own, without holding writers
// up (PASSIVE). One thread.
class Checkpointer {
 public:
  static Result<Checkpointer> Open(const std::string& journal_path);
  // Bytes of the log that it left, because writers went on meanwhile.
  Result<uint64_t> Checkpoint();

 private:
  explicit Checkpointer(Database db) : db_(std::move(db)) {}
  Database db_;
};

}  // namespace outboxfs::cache
