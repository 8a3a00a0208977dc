// A gRPC server in this process that does what a test tells it: for the ways of failing that the
// embedded server has no reason to know.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "common/mutex.h"
#include "remote/remote.h"

namespace outboxfs::remote {

class ScriptedServer final : public clouddrive::CloudDriveFileSrv::Service {
 public:
  explicit ScriptedServer(
      std::shared_ptr<grpc::ServerCredentials> credentials = grpc::InsecureServerCredentials()) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", std::move(credentials), &port_);
    builder.RegisterService(this);
    server_ = builder.BuildAndStart();
  }
  ~ScriptedServer() override {
    Open();
    EndChannel(grpc::Status::OK);
    server_->Shutdown(std::chrono::system_clock::now());
  }

  ConnectOptions Options() const {
    ConnectOptions options;
    options.endpoint = {"127.0.0.1", port_, false};
    options.credentials.token = "api-token";
    return options;
  }

  // The next calls of this RPC fail so, one after the other.
  void FailNext(const std::string& call, grpc::Status status, int times = 1) {
    MutexLock lock(mu_);
    for (int i = 0; i < times; ++i) failures_[call].push_back(status);
  }
  // Calls wait inside the server until Open or until they are cancelled.
  void Close() {
    MutexLock lock(mu_);
    closed_ = true;
  }
  void Open() {
    MutexLock lock(mu_);
    closed_ = false;
    changed_.NotifyAll();
  }
  bool AwaitCount(const std::string& call, int count) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (counts_[call] < count) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }
  int Count(const std::string& call) {
    MutexLock lock(mu_);
    return counts_[call];
  }
  // The authorization of the last call.
  std::string LastAuthorization() {
    MutexLock lock(mu_);
    return authorization_;
  }
  // From now on only this token is good; GetToken gives it.
  void Demand(const std::string& token) {
    MutexLock lock(mu_);
    demanded_ = token;
  }
  void SetUploadPages(std::vector<clouddrive::GetUploadFileListResult> pages) {
    MutexLock lock(mu_);
    pages_ = std::move(pages);
  }
  void SetFiles(std::vector<clouddrive::SubFilesReply> batches) {
    MutexLock lock(mu_);
    batches_ = std::move(batches);
  }
  // The channel sends this one, then waits for EndChannel.
  void SetChannelReply(clouddrive::RemoteUploadChannelReply reply) {
    MutexLock lock(mu_);
    channel_reply_ = std::move(reply);
  }
  void EndChannel(grpc::Status status) {
    MutexLock lock(mu_);
    ended_ = std::move(status);
    changed_.NotifyAll();
  }
  // The channel's headers come with its first message only, and that when the server is open.
  void HoldHeadersBack() {
    MutexLock lock(mu_);
    hold_headers_ = true;
  }

  using Context = grpc::ServerContext;
  grpc::Status GetToken(Context* context, const clouddrive::GetTokenRequest* request,
                        clouddrive::JWTToken* reply) override {
    grpc::Status status = Enter("GetToken", context, true);
    if (!status.ok()) return status;
    MutexLock lock(mu_);
    if (request->password() != "right") {
      reply->set_errormessage("wrong password");
      return status;
    }
    reply->set_success(true);
    reply->set_token(demanded_);
    return status;
  }
  grpc::Status FindFileByPath(Context* context, const clouddrive::FindFileByPathRequest*,
                              clouddrive::CloudDriveFile* reply) override {
    grpc::Status status = Enter("FindFileByPath", context);
    reply->set_name("found");
    return status;
  }
  grpc::Status CreateFolder(Context* context, const clouddrive::CreateFolderRequest* request,
                            clouddrive::CreateFolderResult* reply) override {
    grpc::Status status = Enter("CreateFolder", context);
    const bool good = request->foldername() != "there";
    reply->mutable_result()->set_success(good);
    if (!good) reply->mutable_result()->set_errormessage("Folder already exists");
    return status;
  }
  grpc::Status GetSubFiles(Context* context, const clouddrive::ListSubFileRequest*,
                           grpc::ServerWriter<clouddrive::SubFilesReply>* writer) override {
    std::vector<clouddrive::SubFilesReply> batches;
    {
      MutexLock lock(mu_);
      batches = batches_;
    }
    // The scripted failure comes after the first batch, in the middle of the stream.
    if (!batches.empty()) writer->Write(batches.front());
    grpc::Status status = Enter("GetSubFiles", context);
    for (size_t i = 1; status.ok() && i < batches.size(); ++i) writer->Write(batches[i]);
    return status;
  }
  grpc::Status GetUploadFileList(Context* context,
                                 const clouddrive::GetUploadFileListRequest* request,
                                 clouddrive::GetUploadFileListResult* reply) override {
    grpc::Status status = Enter("GetUploadFileList", context);
    MutexLock lock(mu_);
    if (request->pagenumber() < pages_.size()) *reply = pages_[request->pagenumber()];
    return status;
  }
  grpc::Status StartRemoteUpload(Context* context, const clouddrive::StartRemoteUploadRequest*,
                                 clouddrive::RemoteUploadStarted* reply) override {
    grpc::Status status = Enter("StartRemoteUpload", context);
    reply->set_upload_id("u1");
    return status;
  }
  grpc::Status RemoteReadData(Context* context, const clouddrive::RemoteReadDataUpload* request,
                              clouddrive::RemoteReadDataReply* reply) override {
    grpc::Status status = Enter("RemoteReadData", context);
    reply->set_success(request->upload_id() != "unknown");
    if (!reply->success()) reply->set_error_message("Upload session not found");
    MutexLock lock(mu_);
    last_read_ = *request;
    return status;
  }
  grpc::Status RemoteUploadChannel(
      Context* context, const clouddrive::RemoteUploadChannelRequest*,
      grpc::ServerWriter<clouddrive::RemoteUploadChannelReply>* writer) override {
    bool hold = false;
    {
      MutexLock lock(mu_);
      hold = hold_headers_;
    }
    if (!hold) {
      grpc::Status status = Enter("RemoteUploadChannel", context);
      if (!status.ok()) return status;
      writer->SendInitialMetadata();
    } else {
      Enter("RemoteUploadChannel", context);
    }
    clouddrive::RemoteUploadChannelReply reply;
    {
      MutexLock lock(mu_);
      reply = channel_reply_;
    }
    if (!reply.upload_id().empty()) writer->Write(reply);
    MutexLock lock(mu_);
    while (!ended_ && !context->IsCancelled()) {
      changed_.WaitUntil(mu_, {}, CondVar::Clock::now() + std::chrono::milliseconds(20));
    }
    return ended_ ? *ended_ : grpc::Status::OK;
  }
  clouddrive::RemoteReadDataUpload last_read() {
    MutexLock lock(mu_);
    return last_read_;
  }

 private:
  grpc::Status Enter(const std::string& call, Context* context, bool open = false) {
    MutexLock lock(mu_);
    ++counts_[call];
    const auto& metadata = context->client_metadata();
    const auto at = metadata.find("authorization");
    authorization_ = at == metadata.end() ? "" : std::string(at->second.data(), at->second.size());
    changed_.NotifyAll();
    if (!open && !demanded_.empty() && authorization_ != "Bearer " + demanded_) {
      return {grpc::UNAUTHENTICATED, "token expired"};
    }
    while (closed_ && !context->IsCancelled()) {
      changed_.WaitUntil(mu_, {}, CondVar::Clock::now() + std::chrono::milliseconds(20));
    }
    std::deque<grpc::Status>& failures = failures_[call];
    if (failures.empty()) return grpc::Status::OK;
    grpc::Status status = failures.front();
    failures.pop_front();
    return status;
  }

  int port_ = 0;
  Mutex mu_;
  CondVar changed_;
  std::map<std::string, std::deque<grpc::Status>> failures_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> counts_ ABSL_GUARDED_BY(mu_);
  std::string authorization_ ABSL_GUARDED_BY(mu_);
  std::string demanded_ ABSL_GUARDED_BY(mu_);
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<grpc::Status> ended_ ABSL_GUARDED_BY(mu_);
  bool hold_headers_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<clouddrive::GetUploadFileListResult> pages_ ABSL_GUARDED_BY(mu_);
  std::vector<clouddrive::SubFilesReply> batches_ ABSL_GUARDED_BY(mu_);
  clouddrive::RemoteUploadChannelReply channel_reply_ ABSL_GUARDED_BY(mu_);
  clouddrive::RemoteReadDataUpload last_read_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace outboxfs::remote
