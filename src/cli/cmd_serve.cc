#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <future>

#include "cli/commands.h"
#include "cli/exit_codes.h"
#include "cli/launcher.h"
#include "cli/secret_file.h"
#include "cli/signals.h"
#include "common/disk.h"
#include "common/log.h"
#include "server/reference_server.h"

namespace outboxfs::cli {
namespace {

int PrintKnobs() {
  for (const server::KnobHelp& knob : server::KnobKeys()) {
    fmt::print("{}={}\n    {}\n    values: {}\n", knob.key, knob.value, knob.help, knob.values);
  }
  return kExitOk;
}

// The token file's, which is made when it is missing; else OUTBOXFS_TOKEN; else empty: a random
// one.
Result<std::string> TokenOf(const Config& config) {
  if (config.token_file.empty()) return config.token;
  Result<std::string> token = ReadSecretFile(config.token_file);
  if (token || token.error().code != ENOENT) return token;
  std::string fresh = RandomToken();
  if (Status made = WriteSecretFile(config.token_file, fresh); !made) return Fail(made.error());
  return fresh;
}

Result<server::ServerOptions> OptionsOf(const std::string& directory, const Config& config) {
  server::ServerOptions options;
  options.directory = directory;
  options.listen = config.serve.listen;
  options.tls_cert_file = config.serve.tls_cert;
  options.tls_key_file = config.serve.tls_key;
  options.user = config.user;
  options.password = config.password;
  if (!config.password_file.empty()) {
    Result<std::string> password = ReadSecretFile(config.password_file);
    if (!password) return Fail(password.error().Prepend("password file"));
    options.password = *password;
  }
  if (options.user.empty() != options.password.empty()) {
    return Fail(EINVAL, "--user and --password-file belong together");
  }
  Result<std::string> token = TokenOf(config);
  if (!token) return Fail(token.error().Prepend("token file"));
  options.token = *token;
  for (const std::string& knob : config.serve.knobs) {
    if (Status set = server::SetKnob(knob, &options.knobs); !set) {
      return Fail(set.error().Prepend("--knob"));
    }
  }
  return options;
}

// Complete or not there at all, for whoever waits for it.
Status WriteReadyFile(const std::string& path, const std::string& endpoint) {
  const std::string fresh = path + ".new";
  {
    const Result<FileDescriptor> file = disk::Open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (!file) return Fail(file.error());
    const std::string line = endpoint + "\n";
    if (Status s = disk::WriteAt(file->get(), std::as_bytes(std::span(line)), 0); !s) return s;
  }
  return disk::Rename(fresh, path);
}

Status Announce(const server::ReferenceServer& server, const Config& config,
                const Environment& environment) {
  const bool tls = !config.serve.tls_cert.empty();
  const std::string endpoint = (tls ? "https://" : "") + server.endpoint();
  fmt::print("serving at {}\n", endpoint);
  if (config.token_file.empty() && config.token.empty()) fmt::print("token {}\n", server.token());
  std::fflush(stdout);
  NotifySystemd(environment, fmt::format("READY=1\nSTATUS=serving at {}", endpoint));
  if (config.serve.ready_file.empty()) return {};
  return WriteReadyFile(config.serve.ready_file, endpoint);
}

}  // namespace

int RunServe(const CommandContext& context) {
  const Config& config = context.config;
  const auto& knobs = config.serve.knobs;
  if (std::find(knobs.begin(), knobs.end(), "help") != knobs.end()) return PrintKnobs();
  if (context.operands.empty()) {
    return Complain(kExitUsage, "serve: DIR is missing (see outboxfs serve --help)");
  }
  Result<server::ServerOptions> options = OptionsOf(context.operands.front(), config);
  if (!options) {
    return Complain(options.error().code == EINVAL ? kExitUsage : kExitFailed,
                    options.error().text);
  }
  BlockSignals();
  if (!InitLog(config.log)) {
    return Complain(kExitFailed, fmt::format("cannot write the log {}", config.log.file));
  }
  RegisterSecret(options->token);
  RegisterSecret(options->password);
  std::promise<void> signalled;
  const SignalThread signals([&](int, int count) {
    if (count == 1) signalled.set_value();
  });
  Result<std::unique_ptr<server::ReferenceServer>> server =
      server::ReferenceServer::Start(std::move(*options));
  if (!server) return Complain(kExitFailed, server.error().text);
  if (const Status told = Announce(**server, config, context.environment); !told) {
    return Complain(kExitFailed, told.error().text);
  }
  signalled.get_future().wait();
  NotifySystemd(context.environment, "STOPPING=1");
  (*server)->Stop();
  return kExitOk;
}

}  // namespace outboxfs::cli
