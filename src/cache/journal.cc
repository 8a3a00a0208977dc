#include "cache/journal.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "cache/codec.h"
#include "cache/paths.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

constexpr int kVersion = 3;

// Times in ns since 1970 UTC; enums by their number; paths are bytes.
constexpr const char* kSchema = R"(
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE items(
  id INTEGER PRIMARY KEY, ino INTEGER NOT NULL, path TEXT NOT NULL, kind INTEGER NOT NULL,
  state INTEGER NOT NULL, before INTEGER NOT NULL, flags INTEGER NOT NULL,
  size INTEGER NOT NULL, disk_bytes INTEGER NOT NULL,
  mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  atime INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
  generation INTEGER NOT NULL, upload_generation INTEGER NOT NULL,
  sealed INTEGER NOT NULL, changed INTEGER NOT NULL, not_before INTEGER NOT NULL,
  seal_size INTEGER NOT NULL, seal_mtime INTEGER NOT NULL, seal_ctime INTEGER NOT NULL,
  closed_size INTEGER NOT NULL, closed_mtime INTEGER NOT NULL, closed_ctime INTEGER NOT NULL,
  synced_size INTEGER NOT NULL, synced_mtime INTEGER NOT NULL, synced_ctime INTEGER NOT NULL,
  attempts INTEGER NOT NULL, error_code INTEGER NOT NULL,
  digests TEXT, upload_path TEXT, upload_id TEXT, replaced TEXT, reason TEXT,
  sent TEXT);
CREATE TABLE sums(id INTEGER PRIMARY KEY, blob BLOB NOT NULL);
CREATE TABLE ledger(id INTEGER PRIMARY KEY, generation INTEGER NOT NULL, ranges TEXT NOT NULL);
CREATE TABLE extents(
  seq INTEGER PRIMARY KEY, id INTEGER NOT NULL, begin INTEGER NOT NULL, end INTEGER NOT NULL,
  kind INTEGER NOT NULL);
CREATE INDEX extents_id ON extents(id);
CREATE TABLE doomed(id INTEGER PRIMARY KEY);
CREATE TABLE gone(
  path TEXT PRIMARY KEY, identity TEXT NOT NULL DEFAULT '', kind INTEGER NOT NULL DEFAULT 0,
  since INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE memory(
  parent TEXT NOT NULL, name TEXT NOT NULL, ino INTEGER NOT NULL, kind INTEGER NOT NULL,
  mode INTEGER NOT NULL, uid INTEGER NOT NULL, gid INTEGER NOT NULL,
  atime INTEGER NOT NULL, mtime INTEGER NOT NULL, ctime INTEGER NOT NULL,
  identity TEXT NOT NULL, confirmed INTEGER NOT NULL, used INTEGER NOT NULL,
  PRIMARY KEY(parent, name)) WITHOUT ROWID;
CREATE INDEX memory_unconfirmed ON memory(confirmed) WHERE confirmed = 0;
CREATE INDEX memory_used ON memory(used);
CREATE TABLE xattrs(
  ino INTEGER NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY(ino, name))
  WITHOUT ROWID;
CREATE TABLE intents(
  id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, what INTEGER NOT NULL, newer INTEGER NOT NULL,
  folder TEXT NOT NULL, origin TEXT NOT NULL, dest TEXT NOT NULL,
  passing TEXT NOT NULL, aside TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL,
  source_item INTEGER NOT NULL, target_item INTEGER NOT NULL,
  closed_ns INTEGER NOT NULL DEFAULT -1,
  remote_from TEXT NOT NULL DEFAULT '', remote_to TEXT NOT NULL DEFAULT '',
  deferred INTEGER NOT NULL DEFAULT 0);
)";

