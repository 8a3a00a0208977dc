#include "cache/owner.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <span>

#include "common/log.h"

namespace outboxfs::cache {
namespace {

Status CheckDirectory(const std::string& directory) {
  struct stat st {};
  if (::stat(directory.c_str(), &st) < 0) return FailErrno(errno, "cache directory " + directory);
  if (st.st_uid != ::geteuid()) {
    return Fail(EACCES, fmt::format("cache directory {} belongs to user {}, not to {}", directory,
                                    st.st_uid, ::geteuid()));
  }
  if (::access(directory.c_str(), R_OK | W_OK | X_OK) < 0) {
    return FailErrno(errno, "cache directory " + directory);
  }
  // What is staged is nobody else's business, even where the directory was made by hand.
  if ((st.st_mode & 077) != 0 && ::chmod(directory.c_str(), 0700) < 0) {
    return FailErrno(errno, "chmod " + directory);
  }
  return {};
}

std::string ReadPid(int fd) {
  std::array<char, 32> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  std::string pid(text.data(), n > 0 ? static_cast<size_t>(n) : 0);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "unknown" : pid;
}

}  // namespace

Result<FileDescriptor> TakeOwnership(const std::string& directory, const std::string& lock_path) {
  if (auto made = disk::MakeDirs(directory); !made) return Fail(made.error());
  if (auto good = CheckDirectory(directory); !good) return Fail(good.error());
  auto lock = disk::Open(lock_path, O_RDWR | O_CREAT);
  if (!lock) return lock;
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) return FailErrno(errno, "lock " + lock_path);
    return Fail(EBUSY, fmt::format("cache directory {} is in use by another outboxfs (pid {})",
                                   directory, ReadPid(lock->get())));
  }
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (auto cut = disk::Truncate(lock->get(), 0); !cut) return Fail(cut.error());
  if (auto put = disk::WriteAt(lock->get(), std::as_bytes(std::span(pid)), 0); !put) {
    return Fail(put.error());
  }
  return lock;
}

}  // namespace outboxfs::cache
