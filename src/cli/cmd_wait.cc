#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/commands.h"
#include "cli/control_client.h"
#include "cli/exit_codes.h"
#include "cli/left_behind.h"
#include "cli/path_operands.h"
#include "status/show.h"

namespace outboxfs::cli {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::nanoseconds kShortestPause = std::chrono::milliseconds(200);

// Asks all mounts once and adds up what they say.
Result<status::Summary> AskAll(std::vector<ControlClient>& daemons,
                               const std::vector<MountOperands>& mounts) {
  status::Summary sum;
  for (size_t i = 0; i < daemons.size(); ++i) {
    Result<ControlReply> reply =
        daemons[i].Ask({.command = ControlCommand::kSummary, .paths = mounts[i].paths});
    if (!reply) return Fail(reply.error().Prepend("the daemon ended"));
    const status::Summary& part = reply->summary;
    sum.items_pending += part.items_pending;
    sum.bytes_pending += part.bytes_pending;
    sum.bytes_done += part.bytes_done;
    sum.items_stuck += part.items_stuck;
    sum.stuck.insert(sum.stuck.end(), part.stuck.begin(), part.stuck.end());
  }
  return sum;
}

// The line that follows the uploads on a terminal; nothing is written elsewhere.
class ProgressLine {
 public:
  ProgressLine() = default;
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;
  ~ProgressLine() {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }
  void Show(const status::Summary& now) {
    if (!terminal_) return;
    const uint64_t left = now.bytes_pending - now.bytes_done;
    fmt::print(stderr, "\r\033[K{} left, {}", now.items_pending, status::ShowSize(left));
    if (now.bytes_pending > 0) {
      fmt::print(stderr, " (the present ones are {}% there)",
                 100 * now.bytes_done / now.bytes_pending);
    }
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  const bool terminal_ = ::isatty(STDERR_FILENO) == 1;
  bool shown_ = false;
};

int Finish(const status::Summary& summary) {
  if (summary.items_stuck == 0) return kExitOk;
  fmt::print(stderr, "{}", DescribeStuck(summary));
  return Complain(kExitFailed, fmt::format("{} could not be uploaded; `outboxfs retry` tries again",
                                           summary.items_stuck));
}

int WaitFor(std::vector<ControlClient>& daemons, const std::vector<MountOperands>& mounts,
            const Config& config) {
  const auto begin = steady_clock::now();
  ProgressLine progress;
  while (true) {
    const auto asked = steady_clock::now();
    const Result<status::Summary> summary = AskAll(daemons, mounts);
    if (!summary) return Complain(kExitFailed, summary.error().text);
    if (summary->items_pending == 0) return Finish(*summary);
    const auto now = steady_clock::now();
    if (config.timeout && now - begin >= *config.timeout) {
      return Complain(kExitTimeout,
                      fmt::format("{} still not uploaded ({})", summary->items_pending,
                                  status::ShowSize(summary->bytes_pending - summary->bytes_done)));
    }
    progress.Show(*summary);
    // With very many files the question itself costs something.
    std::chrono::nanoseconds pause = std::max(kShortestPause, 10 * (now - asked));
    if (config.timeout) pause = std::min(pause, *config.timeout - (now - begin));
    std::this_thread::sleep_for(pause);
  }
}

}  // namespace

int RunWait(const CommandContext& context) {
  const Result<std::vector<MountOperands>> mounts =
      SortByMount(context.environment, context.operands);
  if (!mounts) return Complain(kExitFailed, mounts.error().text);
  std::vector<ControlClient> daemons;
  for (const MountOperands& mount : *mounts) {
    Result<ControlClient> daemon = ControlClient::Connect(mount.socket);
    if (!daemon) return Complain(kExitFailed, daemon.error().text);
    daemons.push_back(std::move(*daemon));
  }
  return WaitFor(daemons, *mounts, context.config);
}

}  // namespace outboxfs::cli
