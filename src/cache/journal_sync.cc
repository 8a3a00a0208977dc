#include <fcntl.h>

#include <algorithm>

#include "cache/journal.h"

namespace outboxfs::cache {

Result<WalBarrier> WalBarrier::Open(const std::string& wal_path) {
  auto wal = disk::Open(wal_path, O_RDONLY);
  if (!wal) return Fail(wal.error());
  return WalBarrier(std::move(*wal));
}

Result<Checkpointer> Checkpointer::Open(const std::string& journal_path) {
  auto db = OpenDatabase(journal_path);
  if (!db) return Fail(db.error());
  if (auto done = Execute(db->get(), "PRAGMA synchronous=NORMAL"); !done) return Fail(done.error());
  return Checkpointer(std::move(*db));
}

Result<uint64_t> Checkpointer::Checkpoint() {
  int pages = 0;
  int moved = 0;
  const int code =
      sqlite3_wal_checkpoint_v2(db_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, &pages, &moved);
  if (code != SQLITE_OK && code != SQLITE_BUSY) return Fail(SqlError(db_.get(), "checkpoint"));
  return static_cast<uint64_t>(std::max(0, pages - moved)) * Journal::kPageSize;
}

}  // namespace outboxfs::cache
