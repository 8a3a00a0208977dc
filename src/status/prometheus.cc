#include <fmt/format.h>

#include <array>
#include <map>
#include <sstream>

#include "status/render.h"

namespace outboxfs::status {
namespace {

struct Metric {
  const char* name;
  const char* type;
  const char* help;
  uint64_t value;
};

// Inside a label's quotes.
std::string Label(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '\\' || c == '"') escaped += '\\';
    if (c == '\n') {
      escaped += "\\n";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

std::string RenderMetrics(const Snapshot& snapshot) {
  const cache::StoreTotals& totals = snapshot.totals;
  const upload::UploaderStatus& uploads = snapshot.uploads;
  const std::array metrics = {
      Metric{"connected", "gauge", "1 while the upload channel is open", uploads.channel_up},
      Metric{"paused", "gauge", "1 while the whole queue pauses", !uploads.paused_reason.empty()},
      Metric{"uploads_total", "counter", "files uploaded and verified", uploads.uploads_done},
      Metric{"uploaded_bytes_total", "counter", "bytes that the server has acknowledged",
             uploads.bytes_uploaded},
      Metric{"unknown_upload_ids_total", "counter", "messages for uploads that are not ours",
             uploads.unknown_upload_ids},
      Metric{"refused_requests_total", "counter", "requests of the server that made no sense",
             uploads.refused_requests},
      Metric{"pending_files", "gauge", "files waiting or uploading", totals.files_pending},
      Metric{"pending_bytes", "gauge", "their bytes", totals.bytes_pending},
      Metric{"open_files", "gauge", "files being written", totals.files_open},
      Metric{"parked_files", "gauge", "files that need a person", totals.files_parked},
      Metric{"interrupted_files", "gauge", "files that were being written when a daemon died",
             totals.files_interrupted},
      Metric{"staged_bytes", "gauge", "disk space of the staged files", totals.bytes_staged},
      Metric{"not_durable_bytes", "gauge", "closed, not yet on stable storage",
             totals.bytes_not_durable},
      Metric{"open_handles", "gauge", "open files and directories", snapshot.mount.open_handles},
      Metric{"slow_lane_in_use", "gauge", "requests that wait for the remote",
             snapshot.mount.slow_lane_in_use},
  };
  std::string text;
  for (const Metric& metric : metrics) {
    text += fmt::format("# HELP outboxfs_{0} {1}\n# TYPE outboxfs_{0} {2}\n", metric.name,
                        metric.help, metric.type);
    text += fmt::format("outboxfs_{}{{mountpoint=\"{}\"}} {}\n", metric.name,
                        Label(snapshot.about.mountpoint), metric.value);
  }
  return text;
}

std::string MergeMetrics(const std::vector<std::string>& texts) {
  struct Family {
    std::string comments;
    std::string samples;
  };
  std::vector<Family> families;
  std::map<std::string, size_t> by_comments;
  for (const std::string& text : texts) {
    std::istringstream lines(text);
    std::string comments;
    size_t at = 0;
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('#')) {
        comments += line + "\n";
        continue;
      }
      if (!comments.empty()) {
        at = by_comments.emplace(comments, families.size()).first->second;
        if (at == families.size()) families.push_back({comments, ""});
        comments.clear();
      }
      families.at(at).samples += line + "\n";
    }
  }
  std::string merged;
  for (const Family& family : families) merged += family.comments + family.samples;
  return merged;
}

}  // namespace outboxfs::status
