#include "cache/row.h"

namespace outboxfs::cache {
namespace {

int64_t ToNs(const timespec& time) {
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

Mark Mark::Of(const struct stat& st) {
  return {static_cast<uint64_t>(st.st_size), ToNs(st.st_mtim), ToNs(st.st_ctim)};
}

timespec ToTimespec(int64_t ns) {
  constexpr int64_t kSecond = 1'000'000'000;
  const int64_t rest = ((ns % kSecond) + kSecond) % kSecond;  // also of times before 1970
  return {.tv_sec = (ns - rest) / kSecond, .tv_nsec = rest};
}

const RareFields& Row::rare() const {
  static const RareFields empty;
  return rare_ ? *rare_ : empty;
}

Item ToItem(const Row& row) {
  Item item;
  item.id = row.id;
  item.ino = row.ino;
  item.kind = row.kind;
  item.path = row.path;
  item.state = row.state;
  item.size = row.size;
  item.partial = row.partial;
  item.attr = row.attr;
  item.generation = row.generation;
  item.sealed_ns = row.sealed_ns;
  item.changed_ns = row.changed_ns;
  item.upload_generation = row.upload_generation;
  item.renamed = row.renamed;
  item.based = row.based;
  item.accepted = row.accepted;
  item.kept = row.kept;
  item.stands = row.stands;
  item.attempts = row.attempts;
  item.not_before_ns = row.not_before_ns;
  item.error_code = row.error_code;
  const RareFields& rare = row.rare();
  item.digests = rare.digests;
  item.upload_path = rare.upload_path;
  item.upload_id = rare.upload_id;
  item.replaced = rare.replaced;
  item.sent = rare.sent;
  item.reason = rare.reason;
  return item;
}

}  // namespace outboxfs::cache
