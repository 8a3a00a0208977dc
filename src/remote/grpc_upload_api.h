// UploadApi over gRPC.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "remote/connection.h"
#include "remote/token_root.h"
#include "remote/upload_api.h"

namespace outboxfs::remote {

class GrpcUploadApi final : public UploadApi {
 public:
  // `connection` and `root` must outlive the api and its channels.
  GrpcUploadApi(Connection& connection, TokenRoot& root);

  Result<std::unique_ptr<UploadChannel>> OpenChannel(const std::string& device_id,
                                                     const std::stop_token& stop) override;
  Result<std::string> Start(const StartRequest& request, const std::stop_token& stop) override;
  Status AnswerRead(const ReadAnswer& answer, const std::stop_token& stop) override;
  Status ReportHash(const HashReport& report, const std::stop_token& stop) override;
  Status ControlUpload(const std::string& upload_id, Control control,
                       const std::stop_token& stop) override;
  Result<std::vector<QueuedUpload>> ListUploads(const std::stop_token& stop) override;

 private:
  Connection& connection_;
  TokenRoot& root_;
  const std::unique_ptr<clouddrive::CloudDriveFileSrv::Stub> stub_;
};

}  // namespace outboxfs::remote
