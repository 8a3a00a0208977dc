// Wire messages <-> plain structs. Nothing of what the server sends is believed: names that cannot
// be shown are dropped, figures outside their range become 0. Pure functions, thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "clouddrive.pb.h"
#include "common/result.h"
#include "remote/namespace_api.h"
#include "remote/upload_api.h"

namespace outboxfs::remote {

// Can be a file name here: 1 to 255 bytes, no "/" or NUL, not "." or "..".
bool IsUsableName(std::string_view name);
// May be sent: absolute, UTF-8, no NUL. EINVAL or EILSEQ, parked: no repetition helps.
Status CheckPath(std::string_view path);
Status CheckName(std::string_view name);

int64_t ToWallNs(const google::protobuf::Timestamp& time);  // 0 when out of range
// Only types that we know, of the right length, in the case that the wire wants.
Hashes ToHashes(const google::protobuf::Map<uint32_t, std::string>& hashes);
// nullopt when the name is not usable.
std::optional<Entry> ToEntry(const clouddrive::CloudDriveFile& file);
Space ToSpace(const clouddrive::SpaceInfo& space);
DownloadLink ToDownloadLink(const clouddrive::DownloadUrlPathInfo& info);
TokenFacts ToTokenFacts(const clouddrive::TokenInfo& info);
// nullopt when the message is not about files, or has no usable path.
std::optional<FsChange> ToFsChange(const clouddrive::CloudDrivePushMessage& message);

// nullopt when there is no upload id or a kind of request that we do not know.
std::optional<ChannelEvent> ToChannelEvent(const clouddrive::RemoteUploadChannelReply& reply);
QueuedUpload ToQueuedUpload(const clouddrive::UploadFileInfo& info);

clouddrive::StartRemoteUploadRequest FromStartRequest(const StartRequest& request);
clouddrive::RemoteHashProgressUpload FromHashReport(const HashReport& report);
clouddrive::RemoteUploadControlRequest FromControl(const std::string& upload_id, Control control);

}  // namespace outboxfs::remote
