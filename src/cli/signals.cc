#include "cli/signals.h"

#include <pthread.h>

#include <csignal>
#include <utility>

#include "common/thread.h"

namespace outboxfs::cli {
namespace {

sigset_t LeavingSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
  return set;
}

}  // namespace

void BlockSignals() {
  const sigset_t set = LeavingSignals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &ignore, nullptr);
  sigaction(SIGIO, &ignore, nullptr);
}

SignalThread::SignalThread(OnSignal on_signal) : on_signal_(std::move(on_signal)) {
  thread_ = StartThread("signals", [this](const std::stop_token&) { Run(); });
}

SignalThread::~SignalThread() {
  stopping_ = true;
  // It is blocked everywhere and only ends the sigwait.
  pthread_kill(thread_.native_handle(), SIGTERM);  // NOLINT(bugprone-bad-signal-to-kill-thread)
}

void SignalThread::Run() {
  const sigset_t set = LeavingSignals();
  for (int count = 1;; ++count) {
    int number = 0;
    if (sigwait(&set, &number) != 0) continue;
    if (stopping_) return;
    on_signal_(number, count);
  }
}

}  // namespace outboxfs::cli
