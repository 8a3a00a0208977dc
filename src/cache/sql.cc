#include "cache/sql.h"

#include <cerrno>

#include "common/crash_point.h"
#include "common/log.h"

namespace outboxfs::cache {

Error SqlError(sqlite3* db, std::string_view what) {
  const int code = sqlite3_errcode(db) & 0xff;
  int error = EIO;
  if (code == SQLITE_FULL) error = ENOSPC;
  if (code == SQLITE_READONLY) error = EROFS;
  if (code == SQLITE_IOERR && sqlite3_system_errno(db) == ENOSPC) error = ENOSPC;
  return Error{error, Retry::kBackoff, fmt::format("journal: {}: {}", what, sqlite3_errmsg(db))};
}

Result<Database> OpenDatabase(const std::string& path) {
  sqlite3* raw = nullptr;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database db(raw);
  if (code != SQLITE_OK) {
    return Fail(db ? SqlError(db.get(), "open " + path) : Error{ENOMEM, {}, "journal: no memory"});
  }
  sqlite3_extended_result_codes(db.get(), 1);
  // Only a checkpoint of our own can be in the way, and only for moments.
  sqlite3_busy_timeout(db.get(), 5000);
  return db;
}

Status Execute(sqlite3* db, const std::string& sql) {
  if (sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK) {
    return Fail(SqlError(db, sql.substr(0, sql.find('\n'))));
  }
  return {};
}

Status Statement::Prepare(sqlite3* db, std::string_view sql) {
  sqlite3_stmt* raw = nullptr;
  if (sqlite3_prepare_v3(db, sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                         &raw, nullptr) != SQLITE_OK) {
    return Fail(SqlError(db, sql));
  }
  statement_.reset(raw);
  return {};
}

Statement& Statement::Bind(int64_t value) {
  sqlite3_bind_int64(statement_.get(), next_++, value);
  return *this;
}

Statement& Statement::Bind(std::string_view value) {
  sqlite3_bind_text64(statement_.get(), next_++, value.data() == nullptr ? "" : value.data(),
                      value.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}

Statement& Statement::BindBlob(std::string_view value) {
  sqlite3_bind_blob64(statement_.get(), next_++, value.data(), value.size(), SQLITE_STATIC);
  return *this;
}

Statement& Statement::BindNull() {
  sqlite3_bind_null(statement_.get(), next_++);
  return *this;
}

Status Statement::Run() {
  CrashPoint("write");
  const auto more = Next();
  if (!more) return Fail(more.error());
  CrashPoint("written");
  Reset();
  return {};
}

Result<bool> Statement::Next() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) {
    Reset();
    return false;
  }
  const std::string_view sql = sqlite3_sql(statement_.get());
  Error error = SqlError(sqlite3_db_handle(statement_.get()), sql.substr(0, sql.find('(')));
  Reset();
  return Fail(std::move(error));
}

int64_t Statement::Int(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string_view Statement::Text(int column) const {
  const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, static_cast<size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

bool Statement::IsNull(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

void Statement::Reset() {
  sqlite3_reset(statement_.get());
  next_ = 1;
}

}  // namespace outboxfs::cache
