#include <nlohmann/json.hpp>

#include "status/render.h"

namespace outboxfs::status {
namespace {

using nlohmann::json;

json Lines(const std::vector<Line>& lines) {
  json result = json::array();
  for (const Line& line : lines) {
    result.push_back({{"path", line.path},
                      {"type", line.is_dir ? "directory" : "file"},
                      {"state", line.state},
                      {"size", line.size},
                      {"bytes_done", line.bytes_done},
                      {"attempts", line.attempts},
                      {"next_try_ns", line.next_try_ns},
                      {"note", line.note}});
  }
  return result;
}

json Uploads(const Snapshot& snapshot) {
  const upload::UploaderStatus& uploads = snapshot.uploads;
  const cache::StoreTotals& totals = snapshot.totals;
  return {{"connected", uploads.channel_up},
          {"connection_error", uploads.channel_error},
          {"paused_reason", uploads.paused_reason},
          {"paused_until_ns", uploads.paused_until_ns},
          {"done", uploads.uploads_done},
          {"bytes_uploaded", uploads.bytes_uploaded},
          {"unknown_upload_ids", uploads.unknown_upload_ids},
          {"refused_requests", uploads.refused_requests},
          {"files_pending", totals.files_pending},
          {"bytes_pending", totals.bytes_pending},
          {"files_open", totals.files_open},
          {"files_parked", totals.files_parked},
          {"files_interrupted", totals.files_interrupted}};
}

json Cache(const Snapshot& snapshot) {
  const cache::StoreTotals& totals = snapshot.totals;
  return {{"directory", snapshot.about.cache_dir},
          {"bytes_staged", totals.bytes_staged},
          {"files_not_durable", totals.files_not_durable},
          {"bytes_not_durable", totals.bytes_not_durable},
          {"recovered_pending", snapshot.recovery.pending},
          {"recovered_interrupted", snapshot.recovery.interrupted},
          {"recovered_lost_found", snapshot.recovery.lost_found},
          {"recovered_missing", snapshot.recovery.missing}};
}

json Mount(const fs::MountStatus& mount) {
  return {{"passthrough", mount.passthrough},
          {"passthrough_reason", mount.passthrough_reason},
          {"nodes", mount.nodes},
          {"open_handles", mount.open_handles},
          {"slow_lane_in_use", mount.slow_lane_in_use},
          {"slow_lane_capacity", mount.slow_lane_capacity},
          {"read_cache_bytes", mount.read_cache_bytes}};
}

}  // namespace

std::string RenderJson(const Snapshot& snapshot) {
  const About& about = snapshot.about;
  const json document = {{"version", about.version},
                         {"remote", about.remote},
                         {"mountpoint", about.mountpoint},
                         {"log_file", about.log_file},
                         {"pid", about.pid},
                         {"started_ns", about.started_ns},
                         {"now_ns", snapshot.now_ns},
                         {"leaving", snapshot.leaving},
                         {"uploads", Uploads(snapshot)},
                         {"cache", Cache(snapshot)},
                         {"mount", Mount(snapshot.mount)},
                         {"items", Lines(snapshot.lines)},
                         {"items_left_out", snapshot.lines_left_out}};
  return document.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace outboxfs::status
