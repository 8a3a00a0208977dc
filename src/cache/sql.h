// SQLite in the words of this program: statements that bind in order and give a Result. Only the
// journal uses it. Not thread-safe: the journal's owner serialises.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <string>
#include <string_view>

#include "common/result.h"

namespace outboxfs::cache {

struct CloseDatabase {
  void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;

// ENOSPC, EROFS or EIO, with SQLite's own words.
Error SqlError(sqlite3* db, std::string_view what);
Result<Database> OpenDatabase(const std::string& path);
Status Execute(sqlite3* db, const std::string& sql);

// A prepared statement. Values are bound in the order of the question marks; texts must live until
// Run or the end of the rows.
class Statement {
 public:
  Statement() = default;
  Status Prepare(sqlite3* db, std::string_view sql);

  Statement& Bind(int64_t value);
  Statement& Bind(std::string_view value);
  Statement& BindBlob(std::string_view value);
  Statement& BindNull();

  // Executes a statement without rows; ready to be bound again afterwards.
  Status Run();

  // Rows: `while (true) { auto more = s.Next(); if (!more) fail; if (!*more) break; … }`. After the
  // last one, or after Reset, ready to be bound again.
  Result<bool> Next();
  int64_t Int(int column) const;
  uint64_t Unsigned(int column) const { return static_cast<uint64_t>(Int(column)); }
  std::string_view Text(int column) const;  // also blobs; until the next call of Next or Reset
  bool IsNull(int column) const;
  void Reset();

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
  int next_ = 1;  // the question mark that is bound next
};

}  // namespace outboxfs::cache
