// Reading the journal back. The database was on a disk and may have been touched: every value is
// checked before it becomes a state, a path or a size.
#include <algorithm>
#include <cerrno>

#include "cache/codec.h"
#include "cache/journal.h"
#include "cache/paths.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

// Reads the columns of one row in order and remembers whether one was out of its bounds.
class Columns {
 public:
  explicit Columns(const Statement& statement) : statement_(statement) {}

  bool good() const { return good_; }
  void Refuse() { good_ = false; }

  int64_t Int() { return statement_.Int(column_++); }
  uint64_t Unsigned() {
    const int64_t value = Int();
    good_ &= value >= 0;
    return static_cast<uint64_t>(value);
  }
  int64_t Between(int64_t low, int64_t high) {
    const int64_t value = Int();
    good_ &= low <= value && value <= high;
    return value;
  }
  std::string Text() { return std::string(statement_.Text(column_++)); }
  Mark ReadMark() {
    Mark mark;
    mark.size = Unsigned();
    mark.mtime_ns = Int();
    mark.ctime_ns = Int();
    return mark;
  }
  Attr ReadAttr() {
    Attr attr;
    attr.mode = static_cast<mode_t>(Between(0, 07777));
    attr.uid = static_cast<uid_t>(Between(0, UINT32_MAX));
    attr.gid = static_cast<gid_t>(Between(0, UINT32_MAX));
    attr.atime_ns = Int();
    attr.mtime_ns = Int();
    attr.ctime_ns = Int();
    return attr;
  }

 private:
  const Statement& statement_;
  int column_ = 0;
  bool good_ = true;
};

void ReadFlags(Columns& columns, Row& row) {
  const int64_t flags = columns.Between(0, 255);
  row.partial = (flags & 1) != 0;
  row.clean = (flags & 2) != 0;
  row.attr_changed = (flags & 4) != 0;
  row.renamed = (flags & 8) != 0;
  row.based = (flags & 16) != 0;
  row.accepted = (flags & 32) != 0;
  row.kept = (flags & 64) != 0;
  row.stands = (flags & 128) != 0;
}

// "" is none.
std::optional<Identity> ReadIdentity(Columns& columns) {
  const std::string text = columns.Text();
  if (text.empty()) return std::nullopt;
  auto identity = DecodeIdentity(text);
  if (!identity) columns.Refuse();
  return identity;
}

void ReadRare(Columns& columns, Row& row) {
  RareFields rare;
  const auto digests = DecodeDigests(columns.Text());
  rare.upload_path = columns.Text();
  rare.upload_id = columns.Text();
  rare.replaced = ReadIdentity(columns);
  rare.reason = columns.Text();
  rare.sent = ReadIdentity(columns);
  if (!digests) return columns.Refuse();
  rare.digests = *digests;
  row.EditRare([&](RareFields& fields) { fields = std::move(rare); });
}

bool ReadRow(const Statement& query, Row& row) {
  constexpr auto kLastState = static_cast<int64_t>(State::kHydrating);
  Columns columns(query);
  row.id = columns.Unsigned();
  row.ino = columns.Unsigned();
  row.path = columns.Text();
  row.kind = static_cast<ItemKind>(columns.Between(0, 1));
  row.state = static_cast<State>(columns.Between(0, kLastState));
  row.before = static_cast<State>(columns.Between(0, kLastState));
  ReadFlags(columns, row);
  row.size = columns.Unsigned();
  row.disk_bytes = columns.Unsigned();
  row.attr = columns.ReadAttr();
  row.generation = columns.Unsigned();
  row.upload_generation = columns.Unsigned();
  row.sealed_ns = columns.Int();
  row.changed_ns = columns.Int();
  row.not_before_ns = columns.Int();
  row.seal = columns.ReadMark();
  row.closed = columns.ReadMark();
  row.synced = columns.ReadMark();
  row.attempts = static_cast<int>(columns.Between(0, INT32_MAX));
  row.error_code = static_cast<int>(columns.Between(0, INT32_MAX));
  ReadRare(columns, row);
  return columns.good() && row.id != 0 && IsNormalPath(row.path) && row.path != "/";
}

bool ReadMemory(const Statement& query, Memory& memory) {
  Columns columns(query);
  const std::string parent = columns.Text();
  const std::string name = columns.Text();
  memory.path = parent.empty() ? "/" : parent == "/" ? "/" + name : parent + "/" + name;
  memory.ino = columns.Unsigned();
  memory.kind = static_cast<ItemKind>(columns.Between(0, 1));
  memory.attr = columns.ReadAttr();
  const auto identity = DecodeIdentity(columns.Text());
  memory.confirmed = columns.Between(0, 1) != 0;
  if (!identity || !columns.good() || !IsNormalPath(memory.path)) return false;
  memory.identity = *identity;
  return true;
}

bool ReadGone(const Statement& query, GoneRow& gone) {
  Columns columns(query);
  gone.path = columns.Text();
  gone.identity = ReadIdentity(columns);
  gone.kind = static_cast<ItemKind>(columns.Between(0, 1));
  gone.since_ns = columns.Int();
  return columns.good() && IsNormalPath(gone.path);
}