const std::string kFromVersion1 = R"(
BEGIN IMMEDIATE;
ALTER TABLE intents ADD COLUMN closed_ns INTEGER NOT NULL DEFAULT -1;
PRAGMA user_version=2;
COMMIT;
)";
const std::string kFromVersion2 = R"(
BEGIN IMMEDIATE;
ALTER TABLE intents ADD COLUMN remote_from TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN remote_to TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN deferred INTEGER NOT NULL DEFAULT 0;
UPDATE intents SET remote_from=origin, remote_to=dest;
PRAGMA user_version=3;
COMMIT;
)";

// Bits of items.flags.
constexpr int64_t kPartial = 1;
constexpr int64_t kClean = 2;
constexpr int64_t kAttrChanged = 4;
constexpr int64_t kRenamed = 8;
constexpr int64_t kBased = 16;
constexpr int64_t kAccepted = 32;
constexpr int64_t kKept = 64;
constexpr int64_t kStands = 128;

int64_t FlagsOf(const Row& row) {
  return (row.partial ? kPartial : 0) | (row.clean ? kClean : 0) |
         (row.attr_changed ? kAttrChanged : 0) | (row.renamed ? kRenamed : 0) |
         (row.based ? kBased : 0) | (row.accepted ? kAccepted : 0) | (row.kept ? kKept : 0) |
         (row.stands ? kStands : 0);
}

int64_t Signed(uint64_t value) { return static_cast<int64_t>(value); }

void BindMark(Statement& statement, const Mark& mark) {
  statement.Bind(Signed(mark.size)).Bind(mark.mtime_ns).Bind(mark.ctime_ns);
}

std::string EncodeIfAny(const std::optional<Identity>& identity) {
  return identity ? EncodeIdentity(*identity) : std::string();
}

void BindTextOrNull(Statement& statement, const std::string& text) {
  if (text.empty()) {
    statement.BindNull();
  } else {
    statement.Bind(text);
  }
}

}  // namespace

void BindAttr(Statement& statement, const Attr& attr) {
  statement.Bind(attr.mode).Bind(attr.uid).Bind(attr.gid);
  statement.Bind(attr.atime_ns).Bind(attr.mtime_ns).Bind(attr.ctime_ns);
}

Result<std::unique_ptr<Journal>> Journal::Open(const std::string& path,
                                               const std::string& ballast_path,
                                               uint64_t memory_limit) {
  std::unique_ptr<Journal> journal(new Journal(path, ballast_path));
  journal->ballast_.Watch();
  journal->memory_limit_ = static_cast<int64_t>(memory_limit);
  if (auto done = journal->SetUp(path); !done) return Fail(done.error());
  return journal;
}

Status Journal::SetUp(const std::string& path) {
  // SQLite would make it readable for others, and gives its log the same mode.
  if (auto made = disk::Open(path, O_RDWR | O_CREAT); !made) return Fail(made.error());
  auto db = OpenDatabase(path);
  if (!db) return Fail(db.error());
  db_ = std::move(*db);
  for (const std::string& pragma :
       {fmt::format("PRAGMA page_size={}", kPageSize), std::string("PRAGMA journal_mode=WAL"),
        std::string("PRAGMA synchronous=NORMAL"), std::string("PRAGMA wal_autocheckpoint=0"),
        std::string("PRAGMA trusted_schema=OFF")}) {
    if (auto done = Execute(db_.get(), pragma); !done) return done;
  }
  sqlite3_wal_hook(
      db_.get(),
      [](void* pages, sqlite3*, const char*, int count) {
        *static_cast<std::atomic<int>*>(pages) = count;
        return SQLITE_OK;
      },
      &wal_pages_);
  if (auto right = CheckVersion(); !right) return right;
  return PrepareAll();
}

