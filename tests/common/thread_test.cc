#include "common/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <array>
#include <csignal>

#include "common/mutex.h"

namespace outboxfs {
namespace {

TEST(ThreadTest, AThreadHasItsNameAndTakesNoSignals) {
  std::array<char, 16> name{};
  bool blocked = false;
  {
    const std::jthread thread = StartThread("a-name-longer-than-15", [&](const std::stop_token&) {
      pthread_getname_np(pthread_self(), name.data(), name.size());
      sigset_t mask;
      pthread_sigmask(SIG_SETMASK, nullptr, &mask);
      blocked = sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGUSR2) == 1;
    });
  }
  EXPECT_STREQ("a-name-longer-t", name.data());
  EXPECT_TRUE(blocked);
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, nullptr, &mask);
  EXPECT_EQ(0, sigismember(&mask, SIGTERM)) << "the starter's own mask is as before";
}

TEST(CondVarTest, StopEndsAWaitWhenItComesBeforeAndDuringIt) {
  Mutex mu;
  CondVar changed;
  const std::jthread waiter = StartThread("waiter", [&](const std::stop_token& stop) {
    MutexLock lock(mu);
    while (!stop.stop_requested()) changed.Wait(mu, stop);
  });
  std::stop_source stopped;
  stopped.request_stop();
  MutexLock lock(mu);
  changed.Wait(mu, stopped.get_token());  // and the destructor of `waiter` stops that one
}

TEST(CondVarTest, ANotifyEndsAWaitAndADeadlineToo) {
  Mutex mu;
  CondVar changed;
  bool ready = false;
  const std::jthread notifier([&] {
    MutexLock lock(mu);
    ready = true;
    changed.NotifyAll();
  });
  MutexLock lock(mu);
  while (!ready) changed.Wait(mu, {});
  const auto deadline = CondVar::Clock::now() + std::chrono::milliseconds(1);
  while (changed.WaitUntil(mu, {}, deadline)) {
  }
  EXPECT_GE(CondVar::Clock::now(), deadline);
}

}  // namespace
}  // namespace outboxfs
