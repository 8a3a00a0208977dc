#include "server/reference_server.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/server_posix.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "common/log.h"
#include "common/thread.h"
#include "server/auth.h"
#include "server/dir_store.h"
#include "server/download_http.h"
#include "server/front.h"
#include "server/grpc_service.h"
#include "server/knob_store.h"
#include "server/namespace_service.h"
#include "server/push_hub.h"
#include "server/recent.h"
#include "server/upload_service.h"

namespace outboxfs::server {
namespace {

constexpr int kHardReceiveLimit = 16 << 20;  // bytes of one message; the knob may ask for less
constexpr int kMaxThreads = 64;              // of unary calls; more calls are refused
constexpr auto kShutdownGrace = std::chrono::seconds(2);

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  if (!in) return Fail(EIO, "cannot read " + path);
  return text.str();
}

Result<std::shared_ptr<grpc::ServerCredentials>> TlsCredentials(const ServerOptions& options) {
  const auto cert = ReadFile(options.tls_cert_file);
  const auto key = ReadFile(options.tls_key_file);
  if (!cert) return Fail(cert.error());
  if (!key) return Fail(key.error());
  grpc::SslServerCredentialsOptions ssl;
  ssl.pem_key_cert_pairs.push_back({*key, *cert});
  return grpc::SslServerCredentials(ssl);
}

std::string HostOf(const std::string& listen) { return listen.substr(0, listen.rfind(':')); }

}  // namespace

// In order of dependence: later members use earlier ones.
struct ReferenceServer::Parts {
  Parts(const ServerOptions& options, std::unique_ptr<DirStore> directory)
      : knobs(options.knobs),
        auth(knobs, options.token, options.user, options.password),
        store(std::move(directory)),
        recent(knobs),
        uploads(knobs, *store, faults, recent, push),
        names(knobs, *store, auth, recent, push),
        service({knobs, auth, faults, names, uploads, push}),
        download(knobs, *store, auth, recent, faults) {
    names.set_running_uploads([this] { return uploads.Running(); });
    store->IgnoreCase(options.knobs.ignore_case);
  }

  Status Listen(const ServerOptions& options);
  Status ListenTls(const ServerOptions& options);
  Status StartHttps(const ServerOptions& options);
  void ConfigureBuilder(grpc::ServerBuilder* builder);

  KnobStore knobs;
  Faults faults;
  Auth auth;
  std::unique_ptr<DirStore> store;
  Recent recent;
  PushHub push;
  UploadService uploads;
  NamespaceService names;
  GrpcService service;
  DownloadHttp download;
  std::string endpoint;
  std::unique_ptr<grpc::Server> grpc_server;
  HttpConnections http;
  std::unique_ptr<Front> front;               // cleartext
  std::unique_ptr<httplib::SSLServer> https;  // TLS
  std::jthread https_thread;
  std::atomic<bool> stopped = false;
};

void ReferenceServer::Parts::ConfigureBuilder(grpc::ServerBuilder* builder) {
  builder->RegisterService(&service);
  builder->SetMaxReceiveMessageSize(kHardReceiveLimit);
  grpc::ResourceQuota quota("server");
  quota.SetMaxThreads(kMaxThreads);
  builder->SetResourceQuota(quota);
  builder->SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
  // Made for messages of a MiB that come at once: large windows, frames and reads of the socket.
  builder->AddChannelArgument(GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 8 << 20);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 4 << 20);
  builder->AddChannelArgument(GRPC_ARG_TCP_READ_CHUNK_SIZE, 256 << 10);
  // Clients ping an idle channel every 30 s; that is no abuse.
  builder->AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5000);
  builder->AddChannelArgument(GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0);
}

Status ReferenceServer::Parts::Listen(const ServerOptions& options) {
  auto listening = Front::Listen(options.listen);
  if (!listening) return Fail(listening.error());
  front = std::move(*listening);
  endpoint = front->endpoint();
  grpc::ServerBuilder builder;
  ConfigureBuilder(&builder);
  grpc_server = builder.BuildAndStart();
  if (!grpc_server) return Fail(EIO, "cannot start the gRPC server");
  download.Attach(&http);
  front->Start([this](int fd) { grpc::AddInsecureChannelFromFd(grpc_server.get(), fd); },
               [this](int fd) { return http.ServeWaiting(fd); });
  return {};
}

