#include "cache/owner.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <fstream>
#include <span>
#include <sstream>

#include "common/log.h"
#include "common/process.h"

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

// "PID\nMOUNTPOINT\n"
Owner ReadOwner(int fd) {
  std::array<char, 32 + PATH_MAX> text{};
  const auto size = disk::ReadAt(fd, std::as_writable_bytes(std::span(text)), 0);
  const std::string note(text.data(), size ? *size : 0);
  Owner owner;
  const auto [end, error] = std::from_chars(note.data(), note.data() + note.size(), owner.pid);
  const size_t start = static_cast<size_t>(end - note.data()) + 1;
  if (start < note.size()) owner.mountpoint = note.substr(start, note.size() - 1 - start);
  return owner;
}

std::string DescribeOwner(const Owner& owner) {
  if (owner.pid <= 0) return "in use by another outboxfs";  // which just begins
  if (!IsKilled(owner.pid)) {
    return fmt::format("in use by another outboxfs (pid {})", owner.pid);
  }
  return fmt::format("held by a killed outboxfs (pid {}): `umount -f {}` frees it", owner.pid,
                     owner.mountpoint);
}

// "1: FLOCK  ADVISORY  WRITE 24492 fe:01:1234 0 EOF"
bool IsLockedBy(pid_t pid, ino_t ino) {
  std::ifstream locks("/proc/locks");
  const std::string inode = fmt::format(":{}", ino);
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number;
    std::string kind;
    std::string advisory;
    std::string mode;
    std::string holder;
    std::string file;
    words >> number >> kind >> advisory >> mode >> holder >> file;
    if (kind == "FLOCK" && holder == std::to_string(pid) && file.ends_with(inode)) return true;
  }
  return false;
}

}  // namespace

Result<FileDescriptor> TakeOwnership(const std::string& directory, const std::string& lock_path,
                                     const std::string& mountpoint) {
  if (auto made = disk::MakeDirs(directory); !made) return Fail(made.error());
  if (auto good = CheckDirectory(directory); !good) return Fail(good.error());
  auto lock = disk::Open(lock_path, O_RDWR | O_CREAT);
  if (!lock) return lock;
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) return FailErrno(errno, "lock " + lock_path);
    return Fail(EBUSY, fmt::format("cache directory {} is {}", directory,
                                   DescribeOwner(ReadOwner(lock->get()))));
  }
  const std::string note = fmt::format("{}\n{}\n", ::getpid(), mountpoint);
  if (auto cut = disk::Truncate(lock->get(), 0); !cut) return Fail(cut.error());
  if (auto put = disk::WriteAt(lock->get(), std::as_bytes(std::span(note)), 0); !put) {
    return Fail(put.error());
  }
  return lock;
}

std::optional<Owner> OwnerOf(const std::string& lock_path) {
  const auto lock = disk::Open(lock_path, O_RDONLY);
  if (!lock) return std::nullopt;
  const auto stat = disk::Stat(lock->get());
  Owner owner = ReadOwner(lock->get());
  if (!stat || owner.pid <= 0 || !IsLockedBy(owner.pid, stat->st_ino)) return std::nullopt;
  return owner;
}

}  // namespace outboxfs::cache
