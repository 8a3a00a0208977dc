#include "cli/death_watch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "common/log.h"
#include "fs/killed_daemon.h"

namespace outboxfs::cli {
namespace {

constexpr int kDeath = SIGUSR1;
constexpr int kAlive = 3;  // descriptors of the watcher
constexpr int kSignals = 4;

// Nothing of the daemon's stays open here: neither its locks nor what a caller reads to its end.
bool KeepOnly(int alive) {
  sigset_t deaths;
  ::sigemptyset(&deaths);
  ::sigaddset(&deaths, kDeath);
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) return false;
  const int high = ::fcntl(alive, F_DUPFD, kSignals + 1);
  for (const int standard : {0, 1, 2}) ::dup2(null, standard);
  ::dup2(high, kAlive);
  const int signals = ::signalfd(-1, &deaths, 0);
  ::dup2(signals, kSignals);
  return high >= 0 && signals >= 0 && ::close_range(kSignals + 1, ~0U, 0) == 0;
}

// What is sent to the whole group, or by whoever ends a service, is for the daemon.
void BlockAllSignals() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

void Watch(pid_t daemon, const std::string& mountpoint, int alive) {
  ::prctl(PR_SET_NAME, "outboxfs-watch");
  BlockAllSignals();
  ::prctl(PR_SET_PDEATHSIG, kDeath);
  if (!KeepOnly(alive) || ::getppid() != daemon) return;
  std::array<pollfd, 2> events{{{kAlive, POLLIN, 0}, {kSignals, POLLIN, 0}}};
  while (::poll(events.data(), events.size(), -1) < 0) {
  }
  // Its files are closed: it has ended whole.
  if ((events[0].revents & POLLHUP) != 0) return;
  // That would unmount a dead mount which nobody uses: programs would then write into the directory
  // below. Held, it stays.
  const FileDescriptor held(::open(mountpoint.c_str(), O_PATH | O_CLOEXEC));
  (void)fs::EndKilledDaemon(daemon, mountpoint);
}

}  // namespace

DeathWatch::DeathWatch(const std::string& mountpoint) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return;
  const FileDescriptor reader(ends[0]);
  alive_ = FileDescriptor(ends[1]);
  const pid_t daemon = ::getpid();
  watcher_ = ::fork();
  if (watcher_ < 0) {
    Log::Warning("no process to watch over this one: {}", Error::FromErrno(errno, "fork").text);
  }
  if (watcher_ != 0) return;
  alive_.Close();
  Watch(daemon, mountpoint, reader.get());
  ::_exit(0);
}

DeathWatch::~DeathWatch() {
  alive_.Close();
  if (watcher_ > 0) ::waitpid(watcher_, nullptr, 0);
}

}  // namespace outboxfs::cli
