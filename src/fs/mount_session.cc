#include "fs/mount_session.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <thread>

#include "common/log.h"
#include "common/thread.h"
#include "fs/capabilities.h"
#include "fs/filesystem.h"
#include "fs/fuse_api.h"
#include "fs/fuse_ops.h"
#include "fs/kernel.h"
#include "fs/mount_point.h"

namespace outboxfs::fs {
namespace {

constexpr std::chrono::milliseconds kKickInterval{50};
constexpr std::chrono::seconds kNotifierTime{2};
constexpr std::chrono::seconds kLoopTime{5};

// What libfuse complained of last on this thread: the only place where it says why a mount failed.
thread_local std::string last_complaint;

void LogFromLibfuse(enum fuse_log_level level, const char* format, va_list arguments) {
  const int saved = errno;
  char text[1024];
  const int length = vsnprintf(text, sizeof(text), format, arguments);
  std::string_view line(
      text, std::clamp<size_t>(length < 0 ? 0 : static_cast<size_t>(length), 0, sizeof(text) - 1));
  while (line.ends_with('\n')) line.remove_suffix(1);
  if (level <= FUSE_LOG_WARNING) {
    last_complaint = line;
    Log::Warning("libfuse: {}", line);
  } else {
    Log::Debug("libfuse: {}", line);
  }
  errno = saved;
}

std::string EscapeComma(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == ',' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::vector<std::string> Arguments(const MountOptions& options) {
  std::vector<std::string> arguments = {"outboxfs", "-o", "fsname=" + EscapeComma(options.source),
                                        "-o", "subtype=outboxfs,default_permissions"};
  const auto add = [&](const std::string& word) {
    arguments.emplace_back("-o");
    arguments.push_back(word);
  };
  if (options.allow_other) add("allow_other");
  if (options.read_only) add("ro");
  for (const std::string& word : options.fuse_options) {
    if (word != "nonempty") add(word);  // libfuse 3 has none: the check is ours
  }
  return arguments;
}

void IgnoreSignal(int) {}

// Lets SIGUSR2 interrupt system calls of this thread, for as long as it lives.
class Kickable {
 public:
  Kickable() {
    struct sigaction action = {};
    action.sa_handler = IgnoreSignal;  // without SA_RESTART
    sigaction(SIGUSR2, &action, &old_action_);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_UNBLOCK, &set, &old_mask_);
  }
  ~Kickable() {
    pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
    sigaction(SIGUSR2, &old_action_, nullptr);
  }
  Kickable(const Kickable&) = delete;
  Kickable& operator=(const Kickable&) = delete;

 private:
  struct sigaction old_action_ = {};
  sigset_t old_mask_ = {};
};

class Session final : public MountSession {
 public:
  Session(MountOptions options, const Rooms& rooms)
      : options_(std::move(options)),
        passthrough_(kernel_, options_.passthrough ? "" : "switched off"),
        notifier_(kernel_),
        filesystem_(options_, rooms, passthrough_, notifier_),
        context_{filesystem_, [this](fuse_conn_info& conn) { OnInit(conn); }} {}
  ~Session() override;
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  Status Start();
  Status Run(const std::function<void()>& ready) override;
  void RequestExit() override ABSL_LOCKS_EXCLUDED(mu_);
  void RefuseWriters() override { filesystem_.RefuseWriters(); }
  MountStatus Snapshot() const override;
  void RemoteChanged(const std::string& server_path, bool gone) override {
    filesystem_.RemoteChanged(server_path, gone);
  }

 private:
  void OnInit(fuse_conn_info& conn);
  // Waits for RequestExit and then ends the loop that `loop_thread` runs.
  void EndLoop(pthread_t loop_thread) ABSL_LOCKS_EXCLUDED(mu_);
  bool AwaitExitRequest() ABSL_LOCKS_EXCLUDED(mu_);
  bool AwaitLoopEnd(std::chrono::milliseconds time) ABSL_LOCKS_EXCLUDED(mu_);
  // The kernel fails every request of the connection: the last resort.
  void Abort() const;
  void StopNotifier();

  const MountOptions options_;
  Kernel kernel_;
  Passthrough passthrough_;
  Notifier notifier_;
  Filesystem filesystem_;
  OpsContext context_;
  struct fuse_session* fuse_ = nullptr;  // constant after Start
  std::optional<unsigned> connection_;   // constant after Start
  std::function<void()> ready_;          // constant while the loop runs

