#include "remote/remote.h"

#include <utility>

#include "remote/connection.h"
#include "remote/grpc_namespace_api.h"
#include "remote/grpc_upload_api.h"

namespace outboxfs::remote {
namespace {

class GrpcRemote final : public Remote {
 public:
  GrpcRemote(std::unique_ptr<Connection> connection, const Credentials& credentials)
      : connection_(std::move(connection)),
        uploads_(*connection_),
        names_(*connection_, credentials) {}

  UploadApi& uploads() override { return uploads_; }
  NamespaceApi& names() override { return names_; }

 private:
  const std::unique_ptr<Connection> connection_;
  GrpcUploadApi uploads_;
  GrpcNamespaceApi names_;
};

}  // namespace

Result<std::unique_ptr<Remote>> Remote::Connect(const ConnectOptions& options) {
  Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
  if (!connection) return Fail(connection.error());
  return std::make_unique<GrpcRemote>(*std::move(connection), options.credentials);
}

}  // namespace outboxfs::remote
