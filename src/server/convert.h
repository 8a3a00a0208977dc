// Store entries as wire messages.
#pragma once

#include "clouddrive.pb.h"
#include "server/dir_store.h"
#include "server/knobs.h"

namespace outboxfs::server {

clouddrive::CloudDriveFile ToFile(const Entry& entry, const Knobs& knobs);
// "/", which exists in no folder.
clouddrive::CloudDriveFile RootFile(const Knobs& knobs);

using ChangeType = clouddrive::FileSystemChange::ChangeType;
// An event of the push stream without the file.
clouddrive::CloudDrivePushMessage ChangeMessage(ChangeType type, const std::string& path,
                                                bool is_directory);

}  // namespace outboxfs::server