  Mutex mu_;
  CondVar changed_;
  bool exit_requested_ ABSL_GUARDED_BY(mu_) = false;
  bool loop_ended_ ABSL_GUARDED_BY(mu_) = false;
};

Session::~Session() {
  StopNotifier();
  if (fuse_ == nullptr) return;
  fuse_session_unmount(fuse_);  // if Run has not done it
  fuse_session_destroy(fuse_);
}

Status Session::Start() {
  std::vector<std::string> words = Arguments(options_);
  std::vector<char*> pointers;
  pointers.reserve(words.size());
  for (std::string& word : words) pointers.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  fuse_set_log_func(LogFromLibfuse);
  last_complaint.clear();
  fuse_ = fuse_session_new(&arguments, &Operations(), sizeof(fuse_lowlevel_ops), &context_);
  fuse_opt_free_args(&arguments);
  if (fuse_ == nullptr) return Fail(EINVAL, "libfuse refuses the options: " + last_complaint);
  kernel_.SetSession(fuse_);
  errno = 0;
  if (fuse_session_mount(fuse_, options_.mountpoint.c_str()) != 0) {
    const int code = errno != 0 ? errno : EIO;
    return Fail(code, "cannot mount at " + options_.mountpoint + ": " + last_complaint);
  }
  if (const auto mount = FindMount(options_.mountpoint)) connection_ = mount->device_minor;
  return {};
}

void Session::OnInit(fuse_conn_info& conn) {
  const std::string reason = Negotiate(conn);
  if (!reason.empty()) passthrough_.Disable(reason);
  if (passthrough_.on()) Log::Notice("passthrough is on");
  if (ready_) ready_();
}

Status Session::Run(const std::function<void()>& ready) {
  ready_ = ready;
  const Kickable kickable;
  const pthread_t self = pthread_self();
  int ended = 0;
  {
    // What an earlier run left undecided is settled while the mount serves already.
    const std::jthread settler = StartThread(
        "mount-settle", [this](const std::stop_token& stop) { filesystem_.SettleLoop(stop); });
    const std::jthread ender =
        StartThread("mount-exit", [&](const std::stop_token&) { EndLoop(self); });
    struct fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 1);
    // Threads beyond the workers come when all are busy, and go afterwards.
    const auto workers = static_cast<unsigned>(options_.workers);
    fuse_loop_cfg_set_max_threads(config, workers + kWaitingRoom);
    fuse_loop_cfg_set_idle_threads(config, workers);
    ended = fuse_session_loop_mt(fuse_, config);
    fuse_loop_cfg_destroy(config);
    {
      MutexLock lock(mu_);
      loop_ended_ = true;
    }
    changed_.NotifyAll();
  }
  StopNotifier();
  filesystem_.StopWaits();
  fuse_session_unmount(fuse_);
  filesystem_.CloseAll();
  if (ended < 0) return FailErrno(-ended, "serving " + options_.mountpoint);
  return {};
}

void Session::RequestExit() {
  {
    MutexLock lock(mu_);
    exit_requested_ = true;
  }
  changed_.NotifyAll();
}

bool Session::AwaitExitRequest() {
  MutexLock lock(mu_);
  while (!exit_requested_ && !loop_ended_) changed_.Wait(mu_, {});
  return !loop_ended_;
}

bool Session::AwaitLoopEnd(std::chrono::milliseconds time) {
  const auto deadline = CondVar::Clock::now() + time;
  MutexLock lock(mu_);
  while (!loop_ended_ && changed_.WaitUntil(mu_, {}, deadline)) {
  }
  return loop_ended_;
}

// The notifier first, while the loop still serves what it may wait for (docs/LOCKS.md, "Leaving").
void Session::EndLoop(pthread_t loop_thread) {
  if (!AwaitExitRequest()) return;
  StopNotifier();
  filesystem_.StopWaits();
  fuse_session_exit(fuse_);
  const auto overdue = CondVar::Clock::now() + kLoopTime;
  bool aborted = false;
  do {
    // The kick is lost when it comes just before the loop waits: so again and again.
    pthread_kill(loop_thread, SIGUSR2);
    if (!aborted && CondVar::Clock::now() > overdue) {
      aborted = true;
      Abort();
    }
  } while (!AwaitLoopEnd(kKickInterval));
}

void Session::StopNotifier() {
  notifier_.Stop();
  if (!notifier_.WaitIdle(CondVar::Clock::now() + kNotifierTime)) Abort();
}

void Session::Abort() const {
  Log::Warning("{} does not end by itself: aborting the connection", options_.mountpoint);
  if (!connection_ || !AbortConnection(*connection_)) {
    Log::Error("{}: the connection cannot be aborted", options_.mountpoint);
  }
}

MountStatus Session::Snapshot() const {
  MountStatus status;
  filesystem_.FillStatus(status);
  return status;
}

}  // namespace

Result<std::unique_ptr<MountSession>> MountSession::Mount(const MountOptions& options,
                                                          const Rooms& rooms) {
  const bool nonempty =
      std::count(options.fuse_options.begin(), options.fuse_options.end(), "nonempty") > 0;
  const auto mountpoint = PrepareMountpoint(options.mountpoint, nonempty);
  if (!mountpoint) return Fail(mountpoint.error());
  MountOptions prepared = options;
  prepared.mountpoint = *mountpoint;
  auto session = std::make_unique<Session>(std::move(prepared), rooms);
  if (const auto started = session->Start(); !started) return Fail(started.error());
  return session;
}

}  // namespace outboxfs::fs
