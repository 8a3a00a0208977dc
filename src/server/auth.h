// Tokens: one fixed API token, and tokens made by a login, which carry their expiry and a signature
// and so outlive a restart of the server. Thread-safe.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <string>

#include "clouddrive.pb.h"
#include "server/knob_store.h"

namespace outboxfs::server {

class Auth {
 public:
  Auth(const KnobStore& knobs, std::string token, std::string user, std::string password);

  // OK for a public call, else UNAUTHENTICATED or PERMISSION_DENIED.
  grpc::Status Check(const std::string& rpc, const grpc::ServerContextBase& context) const;
  clouddrive::JWTToken Login(const clouddrive::GetTokenRequest& request) const;
  clouddrive::TokenInfo Describe(const std::string& token) const;
  bool IsValid(const std::string& token) const;
  // Every token that a login made so far is refused from now on.
  void RevokeLogins() { ++epoch_; }

  // The query parameter of a download link.
  std::string SignLink(const std::string& text) const;
  const std::string& token() const { return token_; }
  const std::string& user() const { return user_; }

 private:
  std::string Signature(int64_t expires) const;
  clouddrive::TokenPermissions Permissions() const;

  const KnobStore& knobs_;
  const std::string token_;
  const std::string user_;
  const std::string password_;
  const std::string key_;
  std::atomic<uint32_t> epoch_ = 0;
};

// 32 random hex digits.
std::string RandomHex();

}  // namespace outboxfs::server
