#include "cli/path_operands.h"

#include <cerrno>
#include <map>

#include "cli/control_client.h"

namespace outboxfs::cli {

Result<std::vector<MountOperands>> SortByMount(const Environment& environment,
                                               const std::vector<std::string>& paths) {
  std::vector<MountOperands> mounts;
  if (paths.empty()) {
    const Result<std::vector<std::string>> sockets = LivingSockets(environment);
    if (!sockets) return Fail(sockets.error());
    if (sockets->empty()) return Fail(ENOENT, "nothing is mounted");
    for (const std::string& socket : *sockets) mounts.push_back({socket, {}});
    return mounts;
  }
  std::map<std::string, std::vector<std::string>> by_socket;
  for (const std::string& path : paths) {
    const Result<MountedPath> found = FindMount(environment, path);
    if (!found) return Fail(found.error());
    by_socket[found->socket].push_back(found->path);
  }
  for (auto& [socket, below] : by_socket) mounts.push_back({socket, std::move(below)});
  return mounts;
}

}  // namespace outboxfs::cli
