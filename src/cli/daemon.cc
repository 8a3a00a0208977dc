#include "cli/daemon.h"

#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "cli/exit_codes.h"
#include "cli/left_behind.h"
#include "cli/paths.h"
#include "cli/server_probe.h"
#include "common/log.h"
#include "status/collect.h"

namespace outboxfs::cli {
namespace {

// What was read is kept only while the disk has so much more free: writers come first.
constexpr uint64_t kFreeReserve = uint64_t{1} << 30;

}  // namespace

Result<std::unique_ptr<Daemon>> Daemon::Start(MountPlan plan, const Environment& environment) {
  std::unique_ptr<Daemon> daemon(new Daemon(std::move(plan), environment));
  const Config& config = daemon->plan_.config;
  Result<std::unique_ptr<cache::Store>> store = cache::Store::Open(
      {.directory = config.cache_dir,
       .memory_limit = static_cast<uint64_t>(config.attr_memory),
       .read_cache = {.bytes = config.cache_max_size, .free_reserve = kFreeReserve},
       .keep = config.cache_keep,
       .mountpoint = config.mount.mountpoint},
      daemon->clock_);
  if (!store) return Fail(store.error());
  daemon->store_ = std::move(*store);
  for (const auto step :
       {&Daemon::StartServer, &Daemon::ConnectRemote, &Daemon::MountIt, &Daemon::StartControl}) {
    if (const Status done = (daemon.get()->*step)(); !done) return Fail(done.error());
  }
  return daemon;
}

Daemon::Daemon(MountPlan plan, const Environment& environment)
    : plan_(std::move(plan)), environment_(environment), clock_(RealClock()) {}

Status Daemon::StartServer() {
  if (plan_.embedded_dir.empty()) return {};
  Result<std::unique_ptr<server::ReferenceServer>> server =
      server::ReferenceServer::Start({.directory = plan_.embedded_dir});
  if (!server) return Fail(server.error());
  server_ = std::move(*server);
  const Result<remote::RemoteSpec> spec = remote::ParseRemote(server_->endpoint());
  if (!spec) return Fail(spec.error());
  RegisterSecret(server_->token());
  plan_.config.connect.endpoint = spec->endpoint;
  plan_.config.connect.credentials = {.token = server_->token()};
  return {};
}

Status Daemon::ConnectRemote() {
  plan_.config.connect.folder = plan_.config.mount.remote_folder;
  const Config& config = plan_.config;
  Result<std::unique_ptr<remote::Remote>> remote = remote::Remote::Connect(config.connect);
  if (!remote) return Fail(remote.error());
  remote_ = std::move(*remote);
  const ProbeResult probe = ProbeServer(remote_->names(), config.mount.remote_folder, kProbeTime);
  if (!probe.refused) return Fail(Error(probe.refused.error()).Prepend(plan_.remote_name));
  if (!probe.unreachable.empty()) {
    Log::Warning("{} cannot be reached, mounting all the same: {}", plan_.remote_name,
                 probe.unreachable);
  }
  dirs_ = std::make_unique<remote::DirCache>(remote_->names(), clock_, config.mount.dir_cache_time);
  downloader_ = remote::MakeDownloader(remote_->names(), config.connect);
  return {};
}

Status Daemon::MountIt() {
  const Config& config = plan_.config;
  uploader_ = upload::Uploader::Start(*store_, remote_->uploads(), remote_->names(), *dirs_, clock_,
                                      config.upload);
  Result<std::unique_ptr<fs::MountSession>> session =
      fs::MountSession::Mount(config.mount, {.store = *store_,
                                             .names = remote_->names(),
                                             .dirs = *dirs_,
                                             .downloads = *downloader_,
                                             .clock = clock_,
                                             .read_cache = &store_->read_cache()});
  if (!session) return Fail(session.error());
  session_ = std::move(*session);
  push_ = std::make_unique<remote::PushReader>(
      remote_->names(), *dirs_, [this](const remote::FsChange* change) { OnRemoteChange(change); });
  return {};
}

Status Daemon::StartControl() {
  const Config& config = plan_.config;
  leaving_ = std::make_unique<Leaving>(StepsOfLeaving(),
                                       config.drain_timeout.value_or(kDrainTimeout), clock_);
  handler_ = std::make_unique<ControlHandler>(*store_, *uploader_, *session_, *leaving_, clock_,
                                              status::About{.version = OUTBOXFS_VERSION,
                                                            .remote = plan_.remote_name,
                                                            .mountpoint = config.mount.mountpoint,
                                                            .cache_dir = config.cache_dir,
                                                            .log_file = config.log.file,
                                                            .pid = ::getpid(),
                                                            .started_ns = clock_.WallNs()});
  const Result<std::string> runtime = RuntimeDir(environment_);
  if (!runtime) return Fail(runtime.error());
  Result<std::unique_ptr<ControlServer>> control = ControlServer::Start(
      ControlSocketPath(*runtime, config.mount.mountpoint),
      [this](const auto& request, const auto& stop) { return handler_->Handle(request, stop); });
  if (!control) return Fail(control.error());
  control_ = std::move(*control);
  signals_ = std::make_unique<SignalThread>([this](int signal, int count) {
    Log::Notice("signal {}: {}", signal, count == 1 ? "leaving" : "leaving without waiting");
    leaving_->Begin(std::nullopt);
    if (count > 1) leaving_->Hurry();
  });
  return {};
}

LeavingSteps Daemon::StepsOfLeaving() {
  return {
      .refuse_writers =
          [this] {
            NotifySystemd(environment_, "STOPPING=1\nSTATUS=uploading what is left");
            session_->RefuseWriters();
          },
      .drain = [this](SteadyTime deadline,
                      const std::stop_token& stop) { uploader_->Drain(deadline, stop); },
      .look = [this] { return status::Summarise(*store_, *uploader_, {}); },
      .exit = [this] { session_->RequestExit(); },
  };
}

void Daemon::OnRemoteChange(const remote::FsChange* change) {
  if (change == nullptr) {
    session_->RemoteChanged("", false);
    return;
  }
  using Kind = remote::FsChange::Kind;
  const bool gone = change->kind == Kind::kDelete || change->kind == Kind::kRename;
  session_->RemoteChanged(change->path, gone);
  if (!change->new_path.empty()) session_->RemoteChanged(change->new_path, false);
}

void Daemon::OnReady(ReadyPipe& ready) {
  Log::Notice("{} is mounted at {}", plan_.remote_name, plan_.config.mount.mountpoint);
  // The directory that we were started in must not be kept busy.
  if (::chdir("/") != 0) Log::Warning("chdir: {}", errno);
  NotifySystemd(environment_, fmt::format("READY=1\nSTATUS={} is mounted at {}", plan_.remote_name,
                                          plan_.config.mount.mountpoint));
  if (const Status told = ready.Ready(); !told) {
    Log::Warning("nobody waits for this mount any more: leaving");
    leaving_->Begin(std::chrono::nanoseconds(0));
  }
}

int Daemon::Run(ReadyPipe& ready) {
  const Status served = session_->Run([&] { OnReady(ready); });
  if (!served) {
    Log::Error("{}", served.error().text);
    ready.Failed(kExitFailed, served.error().text);
  }
  // After somebody else's umount nothing has been drained yet.
  leaving_->Begin(std::nullopt);
  leaving_->Await({});
  const status::Summary left = status::Summarise(*store_, *uploader_, {});
  Log::Notice("{}", DescribeLeft(left));
  for (std::string names = NameLeft(left); !names.empty();) {
    const size_t end = names.find('\n');
    Log::Notice("left: {}", names.substr(0, end));
    names.erase(0, end + 1);
  }
  if (!served) return kExitFailed;
  return IsNothing(left) ? kExitOk : kExitLeft;
}

}  // namespace outboxfs::cli
