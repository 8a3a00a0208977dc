#include "cli/launcher.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "cli/exit_codes.h"

namespace outboxfs::cli {
namespace {

constexpr const char* kReadyVariable = "OUTBOXFS_READY_FD";
constexpr int kReadyFd = 3;  // of the started program
constexpr const char* kReady = "ready";

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// How the program is started: its standard streams are null, null and the log.
class SpawnPlan {
 public:
  SpawnPlan(int ready_fd, const std::string& log_file) {
    posix_spawn_file_actions_init(&files_);
    posix_spawnattr_init(&attributes_);
    posix_spawnattr_setflags(&attributes_, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_adddup2(&files_, ready_fd, kReadyFd);
    posix_spawn_file_actions_addopen(&files_, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files_, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&files_, 2, log_file.c_str(), O_WRONLY | O_CREAT | O_APPEND,
                                     0600);
  }
  ~SpawnPlan() {
    posix_spawn_file_actions_destroy(&files_);
    posix_spawnattr_destroy(&attributes_);
  }
  SpawnPlan(const SpawnPlan&) = delete;
  SpawnPlan& operator=(const SpawnPlan&) = delete;

  int Start(std::vector<std::string> arguments, std::vector<std::string> environment, pid_t& pid) {
    return posix_spawn(&pid, "/proc/self/exe", &files_, &attributes_, Pointers(arguments).data(),
                       Pointers(environment).data());
  }

 private:
  posix_spawn_file_actions_t files_{};
  posix_spawnattr_t attributes_{};
};

std::string ReadAll(int fd) {
  std::string text;
  std::array<char, 4096> chunk{};
  while (true) {
    const ssize_t n = ::read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return text;
    text.append(chunk.data(), static_cast<size_t>(n));
    if (text.ends_with('\n')) return text;
  }
}

// The program said nothing: it crashed.
int ReportCrash(pid_t pid, const std::string& log_file) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  const std::string how = WIFSIGNALED(status) ? fmt::format("by signal {}", WTERMSIG(status))
                                              : fmt::format("with code {}", WEXITSTATUS(status));
  fmt::print(stderr, "outboxfs: the mount's process ended {}; see {}\n", how, log_file);
  return kExitFailed;
}

// "<exit code> <line>"
int ReportFailure(const std::string& message) {
  int code = kExitFailed;
  const auto [end, error] = std::from_chars(message.data(), message.data() + message.size(), code);
  const size_t skip = error == std::errc() ? static_cast<size_t>(end - message.data()) + 1 : 0;
  fmt::print(stderr, "outboxfs: {}", message.substr(std::min(skip, message.size())));
  return code;
}

}  // namespace

int LaunchInBackground(const std::vector<std::string>& arguments, const Environment& environment,
                       const std::string& log_file) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
    fmt::print(stderr, "outboxfs: no pipe: {}\n", Error::FromErrno(errno, "pipe").text);
    return kExitFailed;
  }
  FileDescriptor reader(ends[0]);
  FileDescriptor writer(ends[1]);
  // dup2 onto itself would keep close-on-exec, and 3 is what the program expects.
  if (writer.get() == kReadyFd) writer = FileDescriptor(::fcntl(kReadyFd, F_DUPFD_CLOEXEC, 4));

  std::vector<std::string> argv = {"outboxfs"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  std::vector<std::string> envp = {fmt::format("{}={}", kReadyVariable, kReadyFd)};
  for (const auto& [name, value] : environment) envp.push_back(fmt::format("{}={}", name, value));

  const std::string log_dir = std::filesystem::path(log_file).parent_path().string();
  const bool writable =
      disk::MakeDirs(log_dir) && disk::Open(log_file, O_WRONLY | O_CREAT | O_APPEND).has_value();
  SpawnPlan plan(writer.get(), writable ? log_file : "/dev/null");
  pid_t pid = 0;
  if (const int failed = plan.Start(std::move(argv), std::move(envp), pid); failed != 0) {
    fmt::print(stderr, "outboxfs: {}\n", Error::FromErrno(failed, "start in background").text);
    return kExitFailed;
  }
  writer.Close();
  const std::string message = ReadAll(reader.get());
  if (message == std::string(kReady) + "\n") return kExitOk;
  return message.empty() ? ReportCrash(pid, log_file) : ReportFailure(message);
}

ReadyPipe::ReadyPipe(const Environment& environment) {
  const std::string number = Lookup(environment, kReadyVariable);
  if (number != std::to_string(kReadyFd)) return;
  fd_ = FileDescriptor(kReadyFd);
  ::fcntl(kReadyFd, F_SETFD, FD_CLOEXEC);
}

Status ReadyPipe::Ready() { return fd_ ? Tell(std::string(kReady) + "\n") : Status(); }

void ReadyPipe::Failed(int exit_code, const std::string& line) {
  if (!fd_) return;
  const Status told = Tell(fmt::format("{} {}\n", exit_code, line));
  (void)told;  // without a launcher nobody reads it; the log has it too
}

Status ReadyPipe::Tell(const std::string& text) {
  const ssize_t n = ::write(fd_.get(), text.data(), text.size());  // shorter than PIPE_BUF
  const int error = errno;
  fd_.Close();
  if (n != static_cast<ssize_t>(text.size())) return FailErrno(error, "launcher");
  return {};
}

void NotifySystemd(const Environment& environment, const std::string& message) {
  const std::string path = Lookup(environment, "NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path.size() < 2 || path.size() >= sizeof(address.sun_path)) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  if (path.front() == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const FileDescriptor fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!fd) return;
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
  ::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
           reinterpret_cast<const sockaddr*>(&address), length);
}

}  // namespace outboxfs::cli
