#include "cache/staged_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "cache/row.h"

namespace outboxfs::cache {
StagedFile::StagedFile(ItemId id, std::string path, FileDescriptor read_fd)
    : id_(id), path_(std::move(path)), read_fd_(std::move(read_fd)) {}

Result<std::shared_ptr<StagedFile>> StagedFile::Open(ItemId id, std::string path) {
  auto fd = disk::Open(path, O_RDONLY);
  if (!fd) return Fail(fd.error());
  return std::shared_ptr<StagedFile>(new StagedFile(id, std::move(path), std::move(*fd)));
}

Result<size_t> StagedFile::Read(std::span<std::byte> out, uint64_t offset) const {
  return disk::ReadAt(read_fd_.get(), out, offset);
}

Result<struct stat> StagedFile::Stat() const { return disk::Stat(read_fd_.get()); }

Status StagedFile::Write(std::span<const std::byte> data, uint64_t offset) {
  return disk::WriteAt(write_fd_.get(), data, offset);
}

Status StagedFile::WriteFetched(std::span<const std::byte> data, uint64_t offset) {
  auto fd = disk::Open("/proc/self/fd/" + std::to_string(read_fd_.get()), O_WRONLY);
  if (!fd) return Fail(fd.error());
  const auto before = Stat();
  if (!before) return Fail(before.error());
  auto written = disk::WriteAt(fd->get(), data, offset);
  const timespec times[2] = {before->st_atim, before->st_mtim};
  if (::futimens(fd->get(), times) < 0 && written) {
    return FailErrno(errno, "set times of staged file");
  }
  return written;
}

Status StagedFile::Truncate(uint64_t size) { return disk::Truncate(write_fd_.get(), size); }

Status StagedFile::Allocate(int mode, uint64_t offset, uint64_t length) {
  while (::fallocate(write_fd_.get(), mode, static_cast<off_t>(offset),
                     static_cast<off_t>(length)) < 0) {
    if (errno != EINTR) return FailErrno(errno, "fallocate staged file");
  }
  return {};
}

Status StagedFile::SetTimes(int64_t atime_ns, int64_t mtime_ns) {
  const timespec times[2] = {ToTimespec(atime_ns), ToTimespec(mtime_ns)};
  if (::futimens(write_fd_.get(), times) < 0) return FailErrno(errno, "set times of staged file");
  return {};
}

Status StagedFile::Sync() { return disk::DataSync(read_fd_.get()); }

Status StagedFile::OpenForWriting() {
  MutexLock lock(writers_mu_);
  if (writers_ == 0) {
    // Through /proc: right also when the name was unlinked since.
    auto fd = disk::Open("/proc/self/fd/" + std::to_string(read_fd_.get()), O_RDWR);
    if (!fd) return Fail(fd.error());
    write_fd_ = std::move(*fd);
  }
  ++writers_;
  return {};
}

void StagedFile::CloseForWriting() {
  MutexLock lock(writers_mu_);
  if (--writers_ == 0) write_fd_.Close();
}

}  // namespace outboxfs::cache
