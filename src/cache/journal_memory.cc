// Attribute memory: what stays known of files whose bytes are only on the server. A row's `used` is
// the number of rows that had been put when it was last put or, roughly, asked for.
#include <algorithm>

#include "cache/codec.h"
#include "cache/journal.h"
#include "cache/paths.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// How far a row's `used` may lag behind, and how much is trimmed at once, in parts of the limit:
// what is looked at often costs a write only now and then.
constexpr int64_t kLagParts = 4;
constexpr int64_t kTrimParts = 100;

}  // namespace

Status Journal::PrepareMemory() {
  const std::pair<Statement*, std::string_view> statements[] = {
      {&put_memory_, "INSERT OR REPLACE INTO memory VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?)"},
      {&drop_memory_, "DELETE FROM memory WHERE parent=? AND name=?"},
      {&find_memory_, "SELECT * FROM memory WHERE parent=? AND name=?"},
      {&memories_in_, "SELECT * FROM memory WHERE parent=?"},
      {&touch_memory_, "UPDATE memory SET used=? WHERE parent=? AND name=?"},
      {&touch_memories_, "UPDATE memory SET used=? WHERE parent=?"},
      {&trim_memory_,
       "DELETE FROM memory WHERE (parent,name) IN "
       "(SELECT parent,name FROM memory WHERE confirmed=1 ORDER BY used LIMIT ?)"},
  };
  for (const auto& [statement, sql] : statements) {
    if (auto done = statement->Prepare(db_.get(), sql); !done) return done;
  }
  const auto count = AskNumber("SELECT count(*) FROM memory");
  const auto used = AskNumber("SELECT max(used) FROM memory");
  if (!count) return Fail(count.error());
  if (!used) return Fail(used.error());
  memories_ = *count;
  uses_ = *used;
  return {};
}

Result<int64_t> Journal::AskNumber(std::string_view sql) {
  Statement query;
  if (auto done = query.Prepare(db_.get(), sql); !done) return Fail(done.error());
  const auto more = query.Next();
  if (!more) return Fail(more.error());
  return *more ? query.Int(0) : 0;
}

Status Journal::PutMemory(const Memory& memory) {
  const std::string identity = EncodeIdentity(memory.identity);
  put_memory_.Bind(ParentOf(memory.path)).Bind(NameOf(memory.path));
  put_memory_.Bind(static_cast<int64_t>(memory.ino)).Bind(static_cast<int64_t>(memory.kind));
  BindAttr(put_memory_, memory.attr);
  put_memory_.Bind(identity).Bind(memory.confirmed ? 1 : 0).Bind(++uses_);
  if (auto put = put_memory_.Run(); !put) return put;
  return ++memories_ > memory_limit_ ? TrimMemory() : Status();
}

Status Journal::TrimMemory() {
  const auto count = AskNumber("SELECT count(*) FROM memory");  // some were put in another's place
  if (!count) return Fail(count.error());
  memories_ = *count;
  if (memories_ <= memory_limit_) return {};
  const int64_t surplus = memories_ - memory_limit_ + memory_limit_ / kTrimParts;
  if (auto trimmed = trim_memory_.Bind(surplus).Run(); !trimmed) return trimmed;
  const auto left = AskNumber("SELECT count(*) FROM memory");
  if (!left) return Fail(left.error());
  memories_ = *left;
  return {};
}

Status Journal::DropMemory(const std::string& path) {
  return drop_memory_.Bind(ParentOf(path)).Bind(NameOf(path)).Run();
}

Result<std::optional<Memory>> Journal::FindMemory(const std::string& path) {
  find_memory_.Bind(ParentOf(path)).Bind(NameOf(path));
  auto memories = ReadMemories(find_memory_);
  if (!memories) return Fail(memories.error());
  if (memories->empty()) return std::nullopt;
  if (least_used_ < uses_ - memory_limit_ / kLagParts) {
    const auto touched = touch_memory_.Bind(uses_).Bind(ParentOf(path)).Bind(NameOf(path)).Run();
    if (!touched) Log::Debug("{}", touched.error().text);
  }
  return std::move(memories->front());
}

Result<std::vector<Memory>> Journal::MemoriesIn(const std::string& dir) {
  auto memories = ReadMemories(memories_in_.Bind(dir));
  if (memories && least_used_ < uses_ - memory_limit_ / kLagParts) {
    if (auto touched = touch_memories_.Bind(uses_).Bind(dir).Run(); !touched) {
      Log::Debug("{}", touched.error().text);
    }
  }
  return memories;
}

}  // namespace outboxfs::cache
