#include "remote/connection.h"

#include <fcntl.h>
#include <grpc/support/log.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <cerrno>
#include <span>

#include "clouddrive.grpc.pb.h"
#include "common/crash_point.h"
#include "common/disk.h"
#include "common/log.h"
#include "remote/backoff.h"
#include "remote/convert.h"
#include "remote/grpc_error.h"

namespace outboxfs::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr CallKind kGetToken{"GetToken", std::chrono::seconds(20), true, true};
constexpr int kMaxReceiveBytes = 64 << 20;  // a listing can be large
constexpr int kAttempts = 4;
constexpr milliseconds kFirstPause{200};
constexpr milliseconds kLongestPause{2000};
constexpr uint64_t kMaxCaFileBytes = 4 << 20;

Result<std::string> ReadCaFile(const std::string& path) {
  Result<FileDescriptor> file = disk::Open(path, O_RDONLY);
  if (!file) return Fail(file.error().Prepend("CA file " + path));
  std::string pem(kMaxCaFileBytes, '\0');
  Result<size_t> size = disk::ReadAt(file->get(), std::as_writable_bytes(std::span(pem)), 0);
  if (!size) return Fail(size.error().Prepend("CA file " + path));
  pem.resize(*size);
  if (pem.find("-----BEGIN CERTIFICATE-----") == std::string::npos) {
    return Fail(EINVAL, "CA file " + path + ": holds no PEM certificate", Retry::kPark);
  }
  return pem;
}

Result<std::shared_ptr<grpc::ChannelCredentials>> MakeChannelCredentials(
    const ConnectOptions& options) {
  if (!options.endpoint.tls) return grpc::InsecureChannelCredentials();
  if (!options.tls_verify) {
    grpc::experimental::TlsChannelCredentialsOptions tls;
    tls.set_verify_server_certs(false);
    tls.set_check_call_host(false);
    tls.set_certificate_verifier(std::make_shared<grpc::experimental::NoOpCertificateVerifier>());
    return grpc::experimental::TlsCredentials(tls);
  }
  grpc::SslCredentialsOptions ssl;  // no roots given: the system's
  if (!options.ca_file.empty()) {
    Result<std::string> pem = ReadCaFile(options.ca_file);
    if (!pem) return Fail(pem.error());
    ssl.pem_root_certs = *std::move(pem);
  }
  return grpc::SslCredentials(ssl);
}

grpc::ChannelArguments MakeArguments(const KeepAlive& keep_alive) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReceiveBytes);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(keep_alive.after.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, static_cast<int>(keep_alive.patience.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
  // A restarted server is found again soon: gRPC's own pauses grow to two minutes.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000);
  // The least time that one attempt gets, in spite of its name. More than gRPC's own look at idle
  // connections every 5 s, or an attempt that no call waits for could never succeed.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 20'000);
  // The server is mostly in the local network, where a proxy for the web has no business.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  // Two Remotes of one process are two connections.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetUserAgentPrefix("outboxfs");
  return arguments;
}

std::string Target(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  const std::string host = v6 ? "[" + endpoint.host + "]" : endpoint.host;
  return "dns:///" + host + ":" + std::to_string(endpoint.port);
}

// gRPC writes to standard error by itself: into our log with it, where the reason of a failed TLS
// handshake can be found.
void LogForGrpc(gpr_log_func_args* args) {
  if (args->severity == GPR_LOG_SEVERITY_ERROR) Log::Info("grpc: {}", args->message);
}

bool IsTransient(const grpc::Status& status) {
  return status.error_code() == grpc::UNAVAILABLE || status.error_code() == grpc::DEADLINE_EXCEEDED;
}

}  // namespace

Error Stopped(std::string_view call) {
  return Error{ECANCELED, Retry::kBackoff, std::string(call) + ": stopped"};
}

