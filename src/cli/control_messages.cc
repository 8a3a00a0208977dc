#include "cli/control_messages.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace outboxfs::cli {
namespace {

using nlohmann::json;
using status::Line;
using status::Summary;

// In the order of the enums.
constexpr std::array<std::string_view, 4> kCommands = {"status", "summary", "retry", "unmount"};
constexpr std::array<std::string_view, 3> kFormats = {"text", "json", "metrics"};

template <typename Enum, size_t n>
std::optional<Enum> FromWord(const std::array<std::string_view, n>& words, const json& value) {
  if (!value.is_string()) return std::nullopt;
  for (size_t i = 0; i < n; ++i) {
    if (value.get_ref<const std::string&>() == words.at(i)) return static_cast<Enum>(i);
  }
  return std::nullopt;
}

std::string Dump(const json& message) {
  return message.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::optional<json> ParseObject(const std::string& line) {
  json message = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!message.is_object()) return std::nullopt;
  return message;
}

uint64_t NumberOf(const json& message, const char* key) {
  const auto found = message.find(key);
  return found != message.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

std::string TextOf(const json& message, const char* key) {
  const auto found = message.find(key);
  return found != message.end() && found->is_string() ? found->get<std::string>() : "";
}

json ToJson(const std::vector<Line>& lines) {
  json list = json::array();
  for (const Line& line : lines) {
    list.push_back({{"path", line.path}, {"state", line.state}, {"note", line.note}});
  }
  return list;
}

json ToJson(const Summary& summary) {
  return {{"items_pending", summary.items_pending}, {"bytes_pending", summary.bytes_pending},
          {"bytes_done", summary.bytes_done},       {"items_stuck", summary.items_stuck},
          {"stuck", ToJson(summary.stuck)},         {"waiting", ToJson(summary.waiting)}};
}

std::vector<Line> LinesOf(const json& message, const char* key) {
  std::vector<Line> lines;
  const auto found = message.find(key);
  if (found == message.end() || !found->is_array()) return lines;
  for (const json& element : *found) {
    if (!element.is_object()) continue;
    Line line;
    line.path = TextOf(element, "path");
    line.state = TextOf(element, "state");
    line.note = TextOf(element, "note");
    lines.push_back(std::move(line));
  }
  return lines;
}

Summary SummaryOf(const json& message) {
  Summary summary;
  summary.items_pending = NumberOf(message, "items_pending");
  summary.bytes_pending = NumberOf(message, "bytes_pending");
  summary.bytes_done = NumberOf(message, "bytes_done");
  summary.items_stuck = NumberOf(message, "items_stuck");
  summary.stuck = LinesOf(message, "stuck");
  summary.waiting = LinesOf(message, "waiting");
  return summary;
}

}  // namespace

std::string Encode(const ControlRequest& request) {
  json message = {{"command", kCommands.at(static_cast<size_t>(request.command))},
                  {"format", kFormats.at(static_cast<size_t>(request.format))},
                  {"limit", request.limit},
                  {"paths", request.paths},
                  {"accept", request.accept}};
  if (request.drain_timeout) message["drain_timeout_ns"] = request.drain_timeout->count();
  return Dump(message);
}

std::string Encode(const ControlReply& reply) {
  return Dump({{"error", reply.error},
               {"body", reply.body},
               {"summary", ToJson(reply.summary)},
               {"count", reply.count}});
}

Result<ControlRequest> DecodeRequest(const std::string& line) {
  const std::optional<json> message = ParseObject(line);
  if (!message) return Fail(EPROTO, "not a JSON object");
  ControlRequest request;
  const auto command = FromWord<ControlCommand>(kCommands, message->value("command", json()));
  if (!command) return Fail(EPROTO, "unknown command");
  request.command = *command;
  const auto format = FromWord<StatusFormat>(kFormats, message->value("format", json("text")));
  if (!format) return Fail(EPROTO, "unknown format");
  request.format = *format;
  request.limit = NumberOf(*message, "limit");
  const json paths = message->value("paths", json::array());
  if (!paths.is_array()) return Fail(EPROTO, "paths is not a list");
  for (const json& path : paths) {
    if (!path.is_string()) return Fail(EPROTO, "a path is not a text");
    request.paths.push_back(path.get<std::string>());
  }
  const json accept = message->value("accept", json(false));
  if (!accept.is_boolean()) return Fail(EPROTO, "accept is neither true nor false");
  request.accept = accept.get<bool>();
  const auto timeout = message->find("drain_timeout_ns");
  if (timeout != message->end()) {
    if (!timeout->is_number_unsigned()) return Fail(EPROTO, "drain_timeout_ns is not a number");
    request.drain_timeout = std::chrono::nanoseconds(timeout->get<int64_t>());
  }
  return request;
}

Result<ControlReply> DecodeReply(const std::string& line) {
  const std::optional<json> message = ParseObject(line);
  if (!message) return Fail(EPROTO, "the daemon answered with something strange");
  ControlReply reply;
  reply.error = TextOf(*message, "error");
  reply.body = TextOf(*message, "body");
  reply.count = NumberOf(*message, "count");
  const auto summary = message->find("summary");
  if (summary != message->end() && summary->is_object()) reply.summary = SummaryOf(*summary);
  return reply;
}

}  // namespace outboxfs::cli
