#include "remote/convert.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "remote/utf8.h"

namespace outboxfs::remote {
namespace {

constexpr size_t kNameMax = 255;   // bytes; what Linux allows
constexpr size_t kPathMax = 4095;  // bytes
constexpr int64_t kNsPerSecond = 1'000'000'000;

// Hex digits of a hash; 0: a type that we do not know.
size_t HexLength(HashType type) {
  switch (type) {
    case HashType::kMd5:
      return 32;
    case HashType::kSha1:
    case HashType::kPikPakSha1:
      return 40;
    case HashType::kUnknown:
      break;
  }
  return 0;
}

// "" when `text` is not a hash of `type`.
std::string CanonicalHash(HashType type, std::string text) {
  if (text.size() != HexLength(type)) return {};
  for (char& c : text) {
    const bool digit = c >= '0' && c <= '9';
    const bool lower = c >= 'a' && c <= 'f';
    const bool upper = c >= 'A' && c <= 'F';
    if (!digit && !lower && !upper) return {};
    if (type == HashType::kPikPakSha1 && lower) c = static_cast<char>(c - 'a' + 'A');
    if (type != HashType::kPikPakSha1 && upper) c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

uint64_t Unsigned(int64_t bytes) { return bytes > 0 ? static_cast<uint64_t>(bytes) : 0; }

std::optional<int64_t> Seconds(bool present, uint64_t seconds) {
  if (!present || seconds > std::numeric_limits<int64_t>::max()) return std::nullopt;
  return static_cast<int64_t>(seconds);
}

std::string WithoutTrailingSlash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

}  // namespace

bool IsUsableName(std::string_view name) {
  return !name.empty() && name.size() <= kNameMax && name != "." && name != ".." &&
         name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos;
}

Status CheckPath(std::string_view path) {
  if (!path.starts_with('/') || path.find('\0') != std::string_view::npos) {
    return Fail(EINVAL, "not an absolute path", Retry::kPark);
  }
  if (path.size() > kPathMax) return Fail(ENAMETOOLONG, "the path is too long", Retry::kPark);
  if (!IsUtf8(path)) return Fail(EILSEQ, "the name is not UTF-8", Retry::kPark);
  return {};
}

Status CheckName(std::string_view name) {
  if (name.size() > kNameMax) return Fail(ENAMETOOLONG, "the name is too long", Retry::kPark);
  if (!IsUsableName(name)) return Fail(EINVAL, "not a file name", Retry::kPark);
  if (!IsUtf8(name)) return Fail(EILSEQ, "the name is not UTF-8", Retry::kPark);
  return {};
}

int64_t ToWallNs(const google::protobuf::Timestamp& time) {
  constexpr int64_t kMaxSeconds = std::numeric_limits<int64_t>::max() / kNsPerSecond - 1;
  if (time.seconds() > kMaxSeconds || time.seconds() < -kMaxSeconds || time.nanos() < 0 ||
      time.nanos() >= kNsPerSecond) {
    return 0;
  }
  return time.seconds() * kNsPerSecond + time.nanos();
}

Hashes ToHashes(const google::protobuf::Map<uint32_t, std::string>& hashes) {
  Hashes out;
  for (const auto& [number, text] : hashes) {
    const auto type = static_cast<HashType>(number);
    if (number == 0 || number > static_cast<uint32_t>(HashType::kPikPakSha1)) continue;
    std::string hash = CanonicalHash(type, text);
    if (!hash.empty()) out.emplace(type, std::move(hash));
  }
  return out;
}

std::optional<Entry> ToEntry(const clouddrive::CloudDriveFile& file) {
  if (!IsUsableName(file.name())) return std::nullopt;
  Entry entry;
  entry.name = file.name();
  entry.is_dir = file.isdirectory();
  entry.size = entry.is_dir ? 0 : Unsigned(file.size());
  if (file.has_writetime()) entry.mtime_ns = ToWallNs(file.writetime());
  entry.id = file.id();
  entry.hashes = ToHashes(file.filehashes());
  // An entry that is still being uploaded shows name and size, but is no file of the cloud yet and
  // has no hash (docs/PROTOCOL.md, rule 13).
  entry.pending = !entry.is_dir && !file.iscloudfile() && !file.islocal() && entry.hashes.empty();
  entry.read_only = file.readonly() || file.cloudapi().readonly();
  return entry;
}

Space ToSpace(const clouddrive::SpaceInfo& space) {
  Space out{Unsigned(space.totalspace()), Unsigned(space.usedspace()), Unsigned(space.freespace())};
  // Some clouds give only two of the three.
  if (out.total < out.used) out.total = out.used;
  out.free = std::min(out.free, out.total - out.used);
  return out;
}

DownloadLink ToDownloadLink(const clouddrive::DownloadUrlPathInfo& info) {
  DownloadLink link;
  link.expires_in_s = Seconds(info.has_expiresin(), info.expiresin());
  if (info.directurl().empty()) {
    link.url = info.downloadurlpath();
    return link;
  }
  link.url = info.directurl();
  link.user_agent = info.useragent();
  for (const auto& [name, value] : info.additionalheaders()) link.headers.emplace_back(name, value);
  return link;
}

TokenFacts ToTokenFacts(const clouddrive::TokenInfo& info) {
  TokenFacts facts;
  facts.root_dir = info.rootdir();
  facts.may_push = info.permissions().allow_push_message();
  facts.may_list_uploads = info.permissions().allow_get_transfer_tasks();
  facts.may_get_space = info.permissions().allow_get_space_info();
  // 0 means never, as absent does.
  if (info.expires_in() != 0) facts.expires_in_s = Seconds(true, info.expires_in());
  return facts;
}

std::optional<FsChange> ToFsChange(const clouddrive::CloudDrivePushMessage& message) {
  if (!message.has_filesystemchange()) return std::nullopt;
  const clouddrive::FileSystemChange& wire = message.filesystemchange();
  FsChange change;
  change.is_dir = wire.isdirectory();
  change.path = WithoutTrailingSlash(wire.path());
  change.new_path = WithoutTrailingSlash(wire.newpath());
  if (!CheckPath(change.path)) return std::nullopt;
  switch (static_cast<int>(wire.changetype())) {
    case clouddrive::FileSystemChange::CREATE:
      change.kind = FsChange::Kind::kCreate;
      break;
    case clouddrive::FileSystemChange::DELETE:
      change.kind = FsChange::Kind::kDelete;
      break;
    case clouddrive::FileSystemChange::RENAME:
      // Without a new path it went somewhere unknown: gone from here.
      change.kind = CheckPath(change.new_path) ? FsChange::Kind::kRename : FsChange::Kind::kDelete;
      break;
    default:
      break;
  }
  if (change.kind != FsChange::Kind::kRename) change.new_path.clear();
  return change;
}

std::optional<ChannelEvent> ToChannelEvent(const clouddrive::RemoteUploadChannelReply& reply) {
  if (reply.upload_id().empty()) return std::nullopt;
  ChannelEvent event{reply.upload_id(), ReadRequest{}};
  switch (reply.request_case()) {
    case clouddrive::RemoteUploadChannelReply::kReadData: {
      const auto& read = reply.read_data();
      event.what = ReadRequest{read.offset(), read.length(), read.lazy_read()};
      return event;
    }
    case clouddrive::RemoteUploadChannelReply::kHashData: {
      const auto& hash = reply.hash_data();
      event.what = HashRequest{hash.hash_type(), hash.block_size()};
      return event;
    }
    case clouddrive::RemoteUploadChannelReply::kStatusChanged: {
      const auto& status = reply.status_changed();
      event.what = StatusChange{static_cast<UploadStatus>(status.status()), status.error_message()};
      return event;
    }
    case clouddrive::RemoteUploadChannelReply::REQUEST_NOT_SET:
      break;
  }
  return std::nullopt;
}

QueuedUpload ToQueuedUpload(const clouddrive::UploadFileInfo& info) {
  return QueuedUpload{info.key(), WithoutTrailingSlash(info.destpath()), info.size(),
                      static_cast<UploadStatus>(info.statusenum()), info.errormessage()};
}

clouddrive::StartRemoteUploadRequest FromStartRequest(const StartRequest& request) {
  clouddrive::StartRemoteUploadRequest wire;
  wire.set_file_path(request.path);
  wire.set_file_size(request.size);
  wire.set_client_can_calculate_hashes(true);
  for (const auto& [type, text] : request.known_hashes) {
    (*wire.mutable_known_hashes())[static_cast<uint32_t>(type)] = text;
  }
  return wire;
}

clouddrive::RemoteHashProgressUpload FromHashReport(const HashReport& report) {
  clouddrive::RemoteHashProgressUpload wire;
  wire.set_upload_id(report.upload_id);
  wire.set_bytes_hashed(report.bytes_hashed);
  wire.set_total_bytes(report.total_bytes);
  wire.set_hash_type(static_cast<clouddrive::CloudDriveFile::HashType>(report.type));
  if (report.hash) wire.set_hash_value(*report.hash);
  for (const std::string& block : report.block_hashes) wire.add_block_hashes(block);
  return wire;
}

clouddrive::RemoteUploadControlRequest FromControl(const std::string& upload_id, Control control) {
  clouddrive::RemoteUploadControlRequest wire;
  wire.set_upload_id(upload_id);
  switch (control) {
    case Control::kCancel:
      wire.mutable_cancel();
      break;
    case Control::kPause:
      wire.mutable_pause();
      break;
    case Control::kResume:
      wire.mutable_resume();
      break;
  }
  return wire;
}

}  // namespace outboxfs::remote
