#include "cli/control_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "cli/paths.h"
#include "common/process.h"

namespace outboxfs::cli {

Result<ControlClient> ControlClient::Connect(const std::string& socket_path) {
  Result<FileDescriptor> fd = ConnectTo(socket_path);
  if (!fd) return Fail(fd.error());
  const Result<Peer> peer = PeerOf(fd->get());
  if (!peer) return Fail(peer.error());
  return ControlClient(std::move(*fd), peer->pid);
}

ControlClient::ControlClient(FileDescriptor fd, pid_t pid)
    : fd_(std::move(fd)), reader_(fd_.get(), kMaxReply), pid_(pid), process_(OpenProcess(pid)) {}

Result<ControlReply> ControlClient::Ask(const ControlRequest& request) {
  if (Status sent = WriteLine(fd_.get(), Encode(request)); !sent) return Fail(sent.error());
  const Result<std::string> line = reader_.Next();
  if (!line) return Fail(line.error());
  Result<ControlReply> reply = DecodeReply(*line);
  if (reply && !reply->error.empty()) return Fail(EIO, reply->error);
  return reply;
}

bool ControlClient::AwaitEnd(std::chrono::milliseconds timeout) {
  // Without a pidfd (another pid namespace) the end of the connection has to do.
  return outboxfs::AwaitEnd(process_ ? process_ : fd_, timeout);
}

namespace {

Result<MountedPath> FindUpwards(const std::string& runtime, const std::string& whole) {
  for (std::string dir = whole;;) {
    std::string socket = ControlSocketPath(runtime, dir);
    const Result<FileDescriptor> answers = ConnectTo(socket);
    if (answers) {
      const std::string below = whole.substr(dir == "/" ? 0 : dir.size());
      return MountedPath{dir, std::move(socket), below.empty() ? "/" : below};
    }
    if (answers.error().code == ESRCH) {
      return Fail(ESRCH, fmt::format("{}: {}: mount there again, or `outboxfs unmount` it", dir,
                                     answers.error().text));
    }
    if (dir == "/" || dir.empty()) break;
    dir = std::filesystem::path(dir).parent_path().string();
  }
  return Fail(ENOENT, fmt::format("{} is not in a mount of outboxfs", whole));
}

}  // namespace

Result<MountedPath> FindMount(const Environment& environment, const std::string& path) {
  const Result<std::string> runtime = RuntimeDir(environment);
  if (!runtime) return Fail(runtime.error());
  std::error_code error;
  const std::string typed = std::filesystem::absolute(path, error).lexically_normal().string();
  // First without a look at the path itself: below a killed daemon that would hang.
  Result<MountedPath> found = FindUpwards(*runtime, typed);
  if (!found && found.error().code == ESRCH) return found;
  // A path whose directory is gone, too, may still be one that a daemon knows.
  const Result<std::string> canonical = CanonicalPath(path);
  if (canonical && *canonical != typed) found = FindUpwards(*runtime, *canonical);
  if (!found && found.error().code == ENOENT) {
    return Fail(ENOENT, fmt::format("{} is not in a mount of outboxfs", path));
  }
  return found;
}

Result<std::vector<std::string>> LivingSockets(const Environment& environment) {
  const Result<std::string> runtime = RuntimeDir(environment);
  if (!runtime) return Fail(runtime.error());
  std::vector<std::string> sockets;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(*runtime, error)) {
    if (entry.path().extension() != ".sock") continue;
    const Result<FileDescriptor> answers = ConnectTo(entry.path());
    if (answers) sockets.push_back(entry.path());
  }
  if (error) return FailErrno(error.value(), *runtime);
  std::sort(sockets.begin(), sockets.end());
  return sockets;
}

}  // namespace outboxfs::cli
