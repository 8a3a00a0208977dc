#include "cli/server_probe.h"

#include <fmt/format.h>

#include <cerrno>
#include <future>

#include "common/thread.h"

namespace outboxfs::cli {
namespace {

ProbeResult Look(remote::NamespaceApi& names, const std::string& folder,
                 const std::stop_token& stop) {
  ProbeResult result;
  if (const auto facts = names.Probe(stop); !facts) {
    const Error& error = facts.error();
    if (error.code == EACCES || error.code == EPERM) {
      result.refused = Fail(EACCES, fmt::format("the server refuses the token: {}", error.text));
    } else {
      result.unreachable = error.text;
    }
    return result;
  }
  if (folder == "/") return result;
  if (const auto found = names.Find(folder, stop); !found && found.error().code == ENOENT) {
    result.refused = Fail(ENOENT, fmt::format("the server has no folder {}", folder));
  } else if (found && !found->is_dir) {
    result.refused = Fail(ENOTDIR, fmt::format("{} is a file at the server", folder));
  }
  return result;
}

}  // namespace

ProbeResult ProbeServer(remote::NamespaceApi& names, const std::string& folder,
                        std::chrono::milliseconds longest) {
  std::promise<ProbeResult> promise;
  std::future<ProbeResult> future = promise.get_future();
  const std::jthread thread = StartThread(
      "probe", [&](const std::stop_token& stop) { promise.set_value(Look(names, folder, stop)); });
  if (future.wait_for(longest) == std::future_status::ready) return future.get();
  return {.unreachable = fmt::format("no answer within {} ms", longest.count())};
}

}  // namespace outboxfs::cli
