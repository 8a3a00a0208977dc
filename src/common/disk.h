// The disk seam: every durable byte of the program goes through these few functions, so that each
// errno becomes an Error at one place. All functions are thread-safe and retry EINTR; offsets and
// lengths are bytes.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "common/result.h"

namespace outboxfs {

// Owns a file descriptor; closes it when destroyed.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { Close(); }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void Close();

 private:
  int fd_ = -1;
};

namespace disk {

// `flags` as open(2); O_CLOEXEC is added.
Result<FileDescriptor> Open(const std::string& path, int flags, mode_t mode = 0600);
// Up to out.size() bytes at `offset`; fewer only at the end of the file.
Result<size_t> ReadAt(int fd, std::span<std::byte> out, uint64_t offset);
// All of `data`, or an error.
Status WriteAt(int fd, std::span<const std::byte> data, uint64_t offset);
Status Truncate(int fd, uint64_t size);
Status DataSync(int fd);
Result<struct stat> Stat(int fd);
// Makes `path` and its missing parents with `mode`; an existing directory is success.
Status MakeDirs(const std::string& path, mode_t mode = 0700);
// Makes the names inside the directory durable.
Status SyncDir(const std::string& path);
Status Rename(const std::string& from, const std::string& to);
// A missing file is success.
Status Remove(const std::string& path);
// Bytes that an unprivileged writer can still use on the file system of `path`.
Result<uint64_t> FreeBytes(const std::string& path);

}  // namespace disk
}  // namespace outboxfs
