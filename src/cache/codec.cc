#include "cache/codec.h"

#include <charconv>

#include "common/log.h"

namespace outboxfs::cache {
namespace {

template <typename Number>
bool ParseNumber(std::string_view text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size();
}

// Cuts the text before the next `separator` off the front of `text`.
std::string_view TakeUntil(std::string_view& text, char separator) {
  const size_t end = std::min(text.find(separator), text.size());
  const std::string_view part = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

}  // namespace

std::string EncodeDigests(const Digests& digests) {
  std::string text;
  for (const auto& [type, hex] : digests) {
    fmt::format_to(std::back_inserter(text), "{}{}={}", text.empty() ? "" : ";", type, hex);
  }
  return text;
}

std::optional<Digests> DecodeDigests(std::string_view text) {
  Digests digests;
  while (!text.empty()) {
    std::string_view hex = TakeUntil(text, ';');
    const std::string_view type_text = TakeUntil(hex, '=');
    uint32_t type = 0;
    if (!ParseNumber(type_text, type) || hex.empty()) return std::nullopt;
    digests.emplace(type, hex);
  }
  return digests;
}

std::string EncodeIdentity(const Identity& identity) {
  const std::string digests = EncodeDigests(identity.digests);
  return fmt::format("{} {} {} {}", identity.size, identity.mtime_ns,
                     digests.empty() ? "-" : digests, identity.id);
}

std::optional<Identity> DecodeIdentity(std::string_view text) {
  Identity identity;
  if (!ParseNumber(TakeUntil(text, ' '), identity.size)) return std::nullopt;
  if (!ParseNumber(TakeUntil(text, ' '), identity.mtime_ns)) return std::nullopt;
  const std::string_view digests = TakeUntil(text, ' ');
  if (digests != "-") {
    auto decoded = DecodeDigests(digests);
    if (!decoded || decoded->empty()) return std::nullopt;
    identity.digests = std::move(*decoded);
  }
  identity.id = text;
  return identity;
}

std::string EncodeRanges(const ExtentMap& map) {
  std::string text;
  for (const Extent& extent : map.All()) {
    fmt::format_to(std::back_inserter(text), "{}{}-{}", text.empty() ? "" : ";", extent.range.begin,
                   extent.range.end);
  }
  return text;
}

std::optional<ExtentMap> DecodeRanges(std::string_view text) {
  ExtentMap map;
  while (!text.empty()) {
    std::string_view end_text = TakeUntil(text, ';');
    const std::string_view begin_text = TakeUntil(end_text, '-');
    ByteRange range;
    if (!ParseNumber(begin_text, range.begin) || !ParseNumber(end_text, range.end)) {
      return std::nullopt;
    }
    if (range.begin >= range.end) return std::nullopt;
    map.Set(range, ExtentKind::kClean);
  }
  return map;
}

}  // namespace outboxfs::cache