Status ReferenceServer::Parts::StartHttps(const ServerOptions& options) {
  https = std::make_unique<httplib::SSLServer>(options.tls_cert_file.c_str(),
                                               options.tls_key_file.c_str());
  const std::string host = HostOf(options.listen);
  const int port = https->is_valid() ? https->bind_to_any_port(host) : -1;
  if (port < 0) return Fail(EIO, "cannot start the HTTPS server");
  download.Attach(https.get());
  names.set_direct_address("https://" + host + ":" + std::to_string(port));
  https_thread = StartThread(
      "srv-https", [this](const std::stop_token& /*stop*/) { https->listen_after_bind(); });
  return {};
}

Status ReferenceServer::Parts::ListenTls(const ServerOptions& options) {
  const auto credentials = TlsCredentials(options);
  if (!credentials) return Fail(credentials.error());
  if (Status started = StartHttps(options); !started) return started;
  grpc::ServerBuilder builder;
  ConfigureBuilder(&builder);
  int port = 0;
  builder.AddListeningPort(options.listen, *credentials, &port);
  grpc_server = builder.BuildAndStart();
  if (!grpc_server || port == 0) return Fail(EADDRINUSE, "cannot listen on " + options.listen);
  endpoint = HostOf(options.listen) + ":" + std::to_string(port);
  return {};
}

Result<std::unique_ptr<ReferenceServer>> ReferenceServer::Start(ServerOptions options) {
  auto store = DirStore::Open(options.directory);
  if (!store) return Fail(store.error());
  std::unique_ptr<ReferenceServer> server(
      new ReferenceServer(std::make_unique<Parts>(options, std::move(*store))));
  Parts& parts = *server->parts_;
  parts.uploads.LoadSessions();
  const bool tls = !options.tls_cert_file.empty() || !options.tls_key_file.empty();
  if (Status ok = tls ? parts.ListenTls(options) : parts.Listen(options); !ok) {
    return Fail(ok.error());
  }
  Log::Info("server: {} on {}", options.directory, parts.endpoint);
  return server;
}

ReferenceServer::ReferenceServer(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

ReferenceServer::~ReferenceServer() { Stop(); }

void ReferenceServer::Stop() {
  if (parts_->stopped.exchange(true)) return;
  if (parts_->front) parts_->front->Stop();
  if (parts_->https) parts_->https->stop();
  if (parts_->https_thread.joinable()) parts_->https_thread.join();
  parts_->uploads.StopWaiting();
  parts_->service.StopWaiting();
  clouddrive::CloudDrivePushMessage exit;
  exit.set_messagetype(clouddrive::CloudDrivePushMessage::FORCE_EXIT);
  exit.mutable_exitedmessage()->set_exitreason(clouddrive::ExitedMessage::SHUTDOWN);
  parts_->push.Send(exit);
  const grpc::Status leaving(grpc::StatusCode::UNAVAILABLE, "the server stops");
  parts_->push.CloseAll(leaving);
  parts_->uploads.channels().CloseAll(leaving);
  if (parts_->grpc_server) {
    parts_->grpc_server->Shutdown(std::chrono::system_clock::now() + kShutdownGrace);
    parts_->grpc_server->Wait();
  }
  parts_->uploads.Stop();
}

const std::string& ReferenceServer::endpoint() const { return parts_->endpoint; }
const std::string& ReferenceServer::token() const { return parts_->auth.token(); }

void ReferenceServer::SetKnobs(const Knobs& knobs) {
  parts_->knobs.Set(knobs);
  parts_->store->IgnoreCase(knobs.ignore_case);
  parts_->uploads.Poke();
}

Knobs ReferenceServer::knobs() const { return *parts_->knobs.Get(); }
Faults& ReferenceServer::faults() { return parts_->faults; }
Counters ReferenceServer::counters() const { return parts_->faults.counters(); }
void ReferenceServer::DropChannels() { parts_->uploads.channels().DropAll(); }
void ReferenceServer::RevokeLogins() { parts_->auth.RevokeLogins(); }
size_t ReferenceServer::push_streams() const { return parts_->push.open_streams(); }

}  // namespace outboxfs::server
