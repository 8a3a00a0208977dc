#include "cli/mounts.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>

namespace outboxfs::cli {
namespace {

// The kernel writes blanks, tabs, line ends and backslashes as "\ooo".
std::string Unescape(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

Status RunFusermount(const std::string& path) {
  std::array<std::string, 5> words = {"fusermount3", "-u", "-z", "--", path};
  std::array<char*, 6> arguments{};
  for (size_t i = 0; i < words.size(); ++i) arguments.at(i) = words.at(i).data();
  std::array<char*, 1> environment = {nullptr};
  pid_t pid = 0;
  const int failed = ::posix_spawnp(&pid, arguments[0], nullptr, nullptr, arguments.data(),
                                    environment.data());
  if (failed != 0) return FailErrno(failed, "fusermount3");
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) return Fail(EIO, fmt::format("fusermount3 could not unmount {}", path));
  return {};
}

}  // namespace

std::optional<MountEntry> MountAt(const std::string& path) {
  std::ifstream table("/proc/self/mountinfo");
  std::optional<MountEntry> found;
  // 36 35 98:0 /root /mountpoint options optional… - type source options
  for (std::string line; std::getline(table, line);) {
    std::istringstream fields(line);
    std::string skipped;
    std::string point;
    fields >> skipped >> skipped >> skipped >> skipped >> point;
    if (Unescape(point) != path) continue;
    while (fields >> skipped && skipped != "-") {
    }
    MountEntry entry;
    fields >> entry.type >> entry.source;
    entry.source = Unescape(entry.source);
    found = std::move(entry);
  }
  return found;
}

bool IsOutboxfs(const MountEntry& entry) { return entry.type == "fuse.outboxfs"; }

Status LazyUnmount(const std::string& path) {
  if (::geteuid() != 0) return RunFusermount(path);
  if (::umount2(path.c_str(), MNT_DETACH) != 0) return FailErrno(errno, "unmount " + path);
  return {};
}

}  // namespace outboxfs::cli
