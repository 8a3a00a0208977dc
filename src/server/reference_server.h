// The reference server: CloudDrive2's part that outboxfs uses, over a plain directory. A real
// server, usable alone (`outboxfs serve DIR`), inside the program (`embedded:DIR`) and in tests,
// whose behaviour can be changed while it runs (server/knobs.h).
//
// Cleartext: gRPC and HTTP downloads share one port, and the path of a download link is a template
// as the real server makes it. With TLS, gRPC has the port; downloads have another, named by
// `directUrl` in every answer of GetDownloadUrlPath.
//
// Files of the directory are the cloud's; uploads are written below DIR/.outboxfs-server, which is
// never listed and is removed when the server stops. Hashes of uploaded files are kept in extended
// attributes.
#pragma once

#include <memory>
#include <string>

#include "common/result.h"
#include "server/faults.h"
#include "server/knobs.h"

namespace outboxfs::server {

struct ServerOptions {
  std::string directory;               // made if missing; one server at a time
  std::string listen = "127.0.0.1:0";  // HOST:PORT or [IPV6]:PORT; port 0 takes a free one
  std::string token;                   // the API token; empty: a random one
  std::string user;                    // for GetToken; empty: no login
  std::string password;
  std::string tls_cert_file;  // PEM; both or none
  std::string tls_key_file;
  Knobs knobs;
};

// Thread-safe. The destructor stops the server.
class ReferenceServer {
 public:
  // The server answers when this returns.
  static Result<std::unique_ptr<ReferenceServer>> Start(ServerOptions options);
  ~ReferenceServer();
  ReferenceServer(const ReferenceServer&) = delete;
  ReferenceServer& operator=(const ReferenceServer&) = delete;

  // HOST:PORT with the actual port.
  const std::string& endpoint() const;
  const std::string& token() const;

  // Running uploads take their next step by the new knobs; a hold that was lifted ends at once.
  void SetKnobs(const Knobs& knobs);
  Knobs knobs() const;
  // Injected failures and delays by RPC.
  Faults& faults();
  Counters counters() const;

  // Breaks all upload channels as a network would; uploads wait for their device.
  void DropChannels();
  // Tokens of logins are refused from now on (UNAUTHENTICATED); the API token stays.
  void RevokeLogins();
  // Number of connected push streams.
  size_t push_streams() const;

  // Ends streams and calls and closes the port. Uploads are forgotten, or kept for the next server
  // over this directory (knob keep_sessions). Safe to call twice.
  void Stop();

 private:
  struct Parts;
  explicit ReferenceServer(std::unique_ptr<Parts> parts);

  const std::unique_ptr<Parts> parts_;
};

}  // namespace outboxfs::server
