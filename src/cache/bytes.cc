#include "cache/bytes.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "cache/writer_probe.h"
#include "common/disk.h"

namespace outboxfs::cache {

Result<BytesState> InspectBytes(const std::string& path) {
  auto fd = disk::Open(path, O_RDONLY);
  if (!fd) return Fail(fd.error());
  auto writer = HasForeignWriter(fd->get());
  if (!writer) return Fail(writer.error());
  auto st = disk::Stat(fd->get());
  if (!st) return Fail(st.error());
  return BytesState{Mark::Of(*st), static_cast<uint64_t>(st->st_blocks) * 512, *writer};
}

bool BytesAreAsSealed(const std::string& path, const Mark& seal) {
  const auto bytes = InspectBytes(path);
  return bytes && !bytes->foreign_writer && bytes->mark == seal;
}

Status SetBytesTimes(const std::string& path, const Attr& attr) {
  const timespec times[2] = {ToTimespec(attr.atime_ns), ToTimespec(attr.mtime_ns)};
  if (::utimensat(AT_FDCWD, path.c_str(), times, 0) < 0) {
    return FailErrno(errno, "set times of " + path);
  }
  return {};
}

}  // namespace outboxfs::cache
