// The composition root: the only place that knows all rooms. Members stand in the order of their
// dependence, so that destruction is the shutdown order of docs/LOCKS.md, "Leaving".
#pragma once

#include <memory>
#include <optional>

#include "cache/layout.h"
#include "cache/store.h"
#include "cli/control_handler.h"
#include "cli/control_server.h"
#include "cli/launcher.h"
#include "cli/leaving.h"
#include "cli/mount_plan.h"
#include "cli/signals.h"
#include "fs/mount_session.h"
#include "remote/push.h"
#include "remote/remote.h"
#include "server/reference_server.h"
#include "upload/uploader.h"

namespace outboxfs::cli {

// One mount from start to end. Start, Run and destruction on one thread: the process's first.
class Daemon {
 public:
  // Everything up to the mount itself: a failure is one clear line. REQUIRES: signals blocked, log
  // ready. A server that cannot be reached is no failure; one that refuses the token is.
  static Result<std::unique_ptr<Daemon>> Start(MountPlan plan, const Environment& environment);
  ~Daemon() = default;
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;

  // Serves until a signal, `outboxfs unmount` or an external unmount, and until the uploads are
  // drained. `ready` is told when the mount answers. Returns the process's exit code.
  int Run(ReadyPipe& ready);

 private:
  Daemon(MountPlan plan, const Environment& environment);
  Status StartServer();
  Status ConnectRemote();
  Status MountIt();
  Status StartControl();
  LeavingSteps StepsOfLeaving();
  void OnReady(ReadyPipe& ready);
  void OnRemoteChange(const remote::FsChange* change);

  MountPlan plan_;
  const Environment environment_;
  const Clock& clock_;
  std::unique_ptr<cache::Store> store_;
  std::unique_ptr<server::ReferenceServer> server_;  // embedded:DIR only
  std::unique_ptr<remote::Remote> remote_;
  std::unique_ptr<remote::DirCache> dirs_;
  std::unique_ptr<remote::Downloader> downloader_;
  std::unique_ptr<upload::Uploader> uploader_;
  std::unique_ptr<fs::MountSession> session_;
  std::unique_ptr<remote::PushReader> push_;
  std::unique_ptr<Leaving> leaving_;
  std::unique_ptr<ControlHandler> handler_;
  std::unique_ptr<ControlServer> control_;
  std::unique_ptr<SignalThread> signals_;
};

}  // namespace outboxfs::cli
