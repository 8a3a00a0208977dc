// Extended attributes, which no cloud keeps.
#include "cache/journal.h"

namespace outboxfs::cache {
namespace {

int64_t Signed(Ino ino) { return static_cast<int64_t>(ino); }

}  // namespace

Status Journal::PrepareXattrs() {
  // An inode number's row goes on many ways, and often another takes it on.
  auto cleaned = Execute(db_.get(),
                         "DELETE FROM xattrs WHERE ino NOT IN "
                         "(SELECT ino FROM items UNION ALL SELECT ino FROM memory)");
  if (!cleaned) return cleaned;
  const std::pair<Statement*, std::string_view> statements[] = {
      {&find_xattr_, "SELECT value FROM xattrs WHERE ino=? AND name=?"},
      {&xattr_names_, "SELECT name FROM xattrs WHERE ino=?"},
      {&put_xattr_, "INSERT OR REPLACE INTO xattrs VALUES(?,?,?)"},
      {&drop_xattr_, "DELETE FROM xattrs WHERE ino=? AND name=?"},
      {&drop_xattrs_, "DELETE FROM xattrs WHERE ino=?"},
  };
  for (const auto& [statement, sql] : statements) {
    if (auto done = statement->Prepare(db_.get(), sql); !done) return done;
  }
  return {};
}

Result<std::optional<std::string>> Journal::FindXattr(Ino ino, const std::string& name) {
  const auto more = find_xattr_.Bind(Signed(ino)).Bind(name).Next();
  if (!more) return Fail(more.error());
  if (!*more) return std::nullopt;
  std::string value(find_xattr_.Text(0));
  find_xattr_.Reset();
  return value;
}

Result<std::vector<std::string>> Journal::XattrNames(Ino ino) {
  std::vector<std::string> names;
  xattr_names_.Bind(Signed(ino));
  while (true) {
    const auto more = xattr_names_.Next();
    if (!more) return Fail(more.error());
    if (!*more) return names;
    names.emplace_back(xattr_names_.Text(0));
  }
}

Status Journal::PutXattr(Ino ino, const std::string& name, std::string_view value) {
  return put_xattr_.Bind(Signed(ino)).Bind(name).BindBlob(value).Run();
}

Status Journal::DropXattr(Ino ino, const std::string& name) {
  return drop_xattr_.Bind(Signed(ino)).Bind(name).Run();
}

Status Journal::DropXattrs(Ino ino) { return drop_xattrs_.Bind(Signed(ino)).Run(); }

}  // namespace outboxfs::cache
