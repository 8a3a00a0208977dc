// Random operations on a Twin: what to do next depends on the seed and on the model only, so that
// a seed does the same again, however fast the server is.
#pragma once

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "support/random.h"
#include "support/temp_dir.h"
#include "support/twin.h"

namespace outboxfs::test {

class RandomWalk {
 public:
  // `moving`: most renames and removals are of directories.
  RandomWalk(Twin& twin, uint64_t seed, bool moving = false)
      : twin_(twin), random_(seed), moving_(moving) {}
  ~RandomWalk() { CloseAll(); }
  RandomWalk(const RandomWalk&) = delete;
  RandomWalk& operator=(const RandomWalk&) = delete;

  void Step() {
    Look();
    using Walk = RandomWalk;
    static const std::vector<std::pair<uint64_t, void (Walk::*)()>> kSteps = {
        {14, &Walk::OpenFile},  {8, &Walk::WriteWhole}, {14, &Walk::WriteOpen},
        {8, &Walk::ReadOpen},   {5, &Walk::ResizeOpen}, {4, &Walk::AllocateOpen},
        {3, &Walk::SyncOpen},   {3, &Walk::MapOpen},    {3, &Walk::DuplicateOpen},
        {12, &Walk::Close},     {4, &Walk::Truncate},   {6, &Walk::MakeDir},
        {3, &Walk::RemoveDir},  {7, &Walk::Unlink},     {12, &Walk::Rename},
        {4, &Walk::ChangeMode}, {5, &Walk::SetTimes},   {3, &Walk::AttributesOpen},
        {4, &Walk::ReadFile},   {3, &Walk::StatName},
    };
    (this->*random_.Weighed(kSteps))();
  }
  void CloseAll() {
    while (!open_.empty()) CloseAt(open_.size() - 1);
  }
  bool any_open() const { return !open_.empty(); }

 private:
  static constexpr size_t kMostOpen = 10;
  static constexpr size_t kMostDirs = 12;
  static constexpr size_t kMostFiles = 40;
  static constexpr uint64_t kLargest = 3 << 20;

  struct Open {
    std::array<int, 2> fds{-1, -1};
    std::string name;
    int flags = 0;
    int operator[](const Side& side) const { return fds[side.number]; }
  };

  // ---- choices --------------------------------------------------------------------------

  void Look() {
    namespace fs = std::filesystem;
    files_.clear();
    dirs_.assign(1, "");
    const std::string root = twin_.model()("");
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const std::string path = entry.path().string().substr(root.size() + 1);
      (entry.is_directory() ? dirs_ : files_).push_back(path);
    }
    std::sort(files_.begin(), files_.end());
    std::sort(dirs_.begin(), dirs_.end());
  }
  std::string NewName() {
    static const std::vector<std::string> kNames = {"a",     "b", "c",     "d",       "e e",
                                                    "f.txt", "ü", "g.tmp", "名字.dat"};
    const std::string& dir = random_.Of(dirs_);
    const std::string& name = random_.Of(kNames);
    return dir.empty() ? name : dir + "/" + name;
  }
  // Mostly one that is there.
  std::string FileName() {
    if (files_.empty() || random_.Percent(15)) return NewName();
    return random_.Of(files_);
  }
  std::string AnyName() {
    if (random_.Percent(moving_ ? 60 : 25) && dirs_.size() > 1) {
      return dirs_[random_.Between(1, dirs_.size() - 1)];
    }
    return FileName();
  }
  uint64_t Size() {
    static const std::vector<std::pair<uint64_t, uint64_t>> kMost = {
        {4, 16}, {4, 5000}, {3, 70'000}, {2, 600'000}, {1, kLargest}};
    if (random_.Percent(15)) {
      return random_.Of<uint64_t>({0, 4095, 4096, 4097, 262'144, 262'145, 1 << 20});
    }
    return random_.Below(random_.Weighed(kMost) + 1);
  }
  uint64_t Offset(uint64_t size) {
    if (random_.Percent(10)) return random_.Below(kLargest);  // perhaps beyond the end
    const uint64_t offset = random_.Below(size + 1);
    return random_.Percent(30) ? offset & ~uint64_t{4095} : offset;
  }
  std::string Bytes(uint64_t size) { return Pattern(size, random_.Below(1 << 30)); }
  uint64_t SizeOf(int fd) {
    struct stat st {};
    return ::fstat(fd, &st) == 0 ? static_cast<uint64_t>(st.st_size) : 0;
  }
  bool IsDeleted(const Open& open) {
    struct stat st {};
    return ::fstat(open.fds[1], &st) == 0 && st.st_nlink == 0;
  }
  Open* AnyOpen() { return open_.empty() ? nullptr : &open_[random_.Below(open_.size())]; }