Status Journal::CheckVersion() {
  Statement query;
  if (auto done = query.Prepare(db_.get(), "PRAGMA user_version"); !done) return done;
  const auto more = query.Next();
  if (!more) return Fail(more.error());
  const int64_t version = query.Int(0);
  query.Reset();
  if (version == kVersion) return {};
  if (version == 1) return Execute(db_.get(), kFromVersion1 + kFromVersion2);
  if (version == 2) return Execute(db_.get(), kFromVersion2);
  if (version != 0) {
    return Fail(EPROTO, fmt::format("journal: its version is {}, this program knows {}", version,
                                    kVersion));
  }
  return Execute(db_.get(), fmt::format("BEGIN IMMEDIATE;{}PRAGMA user_version={};COMMIT;", kSchema,
                                        kVersion));
}

Status Journal::PrepareAll() {
  const std::pair<Statement*, std::string_view> statements[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&get_meta_, "SELECT value FROM meta WHERE key=?"},
      {&set_meta_, "INSERT OR REPLACE INTO meta VALUES(?,?)"},
      {&save_sums_, "INSERT OR REPLACE INTO sums VALUES(?,?)"},
      {&load_sums_, "SELECT blob FROM sums WHERE id=?"},
      {&save_ledger_, "INSERT OR REPLACE INTO ledger VALUES(?,?,?)"},
      {&load_ledger_, "SELECT ranges FROM ledger WHERE id=? AND generation=?"},
      {&add_extent_, "INSERT INTO extents(id,begin,end,kind) VALUES(?,?,?,?)"},
      {&drop_extents_, "DELETE FROM extents WHERE id=?"},
      {&put_doomed_, "INSERT OR REPLACE INTO doomed VALUES(?)"},
      {&drop_doomed_, "DELETE FROM doomed WHERE id=?"},
      {&put_gone_, "INSERT OR REPLACE INTO gone VALUES(?,?,?,?)"},
      {&drop_gone_, "DELETE FROM gone WHERE path=?"},
      {&put_intent_, "INSERT OR REPLACE INTO intents VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"},
      {&drop_intent_, "DELETE FROM intents WHERE id=?"},
  };
  for (const auto& [statement, sql] : statements) {
    if (auto done = statement->Prepare(db_.get(), sql); !done) return done;
  }
  if (auto done = PrepareItems(); !done) return done;
  if (auto done = PrepareMemory(); !done) return done;
  if (auto done = PrepareXattrs(); !done) return done;
  return PrepareTrees();
}

Status Journal::PrepareItems() {
  if (auto done = save_.Prepare(db_.get(),
                                "INSERT OR REPLACE INTO items VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,"
                                "?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)");
      !done) {
    return done;
  }
  if (auto done = delete_row_.Prepare(db_.get(), "DELETE FROM items WHERE id=?"); !done) {
    return done;
  }
  if (auto done = delete_sums_.Prepare(db_.get(), "DELETE FROM sums WHERE id=?"); !done) {
    return done;
  }
  return delete_ledger_.Prepare(db_.get(), "DELETE FROM ledger WHERE id=?");
}

// substr on blobs: paths are bytes, and a text's substr counts characters.
Status Journal::PrepareTrees() {
  const std::pair<Statement*, std::string_view> statements[] = {
      {&drop_gone_beneath_, "DELETE FROM gone WHERE path>=? AND path<?"},
      {&drop_memory_beneath_, "DELETE FROM memory WHERE parent=? OR (parent>=? AND parent<?)"},
      {&move_gone_, "UPDATE OR REPLACE gone SET path=? WHERE path=?"},
      {&move_gone_beneath_,
       "UPDATE OR REPLACE gone SET path=? || CAST(substr(CAST(path AS BLOB),?) AS TEXT) "
       "WHERE path>=? AND path<?"},
      {&move_memory_, "UPDATE OR REPLACE memory SET parent=?, name=? WHERE parent=? AND name=?"},
      {&move_memory_beneath_,
       "UPDATE OR REPLACE memory SET parent=? || CAST(substr(CAST(parent AS BLOB),?) AS TEXT) "
       "WHERE parent=? OR (parent>=? AND parent<?)"},
  };
  for (const auto& [statement, sql] : statements) {
    if (auto done = statement->Prepare(db_.get(), sql); !done) return done;
  }
  return {};
}

