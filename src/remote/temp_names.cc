#include "remote/temp_names.h"

#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <string>

namespace outboxfs::remote {
namespace {

constexpr std::string_view kPrefix = ".obx-";
constexpr size_t kDigits = 8;
constexpr size_t kMaxTempName = 40;
constexpr uint32_t kOfARename = 0x8000'0000U;

bool IsHex(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

std::string_view ExtensionOf(std::string_view name) {
  const size_t dot = name.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? std::string_view() : name.substr(dot);
}

}  // namespace

std::string DeviceTag(std::string_view device_id) {
  const std::string_view head = device_id.substr(0, kDigits);
  if (head.size() == kDigits && IsHex(head)) return std::string(head);
  uint32_t hash = 2166136261U;  // FNV-1a: any stable spread over 32 bits will do
  for (const char c : device_id) hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  return fmt::format("{:08x}", hash);
}

std::string TempName(std::string_view device_tag, uint64_t number, std::string_view name) {
  std::string temp = fmt::format("{}{}-{:08x}", kPrefix, device_tag, static_cast<uint32_t>(number));
  const std::string_view extension = ExtensionOf(name);
  if (temp.size() + extension.size() <= kMaxTempName) temp += extension;
  return temp;
}

std::string PassingName(std::string_view device_tag, uint64_t number, std::string_view name) {
  return TempName(device_tag, static_cast<uint32_t>(number) | kOfARename, name);
}

bool IsTempName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return false;
  const std::string_view rest = name.substr(kPrefix.size());
  return rest.size() >= 2 * kDigits + 1 && IsHex(rest.substr(0, kDigits)) && rest[kDigits] == '-' &&
         IsHex(rest.substr(kDigits + 1, kDigits)) &&
         (rest.size() == 2 * kDigits + 1 || rest[2 * kDigits + 1] == '.');
}

bool IsPassingName(std::string_view name) {
  return IsTempName(name) && name[kPrefix.size() + kDigits + 1] >= '8';  // its highest bit
}

bool IsTempNameOf(std::string_view device_tag, std::string_view name) {
  return IsTempName(name) && name.substr(kPrefix.size(), kDigits) == device_tag;
}

std::optional<uint64_t> TempNumber(std::string_view device_tag, std::string_view name) {
  if (!IsTempNameOf(device_tag, name) || IsPassingName(name)) return std::nullopt;
  const std::string digits(name.substr(kPrefix.size() + kDigits + 1, kDigits));
  return std::stoul(digits, nullptr, 16);
}

}  // namespace outboxfs::remote
