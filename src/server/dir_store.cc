#include "server/dir_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <utility>

#include "server/path.h"

namespace outboxfs::server {
namespace {

int64_t Nanoseconds(const struct statx_timestamp& time) {
  return time.tv_sec * 1'000'000'000 + time.tv_nsec;
}

struct CloseDir {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

// The parts of stat that HashMemory looks at.
struct stat StatOf(const struct statx& stx) {
  struct stat st {};
  st.st_ino = stx.stx_ino;
  st.st_size = static_cast<off_t>(stx.stx_size);
  st.st_mtim.tv_sec = stx.stx_mtime.tv_sec;
  st.st_mtim.tv_nsec = stx.stx_mtime.tv_nsec;
  return st;
}

bool IsLink(int folder, const std::string& name) {
  struct stat st {};
  return ::fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode);
}

bool Exists(int folder, const std::string& name) {
  struct stat st {};
  return ::fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0;
}

// Copies without moving the bytes through this program where the file system can.
Status CopyBytes(int from, int to, uint64_t size) {
  uint64_t done = 0;
  while (done < size) {
    const ssize_t n = ::copy_file_range(from, nullptr, to, nullptr, size - done, 0);
    if (n < 0) return FailErrno(errno, "copy known content");
    if (n == 0) return Fail(EIO, "copy known content: source is shorter than remembered");
    done += static_cast<uint64_t>(n);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<DirStore>> DirStore::Open(const std::string& directory) {
  if (Status made = disk::MakeDirs(directory, 0755); !made) return Fail(made.error());
  auto lock = disk::Open(directory, O_RDONLY | O_DIRECTORY);
  if (!lock) return Fail(lock.error());
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) < 0) {
    return Fail(EBUSY, directory + " is already served by another server");
  }
  return std::unique_ptr<DirStore>(new DirStore(directory, std::move(*lock)));
}

DirStore::DirStore(std::string directory, FileDescriptor lock)
    : directory_(std::move(directory)), lock_(std::move(lock)), hash_memory_(directory_) {}

DirStore::~DirStore() {
  // Stays when it still holds sessions.
  ::rmdir(PrivatePath("").c_str());
}

std::string DirStore::Local(const std::string& path) const {
  return path == "/" ? directory_ : directory_ + path;
}

std::string DirStore::PrivatePath(const std::string& name) const {
  return directory_ + "/" + std::string(kPrivateFolder) + "/" + name;
}

std::string DirStore::Place::ByHandle() const {
  return "/proc/self/fd/" + std::to_string(folder.get()) + "/" + name;
}

// One name at a time: an open with the whole path would follow links in its middle.
Result<FileDescriptor> DirStore::OpenFolder(const std::string& path) const {
  constexpr int kFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
  FileDescriptor folder(::openat(lock_.get(), ".", kFlags));
  if (!folder) return FailErrno(errno, "served directory");
  for (size_t begin = 1; begin < path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string name = NameIn(folder.get(), path.substr(begin, end - begin));
    FileDescriptor next(::openat(folder.get(), name.c_str(), kFlags));
    if (!next) {
      const int error = errno == ENOTDIR && IsLink(folder.get(), name) ? ENOENT : errno;
      return Fail(error, error == ENOTDIR ? "not a folder" : "folder not found");
    }
    folder = std::move(next);
    begin = end + 1;
  }
  return folder;
}

Result<DirStore::Place> DirStore::PlaceOf(const std::string& path) const {
  Result<FileDescriptor> folder = OpenFolder(ParentOf(path));
  if (!folder) return Fail(folder.error());
  const std::string name = path == "/" ? "." : NameIn(folder->get(), NameOf(path));
  return Place{std::move(*folder), name};
}

std::string DirStore::NameIn(int folder, const std::string& name) const {
  struct stat st {};
  if (!ignore_case_ || ::fstatat(folder, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) return name;
  const int fd = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDir> dir(fd < 0 ? nullptr : ::fdopendir(fd));
  if (!dir) return name;
  while (const dirent* item = ::readdir(dir.get())) {  // NOLINT(concurrency-mt-unsafe): own DIR
    if (::strcasecmp(item->d_name, name.c_str()) == 0) return item->d_name;
  }
  return name;
}

Result<Entry> DirStore::Find(const std::string& path) const {
  const Result<Place> place = PlaceOf(path);
  if (!place) return Fail(place.error());
  return Describe(*place, path);
}

Result<Entry> DirStore::Describe(const Place& place, const std::string& path) const {
  struct statx stx {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC;
  if (::statx(place.folder.get(), place.name.c_str(), flags, STATX_BASIC_STATS | STATX_BTIME,
              &stx) < 0) {
    return Fail(errno, errno == ENOENT ? "file not found" : "cannot read entry");
  }
  if (!S_ISREG(stx.stx_mode) && !S_ISDIR(stx.stx_mode)) return Fail(ENOENT, "file not found");
  Entry entry;
  entry.path = path;
  entry.is_directory = S_ISDIR(stx.stx_mode);
  entry.created_ns = Nanoseconds((stx.stx_mask & STATX_BTIME) != 0 ? stx.stx_btime : stx.stx_mtime);
  entry.modified_ns = Nanoseconds(stx.stx_mtime);
  entry.id = std::to_string(stx.stx_ino) + "-" +
             ((stx.stx_mask & STATX_BTIME) != 0 ? std::to_string(entry.created_ns) : "0");
  if (!entry.is_directory) {
    entry.size = stx.stx_size;
    entry.hashes = hash_memory_.Recall(place.ByHandle(), StatOf(stx));
  }
  return entry;
}

Status DirStore::List(const std::string& folder, size_t batch_size,
                      const std::function<bool(std::vector<Entry>)>& batch) const {
  Place place;
  Result<FileDescriptor> opened = OpenFolder(folder);
  if (!opened) return Fail(opened.error());
  place.folder = std::move(*opened);
  const int fd = ::openat(place.folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, CloseDir> dir(fd < 0 ? nullptr : ::fdopendir(fd));
  if (!dir) return Fail(errno, "cannot read the folder");
  std::vector<Entry> entries;
  while (const dirent* item = ::readdir(dir.get())) {  // NOLINT(concurrency-mt-unsafe): own DIR
    const std::string name = item->d_name;
    if (!CheckName(name) || (folder == "/" && name == kPrivateFolder)) continue;
    place.name = name;
    Result<Entry> entry = Describe(place, JoinPath(folder, name));
    if (!entry) continue;  // gone meanwhile, or of a kind that is not shown
    entries.push_back(std::move(*entry));
    if (entries.size() < batch_size) continue;
    if (!batch(std::exchange(entries, {}))) return {};
  }
  if (!entries.empty()) batch(std::move(entries));
  return {};
}

Result<Entry> DirStore::CreateFolder(const std::string& parent, const std::string& name) {
  const std::string path = JoinPath(parent, name);
  const Result<Place> place = PlaceOf(path);
  if (!place) return Fail(place.error());
  if (::mkdirat(place->folder.get(), place->name.c_str(), 0755) < 0) {
    if (errno == EEXIST) return Fail(EEXIST, "folder already exists");
    return Fail(errno, errno == ENOENT ? "parent folder not found" : "cannot create folder");
  }
  return Describe(*place, path);
}

Result<std::string> DirStore::RenameFree(const std::string& from, const std::string& path) {
  const Result<Place> source = PlaceOf(from);
  if (!source) return Fail(source.error());
  const Result<Place> target = PlaceOf(path);
  if (!target) return Fail(target.error());
  if (::renameat2(source->folder.get(), source->name.c_str(), target->folder.get(),
                  target->name.c_str(), RENAME_NOREPLACE) < 0) {
    if (errno == EEXIST) return Fail(EEXIST, "the name already exists");
    return Fail(errno, errno == ENOENT ? "file not found" : "cannot rename");
  }
  IndexFile(*target, path);
  return path;
}

Result<std::string> DirStore::Rename(const std::string& path, const std::string& new_name) {
  if (Result<Entry> entry = Find(path); !entry) return Fail(entry.error());
  return RenameFree(path, JoinPath(ParentOf(path), new_name));
}

Result<std::optional<std::string>> DirStore::Move(const std::string& path,
                                                  const std::string& folder,
                                                  MoveConflict conflict) {
  if (Result<Entry> entry = Find(path); !entry) return Fail(entry.error());
  Result<Entry> target_folder = Find(folder);
  if (!target_folder || !target_folder->is_directory) {
    return Fail(ENOENT, "target folder not found");
  }
  if (IsWithin(folder, path)) return Fail(EINVAL, "cannot move a folder into itself");
  const std::string wanted = JoinPath(folder, NameOf(path));
  Result<std::string> moved = RenameFree(path, wanted);
  if (moved) return std::optional(*moved);
  if (moved.error().code != EEXIST || conflict == MoveConflict::kRefuse) {
    return Fail(moved.error());
  }
  if (conflict == MoveConflict::kSkip) return std::optional<std::string>();
  if (conflict == MoveConflict::kOverwrite) {
    if (Status gone = Delete(wanted); !gone) return Fail(gone.error());
    moved = RenameFree(path, wanted);
  }
  for (int number = 1; !moved && moved.error().code == EEXIST; ++number) {
    moved = RenameFree(path, NumberedName(wanted, number));
  }
  if (!moved) return Fail(moved.error());
  return std::optional(*moved);
}

Status DirStore::Delete(const std::string& path) {
  if (path == "/") return Fail(EPERM, "the root cannot be deleted");
  const Result<Place> place = PlaceOf(path);
  if (!place) return Fail(place.error());
  if (Result<Entry> entry = Describe(*place, path); !entry) return Fail(entry.error());
  std::error_code error;
  std::filesystem::remove_all(place->ByHandle(), error);
  if (error) return Fail(error.value(), "cannot delete: " + error.message());
  return {};
}

Result<Space> DirStore::GetSpace() const {
  struct statvfs st {};
  if (::statvfs(directory_.c_str(), &st) < 0) return FailErrno(errno, "statvfs");
  return Space{static_cast<uint64_t>(st.f_blocks) * st.f_frsize,
               static_cast<uint64_t>(st.f_bavail) * st.f_frsize};
}

Result<FileDescriptor> DirStore::OpenFile(const std::string& path) const {
  const Result<Place> place = PlaceOf(path);
  if (!place) return Fail(place.error());
  // A named pipe must not hold us: it is found out below.
  auto file = disk::Open(place->ByHandle(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!file) return Fail(file.error());
  const Result<struct stat> st = disk::Stat(file->get());
  if (!st || !S_ISREG(st->st_mode)) return Fail(ENOENT, "not a file");
  return file;
}

Result<FileDescriptor> DirStore::OpenPrivate(const std::string& name, uint64_t size) {
  const std::string local = PrivatePath(name);
  auto file = disk::Open(local, O_RDWR | O_CREAT, 0644);
  if (!file && file.error().code == ENOENT) {
    if (Status made = disk::MakeDirs(PrivatePath(""), 0755); !made) return Fail(made.error());
    file = disk::Open(local, O_RDWR | O_CREAT, 0644);
  }
  if (!file) return Fail(file.error());
  const Result<struct stat> st = disk::Stat(file->get());
  // Truncating to the same size would change the modification time, to which hashes are tied.
  if (st && static_cast<uint64_t>(st->st_size) == size) return file;
  if (Status sized = disk::Truncate(file->get(), size); !sized) return Fail(sized.error());
  return file;
}

Status DirStore::RemovePrivate(const std::string& name) { return disk::Remove(PrivatePath(name)); }

Result<Published> DirStore::Publish(const std::string& name, const std::string& path,
                                    Existing existing) {
  const std::string from = PrivatePath(name);
  Result<Place> place = PlaceOf(path);
  if (!place) {
    if (place.error().code == ENOENT) return Fail(ENOENT, "parent folder not found");
    return Fail(place.error());
  }
  const int folder = place->folder.get();
  Published published{path, Exists(folder, place->name), false};
  const unsigned flags = existing == Existing::kReplace ? 0 : RENAME_NOREPLACE;
  int failed = ::renameat2(AT_FDCWD, from.c_str(), folder, place->name.c_str(), flags);
  for (int number = 1; failed < 0 && errno == EEXIST && existing == Existing::kNewName; ++number) {
    published = {NumberedName(path, number), false, false};
    place->name = NameOf(published.path);
    failed = ::renameat2(AT_FDCWD, from.c_str(), folder, place->name.c_str(), flags);
  }
  if (failed < 0 && errno == EEXIST && existing == Existing::kSkip) {
    published.skipped = true;
    if (Status gone = RemovePrivate(name); !gone) return Fail(gone.error());
    return published;
  }
  if (failed < 0) {
    if (errno == EEXIST) return Fail(EEXIST, "the file already exists");
    return Fail(errno, errno == ENOENT ? "parent folder not found" : "cannot place the file");
  }
  IndexFile(*place, published.path);
  return published;
}

Result<bool> DirStore::CopyKnown(uint64_t size, const Hashes& hashes, const std::string& name) {
  const std::optional<std::string> source = hash_memory_.Find(size, hashes);
  if (!source) return false;
  const Result<std::string> path = NormalizePath(source->substr(directory_.size()));
  if (!path) return false;
  auto from = OpenFile(*path);
  if (!from) return false;
  auto to = OpenPrivate(name, 0);
  if (!to) return Fail(to.error());
  if (Status copied = CopyBytes(from->get(), to->get(), size); !copied) {
    return Fail(copied.error());
  }
  // Only what was checked when the source came: an announced hash of another type may be wrong.
  if (const Result<struct stat> st = disk::Stat(from->get()); st) {
    hash_memory_.Remember(to->get(), hash_memory_.Recall(*source, *st));
  }
  return true;
}

void DirStore::IndexFile(const Place& place, const std::string& path) {
  struct stat st {};
  const std::string local = place.ByHandle();
  if (::lstat(local.c_str(), &st) < 0 || !S_ISREG(st.st_mode)) return;
  hash_memory_.Index(Local(path), static_cast<uint64_t>(st.st_size),
                     hash_memory_.Recall(local, st));
}

}  // namespace outboxfs::server
