#include "cli/left_behind.h"

#include <fmt/format.h>

#include "status/show.h"

namespace outboxfs::cli {
namespace {

// A line for each of `lines`, which are the first of `all`.
std::string Name(const std::vector<status::Line>& lines, uint64_t all) {
  std::string text;
  for (const status::Line& line : lines) {
    text += fmt::format("{}: {}{}{}\n", line.state, status::ShowPath(line.path),
                        line.note.empty() ? "" : ": ", status::ShowPath(line.note));
  }
  if (all > lines.size()) text += fmt::format("… and {} more\n", all - lines.size());
  return text;
}

}  // namespace

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
  return Name(left.stuck, left.items_stuck);
}

std::string NameLeft(const status::Summary& left) {
  return Name(left.waiting, left.items_pending) + DescribeStuck(left);
}

}  // namespace outboxfs::cli
