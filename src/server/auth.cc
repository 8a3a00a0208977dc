#include "server/auth.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <array>
#include <charconv>
#include <map>
#include <set>
#include <sstream>

#include "common/clock.h"
#include "server/digests.h"

namespace outboxfs::server {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// Permission of each authorised call; a call that is missing here needs a token and nothing more.
const std::map<std::string, std::string>& PermissionOf() {
  static const std::map<std::string, std::string> table = {
      {"GetSubFiles", "allow_list"},
      {"FindFileByPath", "allow_list"},
      {"CreateFolder", "allow_create_folder"},
      {"RenameFile", "allow_rename"},
      {"RenameFiles", "allow_rename"},
      {"MoveFile", "allow_move"},
      {"DeleteFile", "allow_delete"},
      {"DeleteFiles", "allow_delete"},
      {"GetSpaceInfo", "allow_get_space_info"},
      {"GetRuntimeInfo", "allow_view_runtime_info"},
      {"GetDownloadUrlPath", "allow_read"},
      {"GetUploadFileList", "allow_get_transfer_tasks"},
      {"CancelUploadFiles", "allow_modify_transfer_tasks"},
      {"PauseUploadFiles", "allow_modify_transfer_tasks"},
      {"ResumeUploadFiles", "allow_modify_transfer_tasks"},
      {"PushMessage", "allow_push_message"},
      {"StartRemoteUpload", "allow_write"},
      {"RemoteUploadChannel", "allow_write"},
      {"RemoteReadData", "allow_write"},
      {"RemoteHashProgress", "allow_write"},
      {"RemoteUploadControl", "allow_write"},
  };
  return table;
}

bool IsPublic(const std::string& rpc) {
  return rpc == "GetSystemInfo" || rpc == "GetToken" || rpc == "GetApiTokenInfo";
}

std::set<std::string> Denied(const Knobs& knobs) {
  std::set<std::string> names;
  std::istringstream list(knobs.denied_permissions);
  std::string name;
  while (std::getline(list, name, ',')) names.insert(name);
  return names;
}

bool SameSecret(const std::string& a, const std::string& b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::string RandomHex() {
  std::array<unsigned char, 16> bytes{};
  RAND_bytes(bytes.data(), static_cast<int>(bytes.size()));
  return Hex(bytes);
}

Auth::Auth(const KnobStore& knobs, std::string token, std::string user, std::string password)
    : knobs_(knobs),
      token_(token.empty() ? RandomHex() : std::move(token)),
      user_(std::move(user)),
      password_(std::move(password)),
      // With a login, keys depend on it alone: its tokens stay valid over a restart.
      key_(user_.empty() ? token_ : user_ + "\n" + password_) {}

std::string Auth::Signature(int64_t expires) const {
  return HmacSha256Hex(key_,
                       "login " + std::to_string(epoch_.load()) + " " + std::to_string(expires));
}

std::string Auth::SignLink(const std::string& text) const {
  return HmacSha256Hex(key_, "link " + text);
}

clouddrive::JWTToken Auth::Login(const clouddrive::GetTokenRequest& request) const {
  clouddrive::JWTToken reply;
  const bool right = !user_.empty() && SameSecret(request.username(), user_) &&
                     SameSecret(request.password(), password_);
  reply.set_success(right);
  if (!right) {
    reply.set_errormessage("wrong user name or password");
    return reply;
  }
  const int64_t expires =
      RealClock().WallNs() + std::chrono::nanoseconds(knobs_.Get()->token_lifetime).count();
  reply.set_token("jwt." + std::to_string(expires) + "." + Signature(expires));
  reply.mutable_expiration()->set_seconds(expires / kSecond);
  reply.mutable_expiration()->set_nanos(static_cast<int32_t>(expires % kSecond));
  return reply;
}

bool Auth::IsValid(const std::string& token) const {
  if (SameSecret(token, token_)) return true;
  const size_t dot = token.rfind('.');
  if (!token.starts_with("jwt.") || dot < 4) return false;
  int64_t expires = 0;
  std::from_chars(token.data() + 4, token.data() + dot, expires);
  return expires > RealClock().WallNs() && SameSecret(token.substr(dot + 1), Signature(expires));
}

grpc::Status Auth::Check(const std::string& rpc, const grpc::ServerContextBase& context) const {
  if (IsPublic(rpc)) return grpc::Status::OK;
  const auto header = context.client_metadata().find("authorization");
  constexpr std::string_view kBearer = "Bearer ";
  if (header == context.client_metadata().end() || !header->second.starts_with("Bearer ")) {
    return {grpc::StatusCode::UNAUTHENTICATED, "no token"};
  }
  const std::string token(header->second.data() + kBearer.size(),
                          header->second.size() - kBearer.size());
  if (!IsValid(token)) return {grpc::StatusCode::UNAUTHENTICATED, "invalid or expired token"};
  const auto permission = PermissionOf().find(rpc);
  const auto knobs = knobs_.Get();
  if (knobs->denied_permissions.empty() || permission == PermissionOf().end()) {
    return grpc::Status::OK;
  }
  if (!Denied(*knobs).contains(permission->second)) return grpc::Status::OK;
  return {grpc::StatusCode::PERMISSION_DENIED, "the token lacks " + permission->second};
}

clouddrive::TokenPermissions Auth::Permissions() const {
  clouddrive::TokenPermissions permissions;
  const std::set<std::string> denied = Denied(*knobs_.Get());
  const auto* type = permissions.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    permissions.GetReflection()->SetBool(&permissions, type->field(i),
                                         !denied.contains(type->field(i)->name()));
  }
  return permissions;
}

clouddrive::TokenInfo Auth::Describe(const std::string& token) const {
  clouddrive::TokenInfo info;
  info.set_token(token);
  const std::string root = knobs_.Get()->token_root;
  info.set_rootdir(root.empty() ? "/" : root);
  *info.mutable_permissions() = Permissions();
  info.set_friendly_name("outboxfs");
  return info;
}

}  // namespace outboxfs::server
