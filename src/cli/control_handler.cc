#include "cli/control_handler.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "status/render.h"

namespace outboxfs::cli {

ControlHandler::ControlHandler(cache::Store& store, upload::Uploader& uploader,
                               const fs::MountSession& session, Leaving& leaving,
                               const Clock& clock, status::About about)
    : store_(store),
      uploader_(uploader),
      session_(session),
      leaving_(leaving),
      clock_(clock),
      about_(std::move(about)) {}

ControlReply ControlHandler::Handle(const ControlRequest& request, const std::stop_token& stop) {
  switch (request.command) {
    case ControlCommand::kStatus:
      return ShowStatus(request);
    case ControlCommand::kSummary:
      return {.summary = status::Summarise(store_, uploader_, request.paths)};
    case ControlCommand::kRetry:
      return Retry(request);
    case ControlCommand::kUnmount:
      return Unmount(request, stop);
  }
  return {.error = "unknown command"};
}

ControlReply ControlHandler::ShowStatus(const ControlRequest& request) const {
  const status::Rooms rooms{store_, uploader_, session_, clock_};
  status::Snapshot snapshot = status::Collect(rooms, about_, request.limit);
  snapshot.leaving = leaving_.begun();
  switch (request.format) {
    case StatusFormat::kText:
      return {.body = status::RenderText(snapshot)};
    case StatusFormat::kJson:
      return {.body = status::RenderJson(snapshot)};
    case StatusFormat::kMetrics:
      return {.body = status::RenderMetrics(snapshot)};
  }
  return {.error = "unknown format"};
}

ControlReply ControlHandler::Retry(const ControlRequest& request) {
  ControlReply reply;
  const int64_t now_ns = clock_.WallNs();
  uploader_.EndPause();
  for (const cache::Item& item : store_.All()) {
    const bool wanted = status::IsAtOrBelowAny(item.path, request.paths);
    const bool stands = item.state == cache::State::kParked ||
                        item.state == cache::State::kInterrupted || item.not_before_ns > now_ns;
    if (!wanted || !stands) continue;
    if (request.accept && item.error_code != cache::kUnprovenCode) continue;
    const Status released = request.accept ? store_.Accept(item.id) : store_.Retry(item.id);
    if (!released) {
      Log::Notice("retry {}: {}", item.path, released.error().text);
      continue;  // it moved on by itself
    }
    uploader_.Hurry(item.id);
    ++reply.count;
  }
  if (!request.accept) reply.count += RetryRenames(request.paths);
  return reply;
}

// Those that the server has yet to follow and that somebody has to look at.
uint64_t ControlHandler::RetryRenames(const std::vector<std::string>& paths) {
  uint64_t count = 0;
  if (!store_.AnyDeferred()) return count;
  for (const cache::Intent& intent : store_.Intents()) {
    const std::string& name = intent.to.empty() ? intent.from : intent.to;
    if (intent.trouble.empty() || !status::IsAtOrBelowAny(name, paths)) continue;
    store_.NoteTrouble(intent.id, "");
    ++count;
  }
  return count;
}

ControlReply ControlHandler::Unmount(const ControlRequest& request, const std::stop_token& stop) {
  leaving_.Begin(request.drain_timeout);
  std::optional<status::Summary> left = leaving_.Await(stop);
  if (!left) return {.error = "the daemon ended before the uploads were drained"};
  return {.summary = std::move(*left)};
}

}  // namespace outboxfs::cli
