#include "server/grpc_service.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "server/path.h"
#include "server/token_root.h"

namespace outboxfs::server {

using grpc::Status;
using grpc::StatusCode;

Status GrpcService::Fail(const Faults::Failure& failure,
                         clouddrive::FileOperationResult* result) const {
  if (failure.grpc_code != 0) return {static_cast<StatusCode>(failure.grpc_code), failure.text};
  if (result == nullptr) return {StatusCode::UNKNOWN, failure.text};
  result->Clear();
  result->set_errormessage(failure.text);
  return Status::OK;
}

template <typename Work>
Status GrpcService::Handle(const char* rpc, const grpc::ServerContextBase& context, Work work,
                           clouddrive::FileOperationResult* result) {
  const Faults::Verdict verdict = parts_.faults.OnCall(rpc);
  Status status = parts_.auth.Check(rpc, context);
  if (!status.ok()) return status;
  const bool instead = verdict.fail && verdict.failure.when == FailWhen::kInstead;
  if (!instead) status = work();
  const Millis delay = std::max(verdict.delay, parts_.knobs.Get()->reply_delay);
  if (delay.count() > 0) gate_.SleepFor(delay);
  return verdict.fail ? Fail(verdict.failure, result) : status;
}

Status GrpcService::CheckSize(const google::protobuf::Message& message) const {
  const uint64_t limit = parts_.knobs.Get()->receive_limit;
  const uint64_t size = message.ByteSizeLong();
  if (size <= limit) return Status::OK;
  return {StatusCode::RESOURCE_EXHAUSTED, "Received message larger than max (" +
                                              std::to_string(size) + " vs. " +
                                              std::to_string(limit) + ")"};
}

Status GrpcService::ToInner(std::initializer_list<std::string*> paths, bool above) const {
  const auto knobs = parts_.knobs.Get();
  for (std::string* path : paths) {
    Result<std::string> inner = InnerPath(*path, *knobs, above);
    if (inner) {
      *path = *std::move(inner);
      continue;
    }
    const bool denied = inner.error().code == EACCES;
    return {denied ? StatusCode::PERMISSION_DENIED : StatusCode::INVALID_ARGUMENT,
            inner.error().text};
  }
  return Status::OK;
}

Status GrpcService::GetSystemInfo(Context* context, const Empty* /*request*/,
                                  clouddrive::CloudDriveSystemInfo* reply) {
  return Handle("GetSystemInfo", *context, [&] {
    const bool ready = parts_.knobs.Get()->system_ready;
    // Long names are masked, as newer servers do.
    const std::string& user = parts_.auth.user();
    reply->set_islogin(true);
    reply->set_username(user.size() > 8 ? user.substr(0, 4) + "***" : user);
    reply->set_systemready(ready);
    if (!ready) reply->set_systemmessage("starting");
    return Status::OK;
  });
}

Status GrpcService::GetToken(Context* context, const clouddrive::GetTokenRequest* request,
                             clouddrive::JWTToken* reply) {
  return Handle("GetToken", *context, [&] {
    *reply = parts_.auth.Login(*request);
    return Status::OK;
  });
}

Status GrpcService::GetApiTokenInfo(Context* context, const clouddrive::StringValue* request,
                                    clouddrive::TokenInfo* reply) {
  return Handle("GetApiTokenInfo", *context, [&] {
    if (!parts_.auth.IsValid(request->value())) {
      return Status(StatusCode::NOT_FOUND, "no such token");
    }
    *reply = parts_.auth.Describe(request->value());
    return Status::OK;
  });
}

Status GrpcService::GetRuntimeInfo(Context* context, const Empty* /*request*/,
                                   clouddrive::RuntimeInfo* reply) {
  return Handle("GetRuntimeInfo", *context, [&] {
    reply->set_productname("outboxfs reference server");
    reply->set_productversion("1.0.8");
    reply->set_cloudapiversion("1.0.8");
    reply->set_osinfo("Linux");
    return Status::OK;
  });
}

Status GrpcService::GetSubFiles(Context* context, const clouddrive::ListSubFileRequest* request,
                                grpc::ServerWriter<clouddrive::SubFilesReply>* writer) {
  return Handle("GetSubFiles", *context, [&] { return List(*request, writer); });
}

Status GrpcService::List(const clouddrive::ListSubFileRequest& request,
                         grpc::ServerWriter<clouddrive::SubFilesReply>* writer) {
  clouddrive::ListSubFileRequest inner = request;
  if (Status known = ToInner({inner.mutable_path()}, true); !known.ok()) return known;
  const auto knobs = parts_.knobs.Get();
  if (knobs->token_root.empty() || knobs->token_root_is_root ||
      IsWithin(inner.path(), knobs->token_root)) {
    return parts_.names.List(inner, writer);
  }
  clouddrive::FindFileByPathRequest next;
  next.set_path(NextOnTheWay(inner.path(), *knobs));
  clouddrive::SubFilesReply reply;
  Status found = parts_.names.Find(next, reply.add_subfiles());
  if (found.ok()) writer->Write(reply);
  return found;
}

Status GrpcService::FindFileByPath(Context* context,
                                   const clouddrive::FindFileByPathRequest* request,
                                   clouddrive::CloudDriveFile* reply) {
  return Handle("FindFileByPath", *context, [&] {
    clouddrive::FindFileByPathRequest inner;
    inner.set_path(request->parentpath() + "/" + request->path());
    Status known = ToInner({inner.mutable_path()}, true);
    return known.ok() ? parts_.names.Find(inner, reply) : known;
  });
}

Status GrpcService::CreateFolder(Context* context, const clouddrive::CreateFolderRequest* request,
                                 clouddrive::CreateFolderResult* reply) {
  return Handle(
      "CreateFolder", *context,
      [&] {
        clouddrive::CreateFolderRequest inner = *request;
        Status known = ToInner({inner.mutable_parentpath()});
        return known.ok() ? parts_.names.CreateFolder(inner, reply) : known;
      },
      reply->mutable_result());
}

Status GrpcService::RenameFile(Context* context, const clouddrive::RenameFileRequest* request,
                               clouddrive::FileOperationResult* reply) {
  const auto work = [&] {
    clouddrive::RenameFileRequest inner = *request;
    Status known = ToInner({inner.mutable_thefilepath()});
    if (known.ok()) parts_.names.Rename({inner}, reply);
    return known;
  };
  return Handle("RenameFile", *context, work, reply);
}

Status GrpcService::RenameFiles(Context* context, const clouddrive::RenameFilesRequest* request,
                                clouddrive::FileOperationResult* reply) {
  const auto work = [&] {
    clouddrive::RenameFilesRequest inner = *request;
    for (auto& one : *inner.mutable_renamefiles()) {
      if (Status known = ToInner({one.mutable_thefilepath()}); !known.ok()) return known;
    }
    parts_.names.Rename({inner.renamefiles().begin(), inner.renamefiles().end()}, reply);
    return Status::OK;
  };
  return Handle("RenameFiles", *context, work, reply);
}

Status GrpcService::MoveFile(Context* context, const clouddrive::MoveFileRequest* request,
                             clouddrive::FileOperationResult* reply) {
  const auto work = [&] {
    clouddrive::MoveFileRequest inner = *request;
    for (std::string& path : *inner.mutable_thefilepaths()) {
      if (Status known = ToInner({&path}); !known.ok()) return known;
    }
    Status known = ToInner({inner.mutable_destpath()});
    if (known.ok()) parts_.names.Move(inner, reply);
    return known;
  };
  return Handle("MoveFile", *context, work, reply);
}

Status GrpcService::DeleteFile(Context* context, const clouddrive::FileRequest* request,
                               clouddrive::FileOperationResult* reply) {
  const auto work = [&] {
    std::string inner = request->path();
    Status known = ToInner({&inner});
    if (known.ok()) parts_.names.Delete({inner}, reply);
    return known;
  };
  return Handle("DeleteFile", *context, work, reply);
}

Status GrpcService::DeleteFiles(Context* context, const clouddrive::MultiFileRequest* request,
                                clouddrive::FileOperationResult* reply) {
  const auto work = [&] {
    std::vector<std::string> inner(request->path().begin(), request->path().end());
    for (std::string& path : inner) {
      if (Status known = ToInner({&path}); !known.ok()) return known;
    }
    parts_.names.Delete(inner, reply);
    return Status::OK;
  };
  return Handle("DeleteFiles", *context, work, reply);
}

Status GrpcService::GetSpaceInfo(Context* context, const clouddrive::FileRequest* request,
                                 clouddrive::SpaceInfo* reply) {
  return Handle("GetSpaceInfo", *context, [&] {
    clouddrive::FileRequest inner = *request;
    Status known = ToInner({inner.mutable_path()}, true);
    return known.ok() ? parts_.names.GetSpace(inner, reply) : known;
  });
}

Status GrpcService::GetDownloadUrlPath(Context* context,
                                       const clouddrive::GetDownloadUrlPathRequest* request,
                                       clouddrive::DownloadUrlPathInfo* reply) {
  return Handle("GetDownloadUrlPath", *context, [&] {
    clouddrive::GetDownloadUrlPathRequest inner = *request;
    Status known = ToInner({inner.mutable_path()});
    return known.ok() ? parts_.names.GetLink(inner, reply) : known;
  });
}

Status GrpcService::GetUploadFileList(Context* context,
                                      const clouddrive::GetUploadFileListRequest* request,
                                      clouddrive::GetUploadFileListResult* reply) {
  return Handle("GetUploadFileList", *context,
                [&] { return parts_.uploads.List(*request, reply); });
}

Status GrpcService::CancelUploadFiles(Context* context,
                                      const clouddrive::MultpleUploadFileKeyRequest* request,
                                      Empty* /*reply*/) {
  return Handle("CancelUploadFiles", *context, [&] {
    parts_.uploads.ForKeys(*request, &Task::Cancel);
    return Status::OK;
  });
}

Status GrpcService::PauseUploadFiles(Context* context,
                                     const clouddrive::MultpleUploadFileKeyRequest* request,
                                     Empty* /*reply*/) {
  return Handle("PauseUploadFiles", *context, [&] {
    parts_.uploads.ForKeys(*request, &Task::Pause);
    return Status::OK;
  });
}

Status GrpcService::ResumeUploadFiles(Context* context,
                                      const clouddrive::MultpleUploadFileKeyRequest* request,
                                      Empty* /*reply*/) {
  return Handle("ResumeUploadFiles", *context, [&] {
    parts_.uploads.ForKeys(*request, &Task::Resume);
    return Status::OK;
  });
}

Status GrpcService::StartRemoteUpload(Context* context,
                                      const clouddrive::StartRemoteUploadRequest* request,
                                      clouddrive::RemoteUploadStarted* reply) {
  return Handle("StartRemoteUpload", *context, [&] {
    clouddrive::StartRemoteUploadRequest inner = *request;
    Status known = ToInner({inner.mutable_file_path()});
    return known.ok() ? parts_.uploads.Start(inner, reply) : known;
  });
}

Status GrpcService::RemoteReadData(Context* context,
                                   const clouddrive::RemoteReadDataUpload* request,
                                   clouddrive::RemoteReadDataReply* reply) {
  return Handle("RemoteReadData", *context, [&] {
    const Status fits = CheckSize(*request);
    return fits.ok() ? parts_.uploads.ReadData(*request, reply) : fits;
  });
}

Status GrpcService::RemoteHashProgress(Context* context,
                                       const clouddrive::RemoteHashProgressUpload* request,
                                       clouddrive::RemoteHashProgressReply* /*reply*/) {
  return Handle("RemoteHashProgress", *context, [&] {
    const Status fits = CheckSize(*request);
    return fits.ok() ? parts_.uploads.HashProgress(*request) : fits;
  });
}

Status GrpcService::RemoteUploadControl(Context* context,
                                        const clouddrive::RemoteUploadControlRequest* request,
                                        Empty* /*reply*/) {
  return Handle("RemoteUploadControl", *context, [&] { return parts_.uploads.Control(*request); });
}

grpc::ServerWriteReactor<clouddrive::RemoteUploadChannelReply>* GrpcService::RemoteUploadChannel(
    grpc::CallbackServerContext* context, const clouddrive::RemoteUploadChannelRequest* request) {
  const Status admitted = Handle("RemoteUploadChannel", *context, [] { return Status::OK; });
  if (!admitted.ok()) return FailedStream<clouddrive::RemoteUploadChannelReply>(admitted);
  return parts_.uploads.OpenChannel(request->device_id()).get();
}

grpc::ServerWriteReactor<clouddrive::CloudDrivePushMessage>* GrpcService::PushMessage(
    grpc::CallbackServerContext* context, const Empty* /*request*/) {
  const Status admitted = Handle("PushMessage", *context, [] { return Status::OK; });
  if (!admitted.ok()) return FailedStream<clouddrive::CloudDrivePushMessage>(admitted);
  return parts_.push.Open().get();
}

}  // namespace outboxfs::server