Status Journal::CheckRoom() {
  ballast_.Watch();
  if (!ballast_.is_short()) return {};
  return Fail(ENOSPC, "the cache disk is full: wait for uploads, or free some space");
}

void Journal::Rollback() {
  // SQLite has rolled back by itself after some errors.
  if (sqlite3_get_autocommit(db_.get()) != 0) return;
  if (auto done = rollback_.Run(); !done) Log::Error("{}", done.error().text);
}

Result<std::optional<std::string>> Journal::Meta(const std::string& key) {
  const auto more = get_meta_.Bind(key).Next();
  if (!more) return Fail(more.error());
  if (!*more) return std::nullopt;
  std::string value(get_meta_.Text(0));
  get_meta_.Reset();
  return value;
}

Status Journal::SetMeta(const std::string& key, const std::string& value) {
  return set_meta_.Bind(key).Bind(value).Run();
}

Status Journal::Save(const Row& row) {
  const RareFields& rare = row.rare();
  const std::string digests = EncodeDigests(rare.digests);
  const std::string replaced = EncodeIfAny(rare.replaced);
  const std::string sent = EncodeIfAny(rare.sent);
  save_.Bind(Signed(row.id)).Bind(Signed(row.ino)).Bind(row.path);
  save_.Bind(static_cast<int64_t>(row.kind)).Bind(static_cast<int64_t>(row.state));
  save_.Bind(static_cast<int64_t>(row.before)).Bind(FlagsOf(row));
  save_.Bind(Signed(row.size)).Bind(Signed(row.disk_bytes));
  BindAttr(save_, row.attr);
  save_.Bind(Signed(row.generation)).Bind(Signed(row.upload_generation));
  save_.Bind(row.sealed_ns).Bind(row.changed_ns).Bind(row.not_before_ns);
  BindMark(save_, row.seal);
  BindMark(save_, row.closed);
  BindMark(save_, row.synced);
  save_.Bind(row.attempts).Bind(row.error_code);
  BindTextOrNull(save_, digests);
  BindTextOrNull(save_, rare.upload_path);
  BindTextOrNull(save_, rare.upload_id);
  BindTextOrNull(save_, replaced);
  BindTextOrNull(save_, rare.reason);
  BindTextOrNull(save_, sent);
  return save_.Run();
}

Status Journal::Delete(ItemId id, ItemKind kind) {
  for (Statement* statement : {&delete_row_, &delete_sums_, &delete_ledger_, &drop_extents_}) {
    if (auto done = statement->Bind(Signed(id)).Run(); !done) return done;
  }
  return kind == ItemKind::kFile ? put_doomed_.Bind(Signed(id)).Run() : Status{};
}

// Ends behind every file ("all that follows") are kept as the largest number there is.
Status Journal::AddExtent(ItemId id, const Extent& extent) {
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  const auto end = std::min(extent.range.end, static_cast<uint64_t>(kMost));
  add_extent_.Bind(Signed(id)).Bind(Signed(extent.range.begin)).Bind(Signed(end));
  return add_extent_.Bind(static_cast<int64_t>(extent.kind)).Run();
}

Status Journal::DropExtents(ItemId id) { return drop_extents_.Bind(Signed(id)).Run(); }

Status Journal::DropDoomed(ItemId id) { return drop_doomed_.Bind(Signed(id)).Run(); }

Status Journal::SaveSums(ItemId id, const BlockSums& sums) {
  const std::string blob = sums.Encode();
  return save_sums_.Bind(Signed(id)).BindBlob(blob).Run();
}

