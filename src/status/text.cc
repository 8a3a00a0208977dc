#include <fmt/format.h>

#include <chrono>

#include "status/render.h"
#include "status/show.h"

namespace outboxfs::status {
namespace {

using std::chrono::nanoseconds;

std::string Head(const Snapshot& snapshot) {
  const About& about = snapshot.about;
  return fmt::format("{} at {} (pid {}, up {}){}\n", about.remote, ShowPath(about.mountpoint),
                     about.pid, ShowDuration(nanoseconds(snapshot.now_ns - about.started_ns)),
                     snapshot.leaving ? ", leaving" : "");
}

std::string Server(const Snapshot& snapshot) {
  const upload::UploaderStatus& uploads = snapshot.uploads;
  if (!uploads.channel_up) {
    const std::string why = uploads.channel_error.empty() ? "connecting" : uploads.channel_error;
    return fmt::format("server   not connected: {}\n", why);
  }
  if (uploads.paused_reason.empty()) return "server   connected\n";
  return fmt::format("server   connected; uploads pause for {}: {}\n",
                     ShowDuration(nanoseconds(uploads.paused_until_ns - snapshot.now_ns)),
                     uploads.paused_reason);
}

std::string Uploads(const Snapshot& snapshot) {
  const cache::StoreTotals& totals = snapshot.totals;
  std::string text =
      fmt::format("uploads  {} pending ({})", totals.files_pending, ShowSize(totals.bytes_pending));
  if (totals.files_open > 0) text += fmt::format(", {} open", totals.files_open);
  if (totals.files_parked > 0) text += fmt::format(", {} parked", totals.files_parked);
  if (totals.files_interrupted > 0) {
    text += fmt::format(", {} interrupted", totals.files_interrupted);
  }
  return text + fmt::format("; {} done since the start ({})\n", snapshot.uploads.uploads_done,
                            ShowSize(snapshot.uploads.bytes_uploaded));
}

std::string Cache(const Snapshot& snapshot) {
  const cache::StoreTotals& totals = snapshot.totals;
  std::string text = fmt::format("cache    {} in {}", ShowSize(totals.bytes_staged),
                                 ShowPath(snapshot.about.cache_dir));
  if (totals.files_not_durable > 0) {
    text += fmt::format("; {} closed but not yet on stable storage ({} files)",
                        ShowSize(totals.bytes_not_durable), totals.files_not_durable);
  }
  if (snapshot.recovery.lost_found > 0) {
    text += fmt::format("; {} unknown files are in lost+found", snapshot.recovery.lost_found);
  }
  return text + "\n";
}

std::string Mount(const Snapshot& snapshot) {
  const fs::MountStatus& mount = snapshot.mount;
  const std::string mode = mount.passthrough
                               ? "passthrough"
                               : fmt::format("through the daemon ({})", mount.passthrough_reason);
  return fmt::format("mount    {}; {} open handles\n", mode, mount.open_handles);
}

std::string Done(const Line& line) {
  if (line.is_dir || line.size == 0 || line.bytes_done == 0) return "-";
  return fmt::format("{}%", 100 * line.bytes_done / line.size);
}

std::string Note(const Line& line, int64_t now_ns) {
  std::string note = line.note;
  if (line.next_try_ns > now_ns) {
    note += fmt::format("{}next try in {}", note.empty() ? "" : "; ",
                        ShowDuration(nanoseconds(line.next_try_ns - now_ns)));
  }
  return note.empty() ? "" : "  (" + ShowPath(note) + ")";
}

}  // namespace

std::string RenderText(const Snapshot& snapshot) {
  std::string text =
      Head(snapshot) + Server(snapshot) + Uploads(snapshot) + Cache(snapshot) + Mount(snapshot);
  if (!snapshot.lines.empty()) {
    text += fmt::format("\n{:<12} {:>5} {:>10}  {}\n", "STATE", "DONE", "SIZE", "FILE");
  }
  for (const Line& line : snapshot.lines) {
    text += fmt::format("{:<12} {:>5} {:>10}  {}{}{}\n", line.state, Done(line),
                        line.is_dir ? "-" : ShowSize(line.size), ShowPath(line.path),
                        line.is_dir ? "/" : "", Note(line, snapshot.now_ns));
  }
  if (snapshot.lines_left_out > 0) {
    text += fmt::format("… and {} more (--limit 0 lists all)\n", snapshot.lines_left_out);
  }
  return text;
}

}  // namespace outboxfs::status