Result<std::unique_ptr<Connection>> Connection::Open(const ConnectOptions& options) {
  gpr_set_log_function(&LogForGrpc);
  const Endpoint& endpoint = options.endpoint;
  if (endpoint.host.empty() || endpoint.port < 1 || endpoint.port > 65535) {
    return Fail(EINVAL, "no usable server address", Retry::kPark);
  }
  auto channel_credentials = MakeChannelCredentials(options);
  if (!channel_credentials) return Fail(channel_credentials.error());
  std::unique_ptr<Connection> connection(new Connection(grpc::CreateCustomChannel(
      Target(endpoint), *channel_credentials, MakeArguments(options.keep_alive))));
  const Credentials& credentials = options.credentials;
  if (credentials.token.empty() && !credentials.user.empty()) {
    RegisterSecret(credentials.password);
    connection->tokens_ = std::make_unique<TokenSource>(
        [self = connection.get(), credentials](const std::stop_token& stop) {
          return self->FetchToken(credentials, stop);
        },
        RealClock());
  } else {
    connection->tokens_ =
        std::make_unique<TokenSource>(credentials.token, credentials.reread_token);
  }
  return connection;
}

Result<Token> Connection::FetchToken(const Credentials& credentials, const std::stop_token& stop) {
  clouddrive::GetTokenRequest request;
  request.set_username(credentials.user);
  request.set_password(credentials.password);
  clouddrive::JWTToken reply;
  auto stub = clouddrive::CloudDriveFileSrv::NewStub(channel_);
  Status done = Call(kGetToken, stop, [&](grpc::ClientContext& context) {
    return stub->GetToken(&context, request, &reply);
  });
  if (!done) return Fail(done.error());
  if (!reply.success() || reply.token().empty()) {
    // Whatever the words are: the account was not accepted.
    Error error = FromServerText(reply.errormessage(), kGetToken.name);
    return Fail(EACCES, error.text, Retry::kPauseAll);
  }
  Token token{reply.token(), std::nullopt};
  if (reply.has_expiration()) token.expires_wall_ns = ToWallNs(reply.expiration());
  return token;
}

Result<std::string> Connection::Authorise(grpc::ClientContext& context,
                                          const std::stop_token& stop) {
  Result<std::string> token = tokens_->Get(stop);
  if (token && !token->empty()) context.AddMetadata("authorization", "Bearer " + *token);
  return token;
}

void Connection::AwaitConnected(std::chrono::milliseconds longest,
                                const std::stop_token& stop) const {
  constexpr std::chrono::milliseconds kSlice(100);  // how late a stop may be noticed
  const auto deadline = system_clock::now() + longest;
  while (!stop.stop_requested() && system_clock::now() < deadline) {
    if (channel_->WaitForConnected(system_clock::now() + kSlice)) return;
  }
}

Status Connection::Call(const CallKind& kind, const std::stop_token& stop, const Attempt& attempt) {
  const auto deadline = system_clock::now() + kind.deadline;
  Backoff backoff(kFirstPause, kLongestPause);
  bool renewed = false;
  for (int count = 1;; ++count) {
    if (stop.stop_requested()) return Fail(Stopped(kind.name));
    grpc::ClientContext context;
    context.set_deadline(deadline);
    Result<std::string> token = kind.open ? Result<std::string>("") : Authorise(context, stop);
    if (!token) return Fail(token.error().Prepend(kind.name));
    grpc::Status status;
    {
      const std::stop_callback cancel(stop, [&context] { context.TryCancel(); });
      CrashPoint("call", kind.name);
      status = attempt(context);
      CrashPoint("answer", kind.name);
    }
    if (status.ok()) return {};
    if (stop.stop_requested()) return Fail(Stopped(kind.name));
    // Refused before anything was done, so even a change can be repeated.
    if (status.error_code() == grpc::UNAUTHENTICATED && !kind.open && !renewed && Refused(*token)) {
      renewed = true;
      continue;
    }
    const Backoff::Duration pause = backoff.Next();
    if (!kind.repeat || !IsTransient(status) || count >= kAttempts ||
        system_clock::now() + pause >= deadline) {
      return Fail(FromStatus(status, kind.name));
    }
    if (!PauseFor(pause, stop)) return Fail(Stopped(kind.name));
  }
}

}  // namespace outboxfs::remote
