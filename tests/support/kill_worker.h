// Works on a mount until its daemon dies: makes, changes, renames and deletes files and
// directories, and remembers what was acknowledged (kill_model.h).
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "support/kill_model.h"
#include "support/random.h"
#include "support/temp_dir.h"

namespace outboxfs::test {

class KillWorker {
 public:
  KillWorker(std::string mount, uint64_t seed) : mount_(std::move(mount)), random_(seed) {}

  // One operation; false when a call of it failed, as all do once the daemon is dead.
  bool Step() {
    const std::vector<std::pair<uint64_t, bool (KillWorker::*)()>> operations = {
        {30, &KillWorker::WriteNew}, {14, &KillWorker::Change}, {14, &KillWorker::RenameFile},
        {8, &KillWorker::RenameDir}, {12, &KillWorker::Unlink}, {12, &KillWorker::MakeDir},
        {4, &KillWorker::RemoveDir}, {6, &KillWorker::SetTimes}};
    ++steps_;
    return (this->*random_.Weighed(operations))();
  }
  // What was acknowledged, and what it is if the call that failed last was carried out all the
  // same.
  const Model& before() const { return before_; }
  const Model& after() const { return after_; }
  // Which file a write that was not acknowledged went to; "": it was no write.
  const std::string& writing() const { return writing_; }
  const std::string& failed_call() const { return failed_call_; }
  uint64_t steps() const { return steps_; }
  // What somebody found out to be true.
  void Adopt(Model model) {
    before_ = after_ = std::move(model);
    writing_.clear();
    failed_call_.clear();
  }
  // Every content that a file had when it was closed, or was let go as it is: nothing else may ever
  // be uploaded.
  bool IsComplete(const std::string& bytes) const {
    return complete_.contains(std::hash<std::string>()(bytes));
  }
  void AddComplete(const std::string& bytes) { complete_.insert(std::hash<std::string>()(bytes)); }

 private:
  static constexpr size_t kNames = 6;

