#include "fs/mount_point.h"

#include <dirent.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <sstream>

#include "common/log.h"

namespace outboxfs::fs {
namespace {

// "\040" and the like, as the kernel writes spaces.
std::string Unescape(const std::string& text) {
  constexpr size_t kDigits = 3;
  constexpr int kOctal = 8;
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + kDigits < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, kDigits), nullptr, kOctal));
      i += kDigits;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::optional<MountEntry> ParseLine(const std::string& line) {
  const size_t dash = line.find(" - ");
  if (dash == std::string::npos) return std::nullopt;
  std::istringstream left(line.substr(0, dash));
  std::istringstream right(line.substr(dash + 3));
  std::string skipped;
  std::string device;
  MountEntry entry;
  left >> skipped >> skipped >> device >> skipped >> entry.mountpoint;
  right >> entry.type >> entry.source;
  const size_t colon = device.find(':');
  if (!left || !right || colon == std::string::npos) return std::nullopt;
  entry.device_minor = static_cast<unsigned>(std::strtoul(device.c_str() + colon + 1, nullptr, 10));
  entry.mountpoint = Unescape(entry.mountpoint);
  entry.source = Unescape(entry.source);
  return entry;
}

bool IsEmpty(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(path.c_str()), closedir);
  if (!dir) return true;
  while (const dirent* entry = readdir(dir.get())) {  // NOLINT(concurrency-mt-unsafe): our own DIR
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") return false;
  }
  return true;
}

// Users may unmount only through the helper that made the mount.
bool UnmountByHelper(const std::string& path) {
  std::string program = "fusermount3";
  std::string flags = "-uz";
  std::string target = path;
  char* arguments[] = {program.data(), flags.data(), target.data(), nullptr};
  pid_t child = 0;
  if (posix_spawnp(&child, program.c_str(), nullptr, nullptr, arguments, environ) != 0) {
    return false;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

std::vector<MountEntry> ParseMountInfo(const std::string& text) {
  std::vector<MountEntry> entries;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (auto entry = ParseLine(line)) entries.push_back(*std::move(entry));
  }
  return entries;
}

std::optional<MountEntry> FindMount(const std::string& mountpoint) {
  std::ifstream file("/proc/self/mountinfo");
  std::stringstream text;
  text << file.rdbuf();
  std::optional<MountEntry> found;
  for (MountEntry& entry : ParseMountInfo(text.str())) {
    if (entry.mountpoint == mountpoint) found = std::move(entry);
  }
  return found;
}

bool AbortConnection(unsigned device_minor) {
  const std::string directory = "/sys/fs/fuse/connections";
  const std::string file = directory + "/" + std::to_string(device_minor) + "/abort";
  // systemd mounts it; containers have no systemd.
  const bool ours =
      access(file.c_str(), F_OK) != 0 &&
      mount("none", directory.c_str(), "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, nullptr) == 0;
  std::ofstream abort(file);
  abort << "1" << std::flush;
  const bool aborted = abort.good();
  abort.close();
  if (ours) umount2(directory.c_str(), MNT_DETACH);
  return aborted;
}

Status DropDeadMount(const std::string& path) {
  Log::Notice("unmounting {}: its daemon is dead", path);
  if (const auto entry = FindMount(path); entry && entry->type.starts_with("fuse")) {
    AbortConnection(entry->device_minor);
  }
  if (umount2(path.c_str(), MNT_DETACH) == 0) return {};
  const int code = errno;
  if (code == EPERM && UnmountByHelper(path)) return {};
  return FailErrno(code, "cannot unmount " + path + ", whose daemon is dead");
}

bool IsDeadMount(const std::string& path) {
  const auto means_dead = [](int code) { return code == ENOTCONN || code == ECONNABORTED; };
  struct stat st = {};
  if (stat(path.c_str(), &st) != 0) return means_dead(errno);
  char value[64];
  return getxattr(path.c_str(), "user.outboxfs.state", value, sizeof(value)) < 0 &&
         means_dead(errno);
}

Result<std::string> PrepareMountpoint(const std::string& path, bool allow_nonempty) {
  struct stat st = {};
  int code = stat(path.c_str(), &st) == 0 ? 0 : errno;
  if (IsDeadMount(path)) {
    if (const auto dropped = DropDeadMount(path); !dropped) return Fail(dropped.error());
    code = stat(path.c_str(), &st) == 0 ? 0 : errno;
  }
  if (code == ENOENT) return Fail(code, "mountpoint " + path + " does not exist");
  if (code != 0) return FailErrno(code, "mountpoint " + path);
  if (!S_ISDIR(st.st_mode)) return Fail(ENOTDIR, "mountpoint " + path + " is not a directory");
  const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), std::free);
  if (!real) return FailErrno(errno, "mountpoint " + path);
  if (const auto mount = FindMount(real.get()); mount && mount->type.starts_with("fuse")) {
    return Fail(EBUSY, "mountpoint " + path + " is in use: " + mount->source + " is mounted there");
  }
  if (access(real.get(), R_OK | W_OK | X_OK) != 0) return FailErrno(errno, "mountpoint " + path);
  if (!allow_nonempty && !IsEmpty(real.get())) {
    return Fail(ENOTEMPTY, "mountpoint " + path + " is not empty (allowed with -o nonempty)");
  }
  return std::string(real.get());
}

}  // namespace outboxfs::fs
