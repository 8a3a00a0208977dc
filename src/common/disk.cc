#include "common/disk.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace outboxfs {
namespace {

// Repeats a system call that a signal interrupted.
template <typename Call>
auto RetryEintr(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    Close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void FileDescriptor::Close() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

namespace disk {

Result<FileDescriptor> Open(const std::string& path, int flags, mode_t mode) {
  const int fd = RetryEintr([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return FailErrno(errno, "open " + path);
  return FileDescriptor(fd);
}

Result<size_t> ReadAt(int fd, std::span<std::byte> out, uint64_t offset) {
  size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = RetryEintr([&] {
      return ::pread(fd, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    });
    if (n < 0) return FailErrno(errno, "read staged bytes");
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Status WriteAt(int fd, std::span<const std::byte> data, uint64_t offset) {
  size_t done = 0;
  while (done < data.size()) {
    const ssize_t n = RetryEintr([&] {
      return ::pwrite(fd, data.data() + done, data.size() - done,
                      static_cast<off_t>(offset + done));
    });
    if (n < 0) return FailErrno(errno, "write staged bytes");
    done += static_cast<size_t>(n);
  }
  return {};
}

Status Truncate(int fd, uint64_t size) {
  if (RetryEintr([&] { return ::ftruncate(fd, static_cast<off_t>(size)); }) < 0) {
    return FailErrno(errno, "truncate staged file");
  }
  return {};
}

Status DataSync(int fd) {
  if (RetryEintr([&] { return ::fdatasync(fd); }) < 0) return FailErrno(errno, "fdatasync");
  return {};
}

Result<struct stat> Stat(int fd) {
  struct stat st {};
  if (::fstat(fd, &st) < 0) return FailErrno(errno, "fstat");
  return st;
}

Status MakeDirs(const std::string& path, mode_t mode) {
  for (size_t end = 1; end <= path.size(); ++end) {
    if (end != path.size() && path[end] != '/') continue;
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), mode) < 0 && errno != EEXIST) {
      return FailErrno(errno, "mkdir " + part);
    }
  }
  struct stat st {};
  if (::stat(path.c_str(), &st) < 0) return FailErrno(errno, "stat " + path);
  if (!S_ISDIR(st.st_mode)) return FailErrno(ENOTDIR, path);
  return {};
}

Status SyncDir(const std::string& path) {
  auto dir = Open(path, O_RDONLY | O_DIRECTORY);
  if (!dir) return Fail(dir.error());
  if (RetryEintr([&] { return ::fsync(dir->get()); }) < 0) return FailErrno(errno, "fsync " + path);
  return {};
}

Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) return FailErrno(errno, "rename " + from);
  return {};
}

Status Remove(const std::string& path) {
  if (::unlink(path.c_str()) < 0 && errno != ENOENT) return FailErrno(errno, "unlink " + path);
  return {};
}

Result<uint64_t> FreeBytes(const std::string& path) {
  struct statvfs st {};
  if (::statvfs(path.c_str(), &st) < 0) return FailErrno(errno, "statvfs " + path);
  return static_cast<uint64_t>(st.f_bavail) * st.f_frsize;
}

}  // namespace disk
}  // namespace outboxfs
