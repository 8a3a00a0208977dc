// NamespaceApi over gRPC.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "remote/connection.h"
#include "remote/namespace_api.h"
#include "remote/token_root.h"

namespace outboxfs::remote {

class GrpcNamespaceApi final : public NamespaceApi {
 public:
  // `connection` and `root` must outlive the api and its streams. `credentials`: see Probe.
  GrpcNamespaceApi(Connection& connection, TokenRoot& root, Credentials credentials);

  Result<DirContent> List(const std::string& dir, bool force_refresh,
                          const std::stop_token& stop) override;
  Result<Entry> Find(const std::string& path, const std::stop_token& stop) override;
  Status MakeDir(const std::string& parent, const std::string& name,
                 const std::stop_token& stop) override;
  Status Rename(const std::string& path, const std::string& new_name,
                const std::stop_token& stop) override;
  Status Move(const std::string& path, const std::string& dest_dir,
              const std::stop_token& stop) override;
  Status Delete(const std::string& path, const std::stop_token& stop) override;
  Result<Space> GetSpace(const std::string& path, const std::stop_token& stop) override;
  Result<DownloadLink> GetDownloadLink(const std::string& path,
                                       const std::stop_token& stop) override;
  Result<std::unique_ptr<PushStream>> OpenPush(const std::stop_token& stop) override;
  Result<TokenFacts> Probe(const std::stop_token& stop) override;

  // For TokenRoot.
  Result<TokenFacts> AskTokenInfo(const std::stop_token& stop);
  Result<std::vector<std::string>> ListRoot(const std::stop_token& stop);

 private:
  Status CheckReady(const std::stop_token& stop);
  // Checked, and in the server's form.
  Result<std::string> ServerPath(const std::string& path, const std::stop_token& stop);
  void CountDropped(const std::string& dir, size_t dropped);

  Connection& connection_;
  TokenRoot& root_;
  const Credentials credentials_;
  const std::unique_ptr<clouddrive::CloudDriveFileSrv::Stub> stub_;
  std::atomic<size_t> dropped_names_ = 0;
};

}  // namespace outboxfs::remote