  // ---- files by name --------------------------------------------------------------------

  void OpenFile() {
    if (open_.size() >= kMostOpen) return Close();
    int flags = random_.Of<int>({O_RDONLY, O_WRONLY, O_RDWR, O_RDWR});
    if (random_.Percent(files_.size() < kMostFiles ? 50 : 5)) flags |= O_CREAT;
    if (random_.Percent(15)) flags |= O_EXCL | O_CREAT;
    if (random_.Percent(20)) flags |= O_TRUNC;
    if (random_.Percent(15)) flags |= O_APPEND;
    const std::string name = (flags & O_EXCL) != 0 ? NewName() : FileName();
    const auto mode = static_cast<mode_t>(random_.Of<int>({0644, 0600, 0755, 0444}));
    Open open{.name = name, .flags = flags};
    const Answered opened = twin_.Both(
        "open '" + name + "' " + Flags(flags), {.may_wait = true}, [&](const Side& side) {
          const int fd = ::open(side(name).c_str(), flags | O_CLOEXEC, mode);
          if (fd < 0) return Answer(fd);
          open.fds[side.number] = fd;
          return Answer(0);
        });
    if (opened.error == 0 && open.fds[0] >= 0 && open.fds[1] >= 0) open_.push_back(open);
  }
  static std::string Flags(int flags) {
    std::string text;
    const auto add = [&](int flag, const char* name) {
      if ((flags & flag) != 0) text += std::string(text.empty() ? "" : "|") + name;
    };
    text = (flags & O_ACCMODE) == O_RDONLY ? "r" : (flags & O_ACCMODE) == O_WRONLY ? "w" : "rw";
    add(O_CREAT, "creat");
    add(O_EXCL, "excl");
    add(O_TRUNC, "trunc");
    add(O_APPEND, "append");
    return text;
  }
  // As editors and cp do it: open, write, perhaps the times, close.
  void WriteWhole() {
    const std::string name = FileName();
    const std::string bytes = Bytes(Size());
    const bool times = random_.Percent(30);
    const timespec when = Time();
    twin_.Both("write '" + name + "' of " + std::to_string(bytes.size()) + " bytes",
               {.may_wait = true}, [&](const Side& side) {
                 const int fd =
                     ::open(side(name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
                 if (fd < 0) return Answer(fd);
                 Answered answer = Answer(::pwrite(fd, bytes.data(), bytes.size(), 0));
                 const timespec both[2] = {when, when};
                 if (times && ::futimens(fd, both) != 0) answer = Answer(-1);
                 if (::close(fd) != 0) answer = Answer(-1);
                 return answer;
               });
  }
  void ReadFile() {
    const std::string name = FileName();
    const uint64_t offset = Offset(100'000);
    const uint64_t size = Size();
    twin_.Both("read '" + name + "' at " + std::to_string(offset) + "+" + std::to_string(size),
               {.may_wait = true}, [&](const Side& side) {
                 const int fd = ::open(side(name).c_str(), O_RDONLY | O_CLOEXEC);
                 if (fd < 0) return Answer(fd);
                 std::string bytes(size, '\0');
                 const int64_t n = ::pread(fd, bytes.data(), size, static_cast<off_t>(offset));
                 Answered answer = AnswerBytes(n, std::move(bytes));
                 ::close(fd);
                 return answer;
               });
  }
  void StatName() {
    const std::string name = random_.Percent(50) ? NewName() : AnyName();
    twin_.Both("stat '" + name + "'", {.may_wait = true}, [&](const Side& side) {
      struct stat st {};
      if (::lstat(side(name).c_str(), &st) != 0) return Answer(-1);
      return Answered{S_ISDIR(st.st_mode) ? -1 : st.st_size, 0, std::to_string(st.st_mode)};
    });
  }
  void Truncate() {
    const std::string name = FileName();
    uint64_t size = random_.Percent(20) ? 0 : Size();
    std::error_code none;
    // To the size that it has: nobody agrees on what that does to the times.
    if (std::filesystem::file_size(twin_.model()(name), none) == size) ++size;
    twin_.Both("truncate '" + name + "' to " + std::to_string(size), {.may_wait = true},
               [&](const Side& side) {
                 return Answer(::truncate(side(name).c_str(), static_cast<off_t>(size)));
               });
  }
  void ChangeMode() {
    const std::string name = AnyName();
    const auto mode = static_cast<mode_t>(random_.Of<int>({0644, 0600, 0755, 0700, 0440, 0666}));
    twin_.Both("chmod '" + name + "'", {.may_wait = true},
               [&](const Side& side) { return Answer(::chmod(side(name).c_str(), mode)); });
  }
  timespec Time() {
    return {.tv_sec = static_cast<time_t>(random_.Between(1, 1'500'000'000)),
            .tv_nsec = static_cast<long>(random_.Below(1'000'000'000))};
  }
  void SetTimes() {
    const std::string name = AnyName();
    timespec times[2] = {Time(), Time()};
    if (random_.Percent(15)) times[1].tv_nsec = UTIME_OMIT;
    if (random_.Percent(10)) times[1].tv_nsec = UTIME_NOW;
    twin_.Both("utimens '" + name + "'", {.may_wait = true}, [&](const Side& side) {
      return Answer(::utimensat(AT_FDCWD, side(name).c_str(), times, AT_SYMLINK_NOFOLLOW));
    });
  }

  // ---- names ----------------------------------------------------------------------------

  void MakeDir() {
    if (dirs_.size() >= kMostDirs) return RemoveDir();
    const std::string name = random_.Percent(90) ? NewName() : AnyName();
    if (std::count(name.begin(), name.end(), '/') > 3) return;
    twin_.Both("mkdir '" + name + "'", {.may_wait = true, .error_again = EEXIST},
               [&](const Side& side) { return Answer(::mkdir(side(name).c_str(), 0755)); });
  }
  void RemoveDir() {
    const std::string name = dirs_.size() > 1 && random_.Percent(80)
                                 ? dirs_[random_.Between(1, dirs_.size() - 1)]
                                 : AnyName();
    twin_.Both("rmdir '" + name + "'", {.may_wait = true, .error_again = ENOENT},
               [&](const Side& side) { return Answer(::rmdir(side(name).c_str())); });
  }
  void Unlink() {
    const std::string name = AnyName();
    twin_.Both("unlink '" + name + "'", {.may_wait = true, .error_again = ENOENT},
               [&](const Side& side) { return Answer(::unlink(side(name).c_str())); });
  }
  void Rename() {
    const std::string from = AnyName();
    const std::string to = random_.Percent(50) ? NewName() : AnyName();
    const unsigned flags = random_.Percent(15) ? RENAME_NOREPLACE : 0;
    twin_.Both("rename '" + from + "' to '" + to + (flags != 0 ? "' noreplace" : "'"),
               {.may_wait = true, .error_again = flags != 0 ? EEXIST : ENOENT},
               [&](const Side& side) {
                 return Answer(
                     ::renameat2(AT_FDCWD, side(from).c_str(), AT_FDCWD, side(to).c_str(), flags));
               });
  }

  // ---- open files -----------------------------------------------------------------------

  void WriteOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    const uint64_t offset = Offset(SizeOf(open->fds[1]));
    const std::string bytes = Bytes(std::max<uint64_t>(1, Size()));
    twin_.Both(Text("pwrite", *open, offset, bytes.size()), {}, [&](const Side& side) {
      return Answer(
          ::pwrite((*open)[side], bytes.data(), bytes.size(), static_cast<off_t>(offset)));
    });
  }
  void ReadOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    const uint64_t offset = Offset(SizeOf(open->fds[1]));
    const uint64_t size = std::max<uint64_t>(1, Size());
    twin_.Both(Text("pread", *open, offset, size),
               {.may_wait = true, .may_be_lost = IsDeleted(*open)}, [&](const Side& side) {
                 std::string bytes(size, '\0');
                 const int64_t n =
                     ::pread((*open)[side], bytes.data(), size, static_cast<off_t>(offset));
                 return AnswerBytes(n, std::move(bytes));
               });
  }
  void ResizeOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    uint64_t size = random_.Percent(20) ? 0 : Size();
    if (SizeOf(open->fds[1]) == size) ++size;
    twin_.Both(Text("ftruncate", *open, size, 0), {}, [&](const Side& side) {
      return Answer(::ftruncate((*open)[side], static_cast<off_t>(size)));
    });
  }
  void AllocateOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    const int mode =
        random_.Of<int>({0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
                         FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE});
    const uint64_t offset = Offset(SizeOf(open->fds[1]));
    const uint64_t size = std::max<uint64_t>(1, Size());
    twin_.Both(Text(mode == 0                     ? "fallocate"
                    : mode == FALLOC_FL_KEEP_SIZE ? "reserve"
                                                  : "punch",
                    *open, offset, size),
               {}, [&](const Side& side) {
                 return Answer(::fallocate((*open)[side], mode, static_cast<off_t>(offset),
                                           static_cast<off_t>(size)));
               });
  }
  void SyncOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    twin_.Both(Text("fsync", *open, 0, 0), {},
               [&](const Side& side) { return Answer(::fsync((*open)[side])); });
  }
  void MapOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr || (open->flags & O_ACCMODE) != O_RDWR || IsDeleted(*open)) return;
    const uint64_t size = SizeOf(open->fds[1]);
    if (size == 0) return;
    const uint64_t offset = random_.Below(size);
    const std::string bytes = Bytes(random_.Between(1, std::min<uint64_t>(size - offset, 9000)));
    twin_.Both(Text("store by mmap", *open, offset, bytes.size()), {}, [&](const Side& side) {
      void* const at = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, (*open)[side], 0);
      if (at == MAP_FAILED) return Answer(-1);
      std::memcpy(static_cast<char*>(at) + offset, bytes.data(), bytes.size());
      return Answer(::munmap(at, size));
    });
  }
  void DuplicateOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    twin_.Both(Text("dup, close", *open, 0, 0), {}, [&](const Side& side) {
      return Answer(::close(::fcntl((*open)[side], F_DUPFD_CLOEXEC, 0)));
    });
  }
  void AttributesOpen() {
    Open* const open = AnyOpen();
    if (open == nullptr) return OpenFile();
    const auto mode = static_cast<mode_t>(random_.Of<int>({0644, 0600, 0755}));
    const timespec times[2] = {Time(), Time()};
    const bool set_times = random_.Percent(50);
    twin_.Both(Text(set_times ? "futimens" : "fchmod", *open, 0, 0), {}, [&](const Side& side) {
      if (set_times) return Answer(::futimens((*open)[side], times));
      return Answer(::fchmod((*open)[side], mode));
    });
    twin_.Both(Text("fstat", *open, 0, 0), {}, [&](const Side& side) {
      struct stat st {};
      if (::fstat((*open)[side], &st) != 0) return Answer(-1);
      if (S_ISDIR(st.st_mode)) return Answered{0, 0, std::to_string(st.st_mode)};
      return Answered{st.st_size, 0,
                      std::to_string(st.st_mode) + " links " + std::to_string(st.st_nlink) +
                          (set_times ? " mtime " + std::to_string(st.st_mtim.tv_nsec) : "")};
    });
  }
  void Close() {
    if (!open_.empty()) CloseAt(random_.Below(open_.size()));
  }
  void CloseAt(size_t index) {
    const Open open = open_[index];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(index));
    twin_.Both(Text("close", open, 0, 0), {},
               [&](const Side& side) { return Answer(::close(open[side])); });
    if (twin_.ok()) return;
    for (const int fd : open.fds) ::close(fd);  // or the mount could not end
  }
  static std::string Text(const char* what, const Open& open, uint64_t offset, uint64_t size) {
    return std::string(what) + " [" + std::to_string(open.fds[1]) + " '" + open.name + "' " +
           Flags(open.flags) + "] " + std::to_string(offset) + "+" + std::to_string(size);
  }

  Twin& twin_;
  Random random_;
  const bool moving_;
  std::vector<std::string> files_;
  std::vector<std::string> dirs_;  // the first is the root
  std::vector<Open> open_;
};

}  // namespace outboxfs::test