Result<std::optional<BlockSums>> Journal::LoadSums(ItemId id) {
  const auto more = load_sums_.Bind(Signed(id)).Next();
  if (!more) return Fail(more.error());
  if (!*more) return std::nullopt;
  auto sums = BlockSums::Decode(load_sums_.Text(0));
  load_sums_.Reset();
  if (!sums) return Fail(sums.error());
  return std::move(*sums);
}

Status Journal::SaveLedger(ItemId id, Generation generation, const ExtentMap& served) {
  const std::string ranges = EncodeRanges(served);
  return save_ledger_.Bind(Signed(id)).Bind(Signed(generation)).Bind(ranges).Run();
}

Result<std::optional<ExtentMap>> Journal::LoadLedger(ItemId id, Generation generation) {
  const auto more = load_ledger_.Bind(Signed(id)).Bind(Signed(generation)).Next();
  if (!more) return Fail(more.error());
  if (!*more) return std::nullopt;
  auto ranges = DecodeRanges(load_ledger_.Text(0));
  load_ledger_.Reset();
  if (!ranges) return Fail(EIO, "journal: a ledger of served ranges is damaged");
  return std::move(*ranges);
}

Status Journal::DropLedger(ItemId id) { return delete_ledger_.Bind(Signed(id)).Run(); }

Status Journal::PutIntent(const Intent& intent) {
  const std::string source = EncodeIfAny(intent.source);
  const std::string target = EncodeIfAny(intent.target);
  put_intent_.Bind(Signed(intent.id)).Bind(static_cast<int64_t>(intent.kind));
  put_intent_.Bind(static_cast<int64_t>(intent.what)).Bind(intent.newer_here ? 1 : 0);
  put_intent_.Bind(intent.folder).Bind(intent.from).Bind(intent.to);
  put_intent_.Bind(intent.passing).Bind(intent.aside).Bind(source).Bind(target);
  put_intent_.Bind(Signed(intent.source_item)).Bind(Signed(intent.target_item));
  put_intent_.Bind(intent.closed_ns).Bind(intent.remote_from).Bind(intent.remote_to);
  return put_intent_.Bind(intent.begun ? 2 : intent.deferred ? 1 : 0).Run();
}

Status Journal::DropIntent(uint64_t id) { return drop_intent_.Bind(Signed(id)).Run(); }

Status Journal::PutGone(const GoneRow& gone) {
  const std::string identity = EncodeIfAny(gone.identity);
  put_gone_.Bind(gone.path).Bind(identity).Bind(static_cast<int64_t>(gone.kind));
  return put_gone_.Bind(gone.since_ns).Run();
}

Status Journal::DropGone(const std::string& path) { return drop_gone_.Bind(path).Run(); }

Status Journal::DropTree(const std::string& path) {
  const std::string begin = BeneathBegin(path);
  const std::string end = BeneathEnd(path);
  if (auto done = DropGone(path); !done) return done;
  if (auto done = DropMemory(path); !done) return done;
  if (auto done = drop_gone_beneath_.Bind(begin).Bind(end).Run(); !done) return done;
  return drop_memory_beneath_.Bind(path).Bind(begin).Bind(end).Run();
}

Status Journal::MoveTree(const std::string& from, const std::string& to) {
  const std::string begin = BeneathBegin(from);
  const std::string end = BeneathEnd(from);
  const auto rest = static_cast<int64_t>(from.size() + 1);  // substr counts from 1
  if (auto done = move_gone_.Bind(to).Bind(from).Run(); !done) return done;
  if (auto done = move_gone_beneath_.Bind(to).Bind(rest).Bind(begin).Bind(end).Run(); !done) {
    return done;
  }
  move_memory_.Bind(ParentOf(to)).Bind(NameOf(to)).Bind(ParentOf(from)).Bind(NameOf(from));
  if (auto done = move_memory_.Run(); !done) return done;
  return move_memory_beneath_.Bind(to).Bind(rest).Bind(from).Bind(begin).Bind(end).Run();
}

}  // namespace outboxfs::cache
