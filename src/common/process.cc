#include "common/process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <fstream>
#include <string>

namespace outboxfs {
namespace {

constexpr uint64_t kKillBit = uint64_t{1} << (SIGKILL - 1);

// "SigPnd:\t0000000000000100": of the first thread; "ShdPnd": of the process.
bool HasKillPending(const std::string& line) {
  if (!line.starts_with("SigPnd:") && !line.starts_with("ShdPnd:")) return false;
  return (std::stoull(line.substr(line.find(':') + 1), nullptr, 16) & kKillBit) != 0;
}

// Of the first thread. It ends only with all others, but one of these can hang in the kernel.
bool IsZombie(const std::string& line) {
  return line.starts_with("State:\tZ") || line.starts_with("State:\tX");
}

}  // namespace

bool IsKilled(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(file, line);) {
    if (IsZombie(line) || HasKillPending(line)) return true;
  }
  return false;
}

FileDescriptor OpenProcess(pid_t pid) {
  return FileDescriptor(pid > 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
}

bool AwaitEnd(const FileDescriptor& process, std::chrono::milliseconds timeout) {
  pollfd waited{process.get(), POLLIN, 0};
  return ::poll(&waited, 1, static_cast<int>(timeout.count())) == 1;
}

}  // namespace outboxfs
