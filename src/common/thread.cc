#include "common/thread.h"

#include <pthread.h>

#include <csignal>
#include <utility>

namespace outboxfs {

std::jthread StartThread(std::string name, std::function<void(std::stop_token)> body) {
  // Blocked around the creation so that the new thread inherits the mask from its first
  // instruction.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::jthread thread([name = std::move(name), body = std::move(body)](std::stop_token stop) {
    pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
    body(std::move(stop));
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace outboxfs
