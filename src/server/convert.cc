#include "server/convert.h"

#include "server/path.h"
#include "server/token_root.h"

namespace outboxfs::server {
namespace {

void SetTime(int64_t nanoseconds, google::protobuf::Timestamp* time) {
  constexpr int64_t kSecond = 1'000'000'000;
  time->set_seconds(nanoseconds / kSecond);
  time->set_nanos(static_cast<int32_t>(nanoseconds % kSecond));
}

}  // namespace

clouddrive::CloudDriveFile ToFile(const Entry& entry, const Knobs& knobs) {
  clouddrive::CloudDriveFile file;
  file.set_id(entry.id);
  file.set_name(NameOf(entry.path));
  file.set_fullpathname(OuterPath(entry.path, knobs));
  file.set_size(static_cast<int64_t>(entry.size));
  file.set_filetype(entry.is_directory ? clouddrive::CloudDriveFile::Directory
                                       : clouddrive::CloudDriveFile::File);
  SetTime(entry.created_ns, file.mutable_createtime());
  SetTime(entry.modified_ns, file.mutable_writetime());
  SetTime(entry.modified_ns, file.mutable_accesstime());
  file.mutable_cloudapi()->set_name("outboxfs");
  file.mutable_cloudapi()->set_supporthttpdownload(true);
  file.set_isdirectory(entry.is_directory);
  file.set_isroot(entry.path == "/");
  file.set_iscloudroot(knobs.virtual_root && entry.is_directory && ParentOf(entry.path) == "/");
  file.set_isclouddirectory(entry.is_directory);
  file.set_iscloudfile(!entry.is_directory && !entry.pending);
  file.set_cansyncfilechangesfromcloud(false);
  if (knobs.list_hashes) {
    for (const auto& [type, hex] : entry.hashes) (*file.mutable_filehashes())[type] = hex;
  }
  return file;
}

clouddrive::CloudDriveFile RootFile(const Knobs& knobs) {
  Entry root;
  root.path = "/";
  root.id = "root";
  root.is_directory = true;
  return ToFile(root, knobs);
}

clouddrive::CloudDrivePushMessage ChangeMessage(ChangeType type, const std::string& path,
                                                bool is_directory) {
  clouddrive::CloudDrivePushMessage message;
  message.set_messagetype(clouddrive::CloudDrivePushMessage::FILE_SYSTEM_CHANGE);
  clouddrive::FileSystemChange* change = message.mutable_filesystemchange();
  change->set_changetype(type);
  change->set_path(path);
  change->set_isdirectory(is_directory);
  return message;
}

}  // namespace outboxfs::server
