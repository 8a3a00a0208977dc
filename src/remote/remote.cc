#include "remote/remote.h"

#include <utility>

#include "remote/connection.h"
#include "remote/grpc_namespace_api.h"
#include "remote/grpc_upload_api.h"
#include "remote/token_root.h"

namespace outboxfs::remote {
namespace {

class GrpcRemote final : public Remote {
 public:
  GrpcRemote(std::unique_ptr<Connection> connection, const ConnectOptions& options)
      : connection_(std::move(connection)),
        root_(Questions(options.credentials), options.folder),
        uploads_(*connection_, root_),
        names_(*connection_, root_, options.credentials) {}

  UploadApi& uploads() override { return uploads_; }
  NamespaceApi& names() override { return names_; }

 private:
  // Only an API token can be restricted.
  TokenRoot::Questions Questions(const Credentials& credentials) {
    if (credentials.token.empty()) return {};
    return {[this](const std::stop_token& stop) -> Result<std::string> {
              const Result<TokenFacts> facts = names_.AskTokenInfo(stop);
              if (!facts) return Fail(facts.error());
              return facts->root_dir;
            },
            [this](const std::stop_token& stop) { return names_.ListRoot(stop); }};
  }

  const std::unique_ptr<Connection> connection_;
  TokenRoot root_;
  GrpcUploadApi uploads_;
  GrpcNamespaceApi names_;
};

}  // namespace

Result<std::unique_ptr<Remote>> Remote::Connect(const ConnectOptions& options) {
  Result<std::unique_ptr<Connection>> connection = Connection::Open(options);
  if (!connection) return Fail(connection.error());
  return std::make_unique<GrpcRemote>(*std::move(connection), options);
}

}  // namespace outboxfs::remote