bool ReadIntent(const Statement& query, Intent& intent) {
  Columns columns(query);
  intent.id = columns.Unsigned();
  intent.kind = static_cast<Intent::Kind>(columns.Between(0, 1));
  intent.what = static_cast<ItemKind>(columns.Between(0, 1));
  intent.newer_here = columns.Between(0, 1) != 0;
  intent.folder = columns.Text();
  intent.from = columns.Text();
  intent.to = columns.Text();
  intent.passing = columns.Text();
  intent.aside = columns.Text();
  intent.source = ReadIdentity(columns);
  intent.target = ReadIdentity(columns);
  intent.source_item = columns.Unsigned();
  intent.target_item = columns.Unsigned();
  intent.closed_ns = columns.Int();
  intent.remote_from = columns.Text();
  intent.remote_to = columns.Text();
  const int64_t deferred = columns.Between(0, 2);
  intent.deferred = deferred != 0;
  intent.begun = deferred == 2;
  const auto is_name = [](const std::string& name) {
    return name.empty() || (IsNormalPath("/" + name) && name.find('/') == std::string::npos);
  };
  const bool paths = IsNormalPath(intent.folder) && IsNormalPath(intent.from) &&
                     IsNormalPath(intent.remote_from) &&
                     (intent.kind == Intent::Kind::kRemove || IsNormalPath(intent.to)) &&
                     (intent.remote_to.empty() || IsNormalPath(intent.remote_to));
  return columns.good() && paths && is_name(intent.passing) && is_name(intent.aside);
}

tl::unexpected<Error> Damaged(std::string_view what) {
  return Fail(EIO, fmt::format("journal: damaged row: {}", what));
}

}  // namespace

Result<Journal::Contents> Journal::Load() {
  Contents contents;
  if (auto done = LoadRows(contents.rows); !done) return Fail(done.error());
  if (auto done = LoadOverlay(contents); !done) return Fail(done.error());
  if (auto done = LoadDoomed(contents.doomed); !done) return Fail(done.error());
  if (auto done = LoadExtents(contents.extents); !done) return Fail(done.error());
  if (auto done = LoadIntents(contents.intents); !done) return Fail(done.error());
  return contents;
}

Status Journal::LoadDoomed(std::vector<ItemId>& ids) {
  Statement query;
  if (auto done = query.Prepare(db_.get(), "SELECT id FROM doomed"); !done) return done;
  while (true) {
    const auto more = query.Next();
    if (!more) return Fail(more.error());
    if (!*more) return {};
    ids.push_back(query.Unsigned(0));
  }
}

Status Journal::LoadExtents(std::map<ItemId, ExtentMap>& extents) {
  Statement query;
  const char* const sql = "SELECT id,begin,end,kind FROM extents ORDER BY seq";
  if (auto done = query.Prepare(db_.get(), sql); !done) return done;
  while (true) {
    const auto more = query.Next();
    if (!more) return Fail(more.error());
    if (!*more) return {};
    const ByteRange range{query.Unsigned(1), query.Unsigned(2)};
    const int64_t kind = query.Int(3);
    if (range.begin >= range.end || kind < 0 || kind > static_cast<int64_t>(ExtentKind::kZero)) {
      return Damaged(fmt::format("an extent of item {}", query.Int(0)));
    }
    extents[query.Unsigned(0)].Set(range, static_cast<ExtentKind>(kind));
  }
}

Status Journal::LoadRows(std::vector<Row>& rows) {
  Statement query;
  if (auto done = query.Prepare(db_.get(), "SELECT count(*) FROM items"); !done) return done;
  const auto counted = query.Next();
  if (!counted) return Fail(counted.error());
  rows.reserve(query.Unsigned(0));
  if (auto done = query.Prepare(db_.get(), "SELECT * FROM items"); !done) return done;
  while (true) {
    const auto more = query.Next();
    if (!more) return Fail(more.error());
    if (!*more) return {};
    Row row;
    if (!ReadRow(query, row)) return Damaged(fmt::format("item {}", query.Int(0)));
    rows.push_back(std::move(row));
  }
}

Status Journal::LoadIntents(std::vector<Intent>& intents) {
  Statement query;
  auto done = query.Prepare(db_.get(), "SELECT * FROM intents ORDER BY id");
  if (!done) return done;
  while (true) {
    const auto more = query.Next();
    if (!more) return Fail(more.error());
    if (!*more) return {};
    Intent intent;
    if (!ReadIntent(query, intent)) return Damaged(fmt::format("intent {}", query.Int(0)));
    intents.push_back(std::move(intent));
  }
}

Status Journal::LoadGone(std::vector<GoneRow>& rows) {
  Statement query;
  auto done = query.Prepare(db_.get(), "SELECT path, identity, kind, since FROM gone");
  if (!done) return done;
  while (true) {
    const auto more = query.Next();
    if (!more) return Fail(more.error());
    if (!*more) return {};
    GoneRow gone;
    if (!ReadGone(query, gone)) return Damaged("a gone name");
    rows.push_back(std::move(gone));
  }
}

Status Journal::LoadOverlay(Contents& contents) {
  if (auto done = LoadGone(contents.gone); !done) return done;
  Statement query;
  if (auto done = query.Prepare(db_.get(), "SELECT * FROM memory WHERE confirmed=0"); !done) {
    return done;
  }
  auto memories = ReadMemories(query);
  if (!memories) return Fail(memories.error());
  contents.unconfirmed = std::move(*memories);
  return {};
}

Result<std::vector<Memory>> Journal::ReadMemories(Statement& query) {
  constexpr int kUsedColumn = 12;
  std::vector<Memory> memories;
  least_used_ = uses_;
  while (true) {
    const auto more = query.Next();
    if (!more) return Fail(more.error());
    if (!*more) return memories;
    least_used_ = std::min(least_used_, query.Int(kUsedColumn));
    Memory memory;
    if (!ReadMemory(query, memory)) {
      query.Reset();
      return Damaged("attribute memory of " + memory.path);
    }
    memories.push_back(std::move(memory));
  }
}

}  // namespace outboxfs::cache
