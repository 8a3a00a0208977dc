// The generated service: every handler passes one gate (count, token, injected faults, delays) and
// then calls the room's own classes. Unary calls run on gRPC's threads; the two long streams are
// callbacks and hold none.
#pragma once

#include <grpcpp/grpcpp.h>

#include "clouddrive.grpc.pb.h"
#include "server/auth.h"
#include "server/faults.h"
#include "server/knob_store.h"
#include "server/namespace_service.h"
#include "server/push_hub.h"
#include "server/stop_gate.h"
#include "server/upload_service.h"

namespace outboxfs::server {

// Thread-safe; the parts outlive it.
class GrpcService final
    : public clouddrive::CloudDriveFileSrv::WithCallbackMethod_RemoteUploadChannel<
          clouddrive::CloudDriveFileSrv::WithCallbackMethod_PushMessage<
              clouddrive::CloudDriveFileSrv::Service>> {
 public:
  struct Parts {
    const KnobStore& knobs;
    const Auth& auth;
    Faults& faults;
    NamespaceService& names;
    UploadService& uploads;
    PushHub& push;
  };
  using Context = grpc::ServerContext;
  using Empty = google::protobuf::Empty;

  explicit GrpcService(Parts parts) : parts_(parts) {}
  // Ends delays, so that calls in flight can leave.
  void StopWaiting() { gate_.Stop(); }

  grpc::Status GetSystemInfo(Context* context, const Empty* request,
                             clouddrive::CloudDriveSystemInfo* reply) override;
  grpc::Status GetToken(Context* context, const clouddrive::GetTokenRequest* request,
                        clouddrive::JWTToken* reply) override;
  grpc::Status GetApiTokenInfo(Context* context, const clouddrive::StringValue* request,
                               clouddrive::TokenInfo* reply) override;
  grpc::Status GetRuntimeInfo(Context* context, const Empty* request,
                              clouddrive::RuntimeInfo* reply) override;
  grpc::Status GetSubFiles(Context* context, const clouddrive::ListSubFileRequest* request,
                           grpc::ServerWriter<clouddrive::SubFilesReply>* writer) override;
  grpc::Status FindFileByPath(Context* context, const clouddrive::FindFileByPathRequest* request,
                              clouddrive::CloudDriveFile* reply) override;
  grpc::Status CreateFolder(Context* context, const clouddrive::CreateFolderRequest* request,
                            clouddrive::CreateFolderResult* reply) override;
  grpc::Status RenameFile(Context* context, const clouddrive::RenameFileRequest* request,
                          clouddrive::FileOperationResult* reply) override;
  grpc::Status RenameFiles(Context* context, const clouddrive::RenameFilesRequest* request,
                           clouddrive::FileOperationResult* reply) override;
  grpc::Status MoveFile(Context* context, const clouddrive::MoveFileRequest* request,
                        clouddrive::FileOperationResult* reply) override;
  grpc::Status DeleteFile(Context* context, const clouddrive::FileRequest* request,
                          clouddrive::FileOperationResult* reply) override;
  grpc::Status DeleteFiles(Context* context, const clouddrive::MultiFileRequest* request,
                           clouddrive::FileOperationResult* reply) override;
  grpc::Status GetSpaceInfo(Context* context, const clouddrive::FileRequest* request,
                            clouddrive::SpaceInfo* reply) override;
  grpc::Status GetDownloadUrlPath(Context* context,
                                  const clouddrive::GetDownloadUrlPathRequest* request,
                                  clouddrive::DownloadUrlPathInfo* reply) override;
  grpc::Status GetUploadFileList(Context* context,
                                 const clouddrive::GetUploadFileListRequest* request,
                                 clouddrive::GetUploadFileListResult* reply) override;
  grpc::Status CancelUploadFiles(Context* context,
                                 const clouddrive::MultpleUploadFileKeyRequest* request,
                                 Empty* reply) override;
  grpc::Status PauseUploadFiles(Context* context,
                                const clouddrive::MultpleUploadFileKeyRequest* request,
                                Empty* reply) override;
  grpc::Status ResumeUploadFiles(Context* context,
                                 const clouddrive::MultpleUploadFileKeyRequest* request,
                                 Empty* reply) override;
  grpc::Status StartRemoteUpload(Context* context,
                                 const clouddrive::StartRemoteUploadRequest* request,
                                 clouddrive::RemoteUploadStarted* reply) override;
  grpc::Status RemoteReadData(Context* context, const clouddrive::RemoteReadDataUpload* request,
                              clouddrive::RemoteReadDataReply* reply) override;
  grpc::Status RemoteHashProgress(Context* context,
                                  const clouddrive::RemoteHashProgressUpload* request,
                                  clouddrive::RemoteHashProgressReply* reply) override;
  grpc::Status RemoteUploadControl(Context* context,
                                   const clouddrive::RemoteUploadControlRequest* request,
                                   Empty* reply) override;
  grpc::ServerWriteReactor<clouddrive::RemoteUploadChannelReply>* RemoteUploadChannel(
      grpc::CallbackServerContext* context,
      const clouddrive::RemoteUploadChannelRequest* request) override;
  grpc::ServerWriteReactor<clouddrive::CloudDrivePushMessage>* PushMessage(
      grpc::CallbackServerContext* context, const Empty* request) override;

 private:
  // The gate. `work` returns a grpc::Status. `result`, if any, can carry a failure of the second
  // level (OK with success=false).
  template <typename Work>
  grpc::Status Handle(const char* rpc, const grpc::ServerContextBase& context, Work work,
                      clouddrive::FileOperationResult* result = nullptr);
  grpc::Status Fail(const Faults::Failure& failure, clouddrive::FileOperationResult* result) const;
  // Turns a client's paths into those of the store.
  grpc::Status ToInner(std::initializer_list<std::string*> paths, bool above = false) const;
  grpc::Status List(const clouddrive::ListSubFileRequest& request,
                    grpc::ServerWriter<clouddrive::SubFilesReply>* writer);
  grpc::Status CheckSize(const google::protobuf::Message& message) const;

  const Parts parts_;
  StopGate gate_;
};

}  // namespace outboxfs::server
