// Listing, lookup, folders, renames, moves, deletes, space and download links over the store.
// Ordinary failures are success=false with OK, as the protocol has it. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <functional>
#include <string>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "server/auth.h"
#include "server/dir_store.h"
#include "server/knob_store.h"
#include "server/push_hub.h"
#include "server/recent.h"

namespace outboxfs::server {

class NamespaceService {
 public:
  // Uploads in progress, for the knob pending_entries.
  using RunningUploads = std::function<std::vector<clouddrive::UploadFileInfo>()>;

  NamespaceService(const KnobStore& knobs, DirStore& store, const Auth& auth, Recent& recent,
                   PushHub& push)
      : knobs_(knobs), store_(store), auth_(auth), recent_(recent), push_(push) {}
  void set_running_uploads(RunningUploads running) { running_ = std::move(running); }
  // Scheme, host and port of the HTTP side where it is not the one of the RPCs.
  void set_direct_address(std::string address) { direct_address_ = std::move(address); }

  grpc::Status List(const clouddrive::ListSubFileRequest& request,
                    grpc::ServerWriter<clouddrive::SubFilesReply>* writer);
  grpc::Status Find(const clouddrive::FindFileByPathRequest& request,
                    clouddrive::CloudDriveFile* reply);
  grpc::Status CreateFolder(const clouddrive::CreateFolderRequest& request,
                            clouddrive::CreateFolderResult* reply);
  // Stops at the first failure; what was done before stays done.
  void Rename(const std::vector<clouddrive::RenameFileRequest>& requests,
              clouddrive::FileOperationResult* reply);
  void Move(const clouddrive::MoveFileRequest& request, clouddrive::FileOperationResult* reply);
  void Delete(const std::vector<std::string>& paths, clouddrive::FileOperationResult* reply);
  grpc::Status GetSpace(const clouddrive::FileRequest& request, clouddrive::SpaceInfo* reply);
  grpc::Status GetLink(const clouddrive::GetDownloadUrlPathRequest& request,
                       clouddrive::DownloadUrlPathInfo* reply);

 private:
  // The normalised path of something that may be changed.
  Result<std::string> Changeable(const std::string& path) const;
  Result<std::string> RenameOne(const clouddrive::RenameFileRequest& request);
  Status DeleteOne(const std::string& path);
  std::vector<Entry> PendingIn(const std::string& folder) const;
  void PushChange(const clouddrive::CloudDrivePushMessage& message);
  void PushRename(const std::string& from, const std::string& to);

  const KnobStore& knobs_;
  DirStore& store_;
  const Auth& auth_;
  Recent& recent_;
  PushHub& push_;
  RunningUploads running_;
  std::string direct_address_;
};

// What of a link is signed: its path and its expiry (milliseconds since 1970, 0 for never).
std::string LinkText(const std::string& path, int64_t expires);

}  // namespace outboxfs::server
