#include "cli/left_behind.h"

#include <fmt/format.h>

#include "status/show.h"

namespace outboxfs::cli {

bool IsNothing(const status::Summary& left) {
  return left.items_pending == 0 && left.items_stuck == 0;
}

std::string DescribeLeft(const status::Summary& left) {
  if (IsNothing(left)) return "everything is uploaded";
  std::string text = "left for the next start:";
  if (left.items_pending > 0) {
    text += fmt::format(" {} not uploaded yet ({})", left.items_pending,
                        status::ShowSize(left.bytes_pending - left.bytes_done));
  }
  if (left.items_stuck > 0) {
    text += fmt::format("{} {} that need you (see outboxfs status)",
                        left.items_pending > 0 ? "," : "", left.items_stuck);
  }
  return text;
}

std::string DescribeStuck(const status::Summary& left) {
  std::string text;
  for (const status::Line& line : left.stuck) {
    text += fmt::format("{}: {}{}{}\n", line.state, status::ShowPath(line.path),
                        line.note.empty() ? "" : ": ", status::ShowPath(line.note));
  }
  if (left.items_stuck > left.stuck.size()) {
    text += fmt::format("… and {} more\n", left.items_stuck - left.stuck.size());
  }
  return text;
}

}  // namespace outboxfs::cli
