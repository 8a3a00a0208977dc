// What the journal keeps of one item: an Item in a shape that is small in memory (a hundred
// thousand of them wait without weight), plus what only this room needs. Plain values.
#pragma once

#include <sys/stat.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "cache/item.h"

namespace outboxfs::cache {

// The state of a backing file by which a later change is noticed. All zero: none was taken.
struct Mark {
  uint64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  bool operator==(const Mark&) const = default;
  bool taken() const { return ctime_ns != 0; }
  static Mark Of(const struct stat& st);
};

// The fields that most items never have.
struct RareFields {
  Digests digests;
  std::string upload_path;
  std::string upload_id;
  std::optional<Identity> replaced;
  std::optional<Identity> sent;
  std::string reason;
  bool operator==(const RareFields&) const = default;
};

struct Row {
  ItemId id = 0;
  Ino ino = 0;
  std::string path;
  uint64_t size = 0;
  uint64_t disk_bytes = 0;  // st_blocks of the backing file, when last looked at
  Attr attr;
  Generation generation = 0;
  Generation upload_generation = 0;
  int64_t sealed_ns = 0;
  int64_t changed_ns = 0;
  int64_t not_before_ns = 0;
  Mark seal;    // at the last seal (or completed hydration)
  Mark closed;  // at the last FLUSH of a changed handle
  Mark synced;  // when the bytes were last made durable before a seal
  int attempts = 0;
  int error_code = 0;
  ItemKind kind = ItemKind::kFile;
  State state = State::kOpen;
  State before = State::kOpen;  // of a kOpen item: what it was before BeginWrite
  bool partial = false;         // Presence knows which bytes are here
  bool clean = false;           // the generation (or hydrated file) equals the remote file
  bool attr_changed = false;    // since it became clean: to be remembered when it is evicted
  bool renamed = false;   // itself, or a person wants it in place, since the upload was started
  bool based = false;     // these bytes are a change of the version `replaced`
  bool accepted = false;  // a person vouches for what stands on the server
  bool kept = false;      // see Item::kept
  bool stands = false;    // see Item::stands

  // Writes changed the times behind the row's back: stat of a closed file shows the row
  // (docs/ARCHITECTURE.md, "Passthrough").
  void TakeTimes(const Mark& mark) {
    attr_changed |= attr.mtime_ns != mark.mtime_ns;
    attr.mtime_ns = mark.mtime_ns;
    attr.ctime_ns = std::max(attr.ctime_ns, mark.ctime_ns);
  }

  const RareFields& rare() const;
  template <typename Edit>
  void EditRare(Edit edit) {
    RareFields next = rare();
    edit(next);
    rare_ = next == RareFields{} ? nullptr : std::make_shared<const RareFields>(std::move(next));
  }

 private:
  std::shared_ptr<const RareFields> rare_;  // null: all empty
};

// A name that was deleted or renamed away here, and what stood there on the server.
struct GoneRow {
  std::string path;
  ItemKind kind = ItemKind::kFile;
  std::optional<Identity> identity;  // nullopt: not known
  int64_t since_ns = 0;              // wall time
};

Item ToItem(const Row& row);
timespec ToTimespec(int64_t ns);

}  // namespace outboxfs::cache
