#include "server/knobs.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <optional>
#include <utility>

namespace outboxfs::server {
namespace {

// How one member is written as text.
struct KnobText {
  std::string key;
  std::string values;
  std::string help;
  std::function<bool(std::string_view, Knobs*)> parse;  // false: bad value, nothing changed
  std::function<std::string(const Knobs&)> print;
};

std::optional<uint64_t> ParseNumber(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

KnobText Flag(std::string key, bool Knobs::*member, std::string help) {
  return {std::move(key), "on|off", std::move(help),
          [member](std::string_view text, Knobs* knobs) {
            if (text != "on" && text != "off") return false;
            knobs->*member = text == "on";
            return true;
          },
          [member](const Knobs& knobs) { return knobs.*member ? "on" : "off"; }};
}

template <typename Integer>
KnobText Number(std::string key, Integer Knobs::*member, std::string help, uint64_t least = 0) {
  return {std::move(key), "number", std::move(help),
          [member, least](std::string_view text, Knobs* knobs) {
            const std::optional<uint64_t> value = ParseNumber(text);
            if (!value || *value < least || !std::in_range<Integer>(*value)) return false;
            knobs->*member = static_cast<Integer>(*value);
            return true;
          },
          [member](const Knobs& knobs) { return std::to_string(knobs.*member); }};
}

KnobText Duration(std::string key, Millis Knobs::*member, std::string help) {
  return {std::move(key), "ms", std::move(help),
          [member](std::string_view text, Knobs* knobs) {
            const std::optional<uint64_t> value = ParseNumber(text);
            if (!value || *value > (1ULL << 40)) return false;
            knobs->*member = Millis(static_cast<int64_t>(*value));
            return true;
          },
          [member](const Knobs& knobs) { return std::to_string((knobs.*member).count()); }};
}

KnobText Text(std::string key, std::string Knobs::*member, std::string help) {
  return {std::move(key), "text", std::move(help),
          [member](std::string_view text, Knobs* knobs) {
            knobs->*member = std::string(text);
            return true;
          },
          [member](const Knobs& knobs) { return knobs.*member; }};
}

// `names` in the order of the enum's values.
template <typename Enum>
KnobText Choice(std::string key, Enum Knobs::*member, const std::vector<std::string>& names,
                std::string help) {
  std::string values;
  for (const std::string& name : names) values += (values.empty() ? "" : "|") + name;
  return {
      std::move(key), std::move(values), std::move(help),
      [member, names](std::string_view text, Knobs* knobs) {
        const auto found = std::find(names.begin(), names.end(), text);
        if (found == names.end()) return false;
        knobs->*member = static_cast<Enum>(found - names.begin());
        return true;
      },
      [member, names](const Knobs& knobs) { return names[static_cast<size_t>(knobs.*member)]; }};
}

std::optional<HashAsk> ParseHashAsk(std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view name = text.substr(0, colon);
  HashAsk ask;
  ask.type = name == "md5" ? 1 : name == "sha1" ? 2 : name == "pikpak" ? 3 : 0;
  if (ask.type == 0) return std::nullopt;
  if (colon != std::string_view::npos) {
    const std::optional<uint64_t> block = ParseNumber(text.substr(colon + 1));
    if (ask.type != 1 || !block || *block == 0 || !std::in_range<uint32_t>(*block)) {
      return std::nullopt;
    }
    ask.block_size = static_cast<uint32_t>(*block);
  }
  return ask;
}

bool ParseHashes(std::string_view text, Knobs* knobs) {
  std::vector<HashAsk> hashes;
  while (!text.empty() && text != "none") {
    const size_t plus = std::min(text.find('+'), text.size());
    const std::optional<HashAsk> ask = ParseHashAsk(text.substr(0, plus));
    if (!ask) return false;
    hashes.push_back(*ask);
    text.remove_prefix(std::min(plus + 1, text.size()));
  }
  knobs->hashes = std::move(hashes);
  return true;
}

std::string PrintHashes(const Knobs& knobs) {
  static constexpr const char* kNames[] = {"unknown", "md5", "sha1", "pikpak"};
  std::string text;
  for (const HashAsk& ask : knobs.hashes) {
    text += (text.empty() ? "" : "+") + std::string(kNames[std::min(ask.type, 3U)]);
    if (ask.block_size > 0) text += ":" + std::to_string(ask.block_size);
  }
  return text.empty() ? "none" : text;
}

std::vector<KnobText> ChannelKnobs() {
  return {
      Flag("headers_at_once", &Knobs::headers_at_once, "channel headers before the first message"),
      Choice("replaced_end", &Knobs::replaced_end, {"aborted", "cancelled", "ok"},
             "how a replaced channel ends"),
      Flag("replay", &Knobs::replay, "unanswered requests are sent again on a new channel"),
      Choice("binding", &Knobs::binding, {"newest", "broadcast", "strict"},
             "which channel hears of an upload"),
      Flag("events_before_start", &Knobs::events_before_start,
           "events may come before the answer of the start"),
      Duration("start_delay", &Knobs::start_delay, "holds back the answer of the start"),
      Flag("replay_terminal", &Knobs::replay_terminal,
           "keep terminal statuses that found no channel"),
      Number("drop_channel_every", &Knobs::drop_channel_every,
             "break the channel after every n-th message"),
  };
}

std::vector<KnobText> WorkKnobs() {
  return {
      {"hashes", "none|md5+sha1+pikpak+md5:BLOCK", "hashes asked over the channel", ParseHashes,
       PrintHashes},
      Flag("hash_first", &Knobs::hash_first, "reads are asked after the hashes"),
      Flag("rapid_known", &Knobs::rapid_known, "rapid upload by known_hashes"),
      Flag("rapid_after_hash", &Knobs::rapid_after_hash, "rapid upload after hash answers"),
      Duration("hash_repeat", &Knobs::hash_repeat, "ask again after this time without progress"),
      Number("read_size", &Knobs::read_size, "bytes per read request", 1),
      Choice("read_order", &Knobs::read_order, {"sequential", "random", "overlapping", "duplicate"},
             "order of the read requests"),
      Number("reads_in_flight", &Knobs::reads_in_flight, "read requests at once per upload", 1),
      Choice("lazy", &Knobs::lazy, {"never", "always", "mixed"}, "the lazy_read flag"),
      Flag("check_last_chunk", &Knobs::check_last_chunk, "is_last_chunk must mean end of file"),
      Flag("check_length", &Knobs::check_length, "length must be the number of bytes sent"),
      Flag("no_waiter_as_status", &Knobs::no_waiter_as_status,
           "an unexpected read answer is a gRPC error"),
      Choice("empty_file", &Knobs::empty_file, {"finish", "hash", "read", "skipped", "error"},
             "how an empty file is uploaded"),
      Number("receive_limit", &Knobs::receive_limit, "bytes of one message", 1),
      Choice("unknown_id", &Knobs::unknown_id, {"error", "success_false", "ok"},
             "answer for an unknown upload id"),
      Number("unknown_id_code", &Knobs::unknown_id_code, "gRPC code of unknown_id=error"),
      Choice("existing", &Knobs::existing, {"replace", "newname", "skip", "error"},
             "what happens to an existing file"),
  };
}

std::vector<KnobText> AfterwardsKnobs() {
  return {
      Duration("listing_lag", &Knobs::listing_lag, "listings stay stale after Finish"),
      Duration("hash_lag", &Knobs::hash_lag, "entries lack their hashes after Finish"),
      Duration("download_lag", &Knobs::download_lag, "downloads answer 502 after Finish"),
      Flag("pending_entries", &Knobs::pending_entries, "running uploads are listed already"),
      Flag("list_hashes", &Knobs::list_hashes, "listings show SHA-1"),
      Choice("outcome", &Knobs::outcome,
             {"finish", "error_then_finish", "skipped", "ignored", "error", "fatal", "cancelled"},
             "how uploads end"),
      Text("outcome_for", &Knobs::outcome_for, "only paths that contain this"),
      Text("outcome_text", &Knobs::outcome_text, "error message of a bad outcome"),
      Flag("unknown_status", &Knobs::unknown_status, "send status 99 once"),
      Duration("pause_midway", &Knobs::pause_midway, "pause every upload for this time"),
      Number("max_running", &Knobs::max_running, "more uploads wait as Inqueue; 0: no limit"),
      Number("finished_listed", &Knobs::finished_listed, "ended uploads in the upload list"),
      Flag("keep_sessions", &Knobs::keep_sessions, "uploads survive an orderly restart"),
  };
}

std::vector<KnobText> ServerKnobs() {
  return {
      Flag("push_changes", &Knobs::push_changes, "push file-system changes"),
      Flag("push_modify", &Knobs::push_modify, "MODIFY for replaced files, else CREATE"),
      Flag("push_uploads", &Knobs::push_uploads, "push upload counts"),
      Flag("push_upload_details", &Knobs::push_upload_details, "push upload status changes"),
      Flag("ignore_case", &Knobs::ignore_case, "names differ by more than their case"),
      Text("refused_chars", &Knobs::refused_chars, "that no name may have"),
      Flag("virtual_root", &Knobs::virtual_root, "the root holds cloud accounts only"),
      Flag("system_ready", &Knobs::system_ready, "off: still starting"),
      Text("token_root", &Knobs::token_root, "folder that the tokens are restricted to"),
      Flag("token_root_is_root", &Knobs::token_root_is_root,
           "paths of a restricted token start at its folder"),
      Text("denied_permissions", &Knobs::denied_permissions, "allow_... names, comma-separated"),
      Duration("token_lifetime", &Knobs::token_lifetime, "of tokens made by a login"),
      Duration("link_lifetime", &Knobs::link_lifetime, "of download links; 0: for ever"),
      Number("download_rate", &Knobs::download_rate, "bytes per second of all downloads; 0: any"),
      Number("list_batch", &Knobs::list_batch, "entries per listing message", 1),
      Flag("verify_hashes", &Knobs::verify_hashes, "check bytes against announced hashes"),
      Flag("sync_files", &Knobs::sync_files, "fdatasync before Finish"),
      Choice("hold", &Knobs::hold,
             {"none", "preprocessing", "hashing", "transferring", "finishing"},
             "uploads stop before this phase"),
      Choice("lie", &Knobs::lie, {"none", "no_file", "wrong_size", "wrong_bytes", "unread"},
             "say Finish and do this"),
      Duration("reply_delay", &Knobs::reply_delay, "before every answer"),
  };
}

const std::vector<KnobText>& AllKnobs() {
  static const std::vector<KnobText> all = [] {
    std::vector<KnobText> list = ChannelKnobs();
    for (auto part : {WorkKnobs(), AfterwardsKnobs(), ServerKnobs()}) {
      list.insert(list.end(), part.begin(), part.end());
    }
    return list;
  }();
  return all;
}

}  // namespace

std::vector<KnobHelp> KnobKeys() {
  std::vector<KnobHelp> keys;
  for (const KnobText& knob : AllKnobs()) {
    keys.push_back({knob.key, knob.values, knob.print(Knobs()), knob.help});
  }
  return keys;
}

Status SetKnob(std::string_view assignment, Knobs* knobs) {
  const size_t equals = assignment.find('=');
  if (equals == std::string_view::npos) {
    return Fail(EINVAL, "knob " + std::string(assignment) + ": expected KEY=VALUE");
  }
  const std::string_view key = assignment.substr(0, equals);
  for (const KnobText& knob : AllKnobs()) {
    if (knob.key != key) continue;
    if (knob.parse(assignment.substr(equals + 1), knobs)) return {};
    return Fail(EINVAL, "knob " + std::string(assignment) + ": expected " + knob.values);
  }
  return Fail(EINVAL, "unknown knob " + std::string(key));
}

Result<Knobs> KnobsFromText(std::string_view text) {
  Knobs knobs;
  constexpr std::string_view kBlanks = " \t\r\n";
  while (true) {
    text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
    if (text.empty()) return knobs;
    const size_t end = std::min(text.find_first_of(kBlanks), text.size());
    if (Status set = SetKnob(text.substr(0, end), &knobs); !set) return Fail(set.error());
    text.remove_prefix(end);
  }
}

}  // namespace outboxfs::server
