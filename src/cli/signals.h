// TERM, INT and HUP as calls on a thread of our own, never as handlers in the middle of something.
#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace outboxfs::cli {

// Before the first thread starts: blocks TERM, INT and HUP everywhere, and ignores PIPE (a closed
// peer is an error of the call) and IO (a broken lease of the writer probe is not news).
void BlockSignals();

// Takes the blocked signals with sigwait. REQUIRES: BlockSignals before.
class SignalThread {
 public:
  // Called with the signal and how many came so far, from 1.
  using OnSignal = std::function<void(int signal, int count)>;
  explicit SignalThread(OnSignal on_signal);
  ~SignalThread();
  SignalThread(const SignalThread&) = delete;
  SignalThread& operator=(const SignalThread&) = delete;

 private:
  void Run();

  const OnSignal on_signal_;
  std::atomic<bool> stopping_ = false;
  std::jthread thread_;
};

}  // namespace outboxfs::cli
