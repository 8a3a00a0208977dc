// The same system calls on a mount and on a plain directory beside it, which is the model: what
// they return, and what there is afterwards, must be the same.
//
//   Twin twin(mount.path(), model_dir, calm);
//   twin.Both("unlink a", {.may_wait = true}, [](const Side& side) {
//     return Answer(::unlink(side("a").c_str()));
//   });
//   twin.CompareTrees();
//
// The first difference is reported with the last operations, and ends everything: ok() is false
// from then on, and nothing is called any more.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "support/program.h"

namespace outboxfs::test {

// What a call gave: its result or its errno, and what it read.
struct Answered {
  int64_t value = 0;
  int error = 0;
  std::string bytes;
  bool operator==(const Answered&) const = default;
};
inline Answered Answer(int64_t value) {
  return value < 0 ? Answered{-1, errno, ""} : Answered{value, 0, ""};
}
inline Answered AnswerBytes(int64_t size, std::string bytes) {
  if (size < 0) return {-1, errno, ""};
  bytes.resize(static_cast<size_t>(size));
  return {size, 0, std::move(bytes)};
}

struct Side {
  std::string root;
  size_t number = 0;  // 0: the mount, 1: the model
  std::string operator()(const std::string& path) const {
    return path.empty() ? root : root + "/" + path;
  }
};

// What may be different from the model.
struct Leave {
  // The answer is the server's, which may fail just now: then all faults end, and it is tried
  // again.
  bool may_wait = false;
  // When it was tried again: the first try may have worked although its answer was lost.
  int error_again = 0;
  // What was only at the server is lost to open handles when it is deleted (docs/SEMANTICS.md).
  bool may_be_lost = false;
};

class Twin {
 public:
  // Times before this were set by somebody.
  static constexpr int64_t kSetBefore = 1'600'000'000'000'000'000;

  // `calm` ends all faults of the server.
  Twin(std::string mount, std::string model, std::function<void()> calm)
      : sides_{Side{std::move(mount), 0}, Side{std::move(model), 1}}, calm_(std::move(calm)) {}

  // OUTBOXFS_RANDOM_TRACE: all operations are printed as they come.
  static bool Tracing() { return std::getenv("OUTBOXFS_RANDOM_TRACE") != nullptr; }
  bool ok() const { return ok_; }
  const Side& model() const { return sides_[1]; }
  uint64_t calls() const { return calls_; }
  uint64_t repeated() const { return repeated_; }
  // Put before the operations in a report.
  void SetTitle(std::string title) { title_ = std::move(title); }
  // Remembered for the report.
  void Note(const std::string& what) {
    trace_.push_back("#" + std::to_string(calls_) + " " + what);
    if (Tracing()) std::fprintf(stderr, "%s\n", trace_.back().c_str());
    if (trace_.size() > kRemembered) trace_.pop_front();
  }
  void Differs(const std::string& how) {
    if (!std::exchange(ok_, false)) return;
    std::string report = title_ + "\n";
    for (const std::string& line : trace_) report += "  " + line + "\n";
    ADD_FAILURE() << report << "  -> " << how;
  }

  // The answer of the model.
  template <typename Call>
  Answered Both(const std::string& what, const Leave& leave, Call call) {
    if (!ok_) return {-1, 0, ""};
    ++calls_;
    Note(what);
    Answered here = call(sides_[0]);
    bool again = false;
    if (IsTransient(here) && leave.may_wait && !leave.may_be_lost) {
      again = true;
      ++repeated_;
      Note("failed (" + Show(here) + "), again without faults");
      calm_();
      Eventually(
          [&] {
            here = call(sides_[0]);
            return !IsTransient(here);
          },
          std::chrono::seconds(60));
    }
    const Answered there = call(sides_[1]);
    const bool worked_first = again && here.error == leave.error_again && there.error == 0;
    const bool lost = leave.may_be_lost && here.error == EIO;
    if (!(here == there) && !worked_first && !lost) {
      Differs(what + ": the mount answers " + Show(here) + ", the model " + Show(there) +
              WhereDifferent(here.bytes, there.bytes));
    }
    return there;
  }

  // Names, kinds, sizes, modes, mtimes and inode numbers of all, and what is in the files.
  void CompareTrees(bool contents) {
    forced_ = !forced_;
    CompareDir("", contents);
    if (ok_) shown_ = std::exchange(shown_now_, {});
    shown_now_.clear();
  }
  // Inode numbers are not kept from here on (of what only the server had, after a restart).
  void ForgetInodes() {
    for (auto& [key, shown] : shown_) shown.ino = 0;
  }

 private:
  static constexpr size_t kRemembered = 60;
  struct Shown {
    int64_t model_ns = 0;
    int64_t mount_ns = 0;
    uint64_t ino = 0;
  };
  using Key = std::pair<uint64_t, int64_t>;  // of the model: inode and its birth