  std::string Full(const std::string& path) const { return mount_ + "/" + path; }
  std::string AnyDir() {
    std::vector<std::string> dirs(before_.dirs.begin(), before_.dirs.end());
    dirs.emplace_back("");
    return random_.Of(dirs);
  }
  std::string NewPath(const char* kind) {
    const std::string dir = AnyDir();
    return (dir.empty() ? "" : dir + "/") + kind + std::to_string(random_.Below(kNames));
  }
  std::string AnyFile() {
    if (before_.files.empty()) return "";
    auto at = before_.files.begin();
    std::advance(at, random_.Below(before_.files.size()));
    return at->first;
  }
  // One system call, which makes `after_` true.
  bool Call(const std::string& what, const std::function<bool()>& call) {
    if (!call()) {
      failed_call_ = what + ": " + std::strerror(errno);
      return false;
    }
    before_ = after_;
    writing_.clear();
    return true;
  }
  bool WriteChunks(int fd, const std::string& path, size_t offset, const std::string& text) {
    const size_t chunk = random_.Of(std::vector<size_t>{4096, 65'536, 1 << 20});
    for (size_t at = 0; at < text.size(); at += chunk) {
      const std::string part = text.substr(at, chunk);
      ModelFile& file = after_.files[path];
      std::string bytes = *file.bytes;
      if (bytes.size() < offset + at + part.size()) bytes.resize(offset + at + part.size());
      bytes.replace(offset + at, part.size(), part);
      file.bytes = std::make_shared<const std::string>(std::move(bytes));
      file.closed = false;
      file.mtime_ns.reset();
      writing_ = path;
      const bool done = Call("write " + path, [&] {
        return ::pwrite(fd, part.data(), part.size(), static_cast<off_t>(offset + at)) ==
               static_cast<ssize_t>(part.size());
      });
      if (!done) return false;
    }
    return true;
  }
  bool Close(int fd, const std::string& path) {
    ModelFile& file = after_.files[path];
    file.closed = true;
    AddComplete(*file.bytes);
    return Call("close " + path, [&] { return ::close(fd) == 0; });
  }
  // The descriptor goes also when the daemon is gone.
  bool Fill(int fd, const std::string& path, size_t offset, const std::string& text) {
    if (WriteChunks(fd, path, offset, text)) return Close(fd, path);
    ::close(fd);
    return false;
  }
  std::string Text() {
    const size_t size =
        random_.Weighed(std::vector<std::pair<uint64_t, size_t>>{{2, 0},
                                                                 {10, random_.Below(200)},
                                                                 {6, random_.Below(80'000)},
                                                                 {2, random_.Below(2'500'000)}});
    return Pattern(size, random_.Below(1'000'000'000));
  }

  bool WriteNew() {
    const std::string path = NewPath("f");
    ModelFile& file = after_.files[path];
    file.bytes = std::make_shared<const std::string>();
    file.closed = false;
    file.mtime_ns.reset();
    int fd = -1;
    const bool opened = Call("create " + path, [&] {
      return (fd = ::open(Full(path).c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)) >= 0;
    });
    return opened && Fill(fd, path, 0, Text());
  }
  bool Change() {
    const std::string path = AnyFile();
    if (path.empty() || !before_.files[path].closed) return true;
    int fd = -1;
    const bool opened = Call(
        "open " + path, [&] { return (fd = ::open(Full(path).c_str(), O_RDWR | O_CLOEXEC)) >= 0; });
    const size_t size = before_.files[path].bytes->size();
    const size_t offset = random_.Percent(50) ? size : random_.Below(size);
    return opened && Fill(fd, path, offset, Text());
  }
  bool RenameFile() {
    const std::string from = AnyFile();
    const std::string to = random_.Percent(40) ? AnyFile() : NewPath("f");
    if (from.empty() || from == to) return true;
    after_.Rename(from, to);
    return Call("rename " + from + " to " + to,
                [&] { return ::rename(Full(from).c_str(), Full(to).c_str()) == 0; });
  }
  bool RenameDir() {
    const std::string from = AnyDir();
    const std::string to = NewPath("d");
    const bool inside = to == from || to.starts_with(from + "/");
    if (from.empty() || inside) return true;
    if (before_.dirs.contains(to) && (!before_.IsEmptyDir(to) || from.starts_with(to + "/"))) {
      return true;
    }
    after_.Rename(from, to);
    return Call("rename " + from + " to " + to,
                [&] { return ::rename(Full(from).c_str(), Full(to).c_str()) == 0; });
  }
  bool Unlink() {
    const std::string path = AnyFile();
    if (path.empty()) return true;
    after_.files.erase(path);
    return Call("unlink " + path, [&] { return ::unlink(Full(path).c_str()) == 0; });
  }
  bool MakeDir() {
    const std::string path = NewPath("d");
    if (before_.dirs.contains(path) || std::count(path.begin(), path.end(), '/') > 3) return true;
    after_.dirs.insert(path);
    return Call("mkdir " + path, [&] { return ::mkdir(Full(path).c_str(), 0755) == 0; });
  }
  bool RemoveDir() {
    const std::string path = AnyDir();
    if (path.empty() || !before_.IsEmptyDir(path)) return true;
    after_.dirs.erase(path);
    return Call("rmdir " + path, [&] { return ::rmdir(Full(path).c_str()) == 0; });
  }
  bool SetTimes() {
    const std::string path = AnyFile();
    if (path.empty() || !before_.files[path].closed) return true;
    const int64_t seconds = static_cast<int64_t>(random_.Between(1'000'000'000, 1'700'000'000));
    const int64_t ns = static_cast<int64_t>(random_.Below(1'000'000'000));
    after_.files[path].mtime_ns = seconds * 1'000'000'000 + ns;
    const std::array<timespec, 2> times{{{seconds, ns}, {seconds, ns}}};
    return Call("utimensat " + path,
                [&] { return ::utimensat(AT_FDCWD, Full(path).c_str(), times.data(), 0) == 0; });
  }

  const std::string mount_;
  Random random_;
  Model before_;
  Model after_;
  std::string writing_;
  std::string failed_call_;
  std::set<size_t> complete_;
  uint64_t steps_ = 0;
};

}  // namespace outboxfs::test
