#include <charconv>
#include <string_view>
#include <vector>

#include "remote/remote.h"
#include "remote/utf8.h"

namespace outboxfs::remote {
namespace {

constexpr size_t kNameMax = 255;  // bytes

auto Bad(const std::string& text, std::string_view why) {
  return Fail(EINVAL, "'" + text + "' is not a remote address: " + std::string(why), Retry::kPark);
}

bool IsHostChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_';
}
bool IsAddressChar(char c) {  // inside the brackets of an IPv6 address
  return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' ||
         c == '.';
}

// Splits "host[:port]" or "[v6][:port]". Empty: fine; else what is wrong.
std::string_view ParseAuthority(std::string_view text, Endpoint& endpoint) {
  size_t end = 0;
  if (text.starts_with('[')) {
    end = text.find(']');
    if (end == std::string_view::npos) return "the bracket is not closed";
    endpoint.host = text.substr(1, end - 1);
    for (const char c : endpoint.host) {
      if (!IsAddressChar(c)) return "a strange character in the address";
    }
    ++end;
  } else {
    while (end < text.size() && IsHostChar(text[end])) ++end;
    endpoint.host = text.substr(0, end);
  }
  if (endpoint.host.empty()) return "it has no host";
  const std::string_view rest = text.substr(end);
  if (rest.empty()) return {};
  if (rest.front() != ':') return "a strange character in the host";
  const std::string_view digits = rest.substr(1);
  if (digits.find(':') != std::string_view::npos) return "IPv6 addresses need brackets";
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), endpoint.port);
  if (error != std::errc{} || stop != digits.data() + digits.size() || endpoint.port < 1 ||
      endpoint.port > 65535) {
    return "the port is not a number from 1 to 65535";
  }
  return {};
}

std::string_view ParseFolder(std::string_view text, std::string& folder) {
  folder.clear();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('/', at), text.size());
    const std::string_view name = text.substr(at, end - at);
    at = end + 1;
    if (name.empty()) continue;
    if (name == "." || name == "..") return "the folder contains '.' or '..'";
    if (name.size() > kNameMax) return "a folder name is longer than 255 bytes";
    folder.append("/").append(name);
  }
  if (folder.empty()) folder = "/";
  return {};
}

}  // namespace

Result<RemoteSpec> ParseRemote(const std::string& text) {
  RemoteSpec spec;
  std::string_view rest = text;
  const size_t nul = text.find('\0');
  if (nul != std::string::npos) return Bad(text.substr(0, nul), "it contains a NUL");
  if (!IsUtf8(text)) return Bad("...", "it is not UTF-8");
  const size_t scheme = rest.find("://");
  if (scheme != std::string_view::npos && rest.find('/') == scheme + 1) {
    const std::string_view name = rest.substr(0, scheme);
    if (name != "http" && name != "https") return Bad(text, "the scheme is not http or https");
    spec.endpoint.tls = name == "https";
    rest.remove_prefix(scheme + 3);
  }
  const size_t slash = std::min(rest.find('/'), rest.size());
  const std::string_view authority = rest.substr(0, slash);
  if (authority.find('@') != std::string_view::npos) {
    // Without the text: a password would end up in the log.
    return Fail(EINVAL, "a remote address holds no user or password: use the options for them",
                Retry::kPark);
  }
  std::string_view wrong = ParseAuthority(authority, spec.endpoint);
  if (wrong.empty()) wrong = ParseFolder(rest.substr(slash), spec.folder);
  if (!wrong.empty()) return Bad(text, wrong);
  return spec;
}

}  // namespace outboxfs::remote
