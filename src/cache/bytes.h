// What can be learned of a backing file by its path. Thread-safe.
#pragma once

#include <string>

#include "cache/row.h"
#include "common/result.h"

namespace outboxfs::cache {

struct BytesState {
  Mark mark;
  uint64_t disk_bytes = 0;
  bool foreign_writer = false;
};

// REQUIRES: this process has no writable descriptor of the file. ENOENT: it is missing.
Result<BytesState> InspectBytes(const std::string& path);
// May the bytes go, or be believed? Nobody writes, and they are as they were at `seal`
// (docs/ARCHITECTURE.md, "Closing and sealing").
bool BytesAreAsSealed(const std::string& path, const Mark& seal);
// While a file is open its backing file's times are shown (docs/ARCHITECTURE.md, "Passthrough").
Status SetBytesTimes(const std::string& path, const Attr& attr);

}  // namespace outboxfs::cache
