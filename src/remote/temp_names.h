// Names that outboxfs gives to things on the server for a while: uploads beside the file they are
// to replace, entries on their way through a rename. Every outboxfs hides them. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace outboxfs::remote {

// Eight hex digits that stand for this device: only what carries them is ours to remove.
std::string DeviceTag(std::string_view device_id);
// ".obx-<device tag>-<8 hex of number>" and the last extension of `name` if both fit into 40 bytes.
// Uploads use their item's number, so that what a crash leaves is found again.
std::string TempName(std::string_view device_tag, uint64_t number, std::string_view name);
// For a rename on the server; `number` is never an upload's.
std::string PassingName(std::string_view device_tag, uint64_t number, std::string_view name);
bool IsTempName(std::string_view name);
bool IsPassingName(std::string_view name);
// The number of a TempName that carries this device; nullopt: another name, or a rename's.
std::optional<uint64_t> TempNumber(std::string_view device_tag, std::string_view name);
bool IsTempNameOf(std::string_view device_tag, std::string_view name);

}  // namespace outboxfs::remote