  static bool IsTransient(const Answered& answer) {
    return answer.error == EIO || answer.error == ETIMEDOUT;
  }
  static std::string Show(const Answered& answer) {
    return answer.error != 0 ? std::string(strerrorname_np(answer.error))
                             : std::to_string(answer.value);
  }
  static std::string WhereDifferent(const std::string& a, const std::string& b) {
    if (a == b) return "";
    if (a.size() < 500 && b.size() < 500 && std::all_of(a.begin(), a.end(), [](char c) {
          return static_cast<unsigned char>(c) >= ' ' || c == '\n';
        })) {
      return ": " + a + " | " + b;
    }
    const auto at = std::mismatch(a.begin(), a.begin() + std::min(a.size(), b.size()), b.begin());
    const auto offset = static_cast<size_t>(at.first - a.begin());
    auto last = std::min(a.size(), b.size());
    while (last > offset && a[last - 1] == b[last - 1]) --last;
    const auto count = static_cast<size_t>(
        std::count(a.begin() + static_cast<std::ptrdiff_t>(offset), a.end(), '\0'));
    return "; " + std::to_string(a.size()) + " and " + std::to_string(b.size()) +
           " bytes, different from " + std::to_string(offset) + " to " + std::to_string(last) +
           ", zeros from there in the mount: " + std::to_string(count);
  }
  static int64_t ToNs(const struct statx_timestamp& time) {
    return time.tv_sec * 1'000'000'000 + time.tv_nsec;
  }

  void CompareDir(const std::string& dir, bool contents) {
    std::set<std::string> names;
    Both("list '" + dir + "'", {.may_wait = true}, [&](const Side& side) {
      Answered answer;
      DIR* const stream = ::opendir(side(dir).c_str());
      if (stream == nullptr) return Answer(-1);
      names.clear();
      errno = 0;
      while (const dirent* entry = ::readdir(stream)) {
        if (std::strcmp(entry->d_name, ".") == 0 || std::strcmp(entry->d_name, "..") == 0) continue;
        if (!names.insert(entry->d_name).second) answer.bytes += " twice:";
        if (entry->d_type == DT_DIR) names.insert(entry->d_name + std::string("/"));
        errno = 0;
      }
      if (errno != 0) answer = {-1, errno, ""};
      ::closedir(stream);
      for (const std::string& name : names) answer.bytes += name + "\n";
      return answer;
    });
    for (const std::string& name : names) {
      if (!ok_) return;
      if (name.ends_with('/')) continue;
      const std::string path = dir.empty() ? name : dir + "/" + name;
      const bool is_dir = names.contains(name + "/");
      CompareAttributes(path, is_dir);
      if (is_dir) CompareDir(path, contents);
      if (!is_dir && contents) CompareContent(path);
    }
  }
  void CompareAttributes(const std::string& path, bool is_dir) {
    std::array<struct statx, 2> st{};
    Both("stat '" + path + "'", {.may_wait = true}, [&](const Side& side) {
      struct statx& mine = st[side.number];
      // What the kernel knows by itself, and what the daemon says, by turns.
      const int flags = AT_SYMLINK_NOFOLLOW | (forced_ ? AT_STATX_FORCE_SYNC : 0);
      const int done =
          ::statx(AT_FDCWD, side(path).c_str(), flags, STATX_BASIC_STATS | STATX_BTIME, &mine);
      if (done != 0) return Answer(done);
      char text[80];
      std::snprintf(text, sizeof(text), "size %llu mode %o",
                    is_dir ? 0ULL : static_cast<unsigned long long>(mine.stx_size), mine.stx_mode);
      return Answered{0, 0, text};
    });
    if (ok_) CompareTimes(path, is_dir, st);
  }
  void CompareTimes(const std::string& path, bool is_dir, const std::array<struct statx, 2>& st) {
    const Key key{st[1].stx_ino, ToNs(st[1].stx_btime)};
    const Shown now{ToNs(st[1].stx_mtime), ToNs(st[0].stx_mtime), st[0].stx_ino};
    std::optional<Shown> before;
    if (const auto known = shown_.find(key); known != shown_.end()) before = known->second;
    shown_now_[key] = now;
    const std::string times = path + ": mtime " + std::to_string(now.mount_ns) + ", the model's " +
                              std::to_string(now.model_ns) +
                              (before ? ", before " + std::to_string(before->mount_ns) : "");
    if (before && before->ino != 0 && before->ino != now.ino) {
      return Differs(path + " has another inode number than before");
    }
    if (now.model_ns < kSetBefore) {
      if (now.mount_ns != now.model_ns) Differs(times + " (was set)");
      return;
    }
    if (is_dir) return;  // of what happened in a directory nothing is kept
    if (now.mount_ns < kSetBefore) return Differs(times + " (not touched by a change)");
    if (!before) return;
    if (before->model_ns == now.model_ns && before->mount_ns != now.mount_ns) {
      return Differs(times + " (changed by itself)");
    }
    if (now.mount_ns < before->mount_ns && before->model_ns < now.model_ns) {
      Differs(times + " (went back)");
    }
  }
  void CompareContent(const std::string& path) {
    Both("read '" + path + "'", {.may_wait = true}, [&](const Side& side) {
      const int fd = ::open(side(path).c_str(), O_RDONLY | O_CLOEXEC);
      if (fd < 0) return Answer(-1);
      Answered answer;
      std::string part(256 << 10, '\0');
      int64_t n = 0;
      while ((n = ::read(fd, part.data(), part.size())) > 0) {
        answer.bytes.append(part, 0, static_cast<size_t>(n));
      }
      if (n < 0) answer = Answer(-1);
      ::close(fd);
      return answer;
    });
  }

  const std::array<Side, 2> sides_;
  const std::function<void()> calm_;
  std::string title_;
  bool ok_ = true;
  bool forced_ = false;
  uint64_t calls_ = 0;
  uint64_t repeated_ = 0;
  std::deque<std::string> trace_;
  std::map<Key, Shown> shown_;
  std::map<Key, Shown> shown_now_;
};

}  // namespace outboxfs::test
