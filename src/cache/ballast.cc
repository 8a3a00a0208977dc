#include "cache/ballast.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/disk.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

constexpr uint64_t kShare = 16;      // of the disk
constexpr uint64_t kNearlyFull = 4;  // less is free than this part of the ballast
constexpr uint64_t kMuchRoom = 2;    // so many ballasts are free, and a bit

// Blocks beyond the end of the file, which its writer then needs not ask for. 0 or an errno.
int Reserve(const std::string& path, uint64_t size) {
  const auto file = disk::Open(path, O_RDWR);
  if (!file) return file.error().code;
  const auto stat = disk::Stat(file->get());
  if (!stat) return stat.error().code;
  if (::fallocate(file->get(), FALLOC_FL_KEEP_SIZE, 0, stat->st_size + static_cast<off_t>(size)) <
      0) {
    return errno;
  }
  return 0;
}

struct Room {
  uint64_t total = 0;  // bytes
  uint64_t free = 0;
};

Room RoomAt(const std::string& path) {
  struct statvfs st {};
  const std::string dir = path.substr(0, path.rfind('/'));
  if (::statvfs(dir.c_str(), &st) < 0) return {};
  const bool root = ::geteuid() == 0;
  return {st.f_blocks * st.f_frsize, (root ? st.f_bfree : st.f_bavail) * st.f_frsize};
}

}  // namespace

Ballast::Ballast(std::string path, std::string journal_path)
    : path_(std::move(path)), journal_path_(std::move(journal_path)) {
  laid_in_ = ::access(path_.c_str(), F_OK) == 0;
}

void Ballast::Watch() {
  if (impossible_) return;
  const Room room = RoomAt(path_);
  if (room.total == 0) return;
  size_ = std::min(kMost, room.total / kShare);
  const bool nearly_full = room.free < size_ / kNearlyFull;
  const bool much_room = room.free > kMuchRoom * size_ + size_ / kNearlyFull;
  if (laid_in_ && nearly_full) GiveUp();
  if (!laid_in_ && much_room) LayIn();
  short_ = !laid_in_ && !impossible_;
}

void Ballast::LayIn() {
  const auto file = disk::Open(path_, O_RDWR | O_CREAT);
  if (!file) return;
  if (::fallocate(file->get(), 0, 0, static_cast<off_t>(size_)) == 0) {
    laid_in_ = true;
    if (short_) Log::Notice("the cache disk has room again");
    return;
  }
  impossible_ = errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL;
  (void)disk::Remove(path_);
  if (impossible_) Log::Info("{} cannot be preallocated: a full cache disk stops uploads", path_);
}

// Most of it to the log, a bit stays for the log's index and the database.
void Ballast::GiveUp() {
  if (const Status gone = disk::Remove(path_); !gone) return Log::Error("{}", gone.error().text);
  laid_in_ = false;
  Log::Warning("the cache disk is full: nothing new is taken until uploads have made room");
  const int failed = Reserve(journal_path_ + "-wal", size_ - size_ / kNearlyFull);
  if (failed != 0 && failed != ENOENT) Log::Info("room for the journal's log: error {}", failed);
}

}  // namespace outboxfs::cache
