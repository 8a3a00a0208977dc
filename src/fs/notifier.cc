#include "fs/notifier.h"

#include "common/thread.h"

namespace outboxfs::fs {

Notifier::Notifier(KernelCache& kernel)
    : kernel_(kernel),
      thread_(StartThread("notifier", [this](const std::stop_token& stop) { Run(stop); })) {}

Notifier::~Notifier() = default;

void Notifier::ExpireEntry(cache::Ino parent, const std::string& name) {
  {
    MutexLock lock(mu_);
    work_.entries.emplace(parent, name);
  }
  changed_.NotifyAll();
}

void Notifier::DropAttributes(cache::Ino ino) {
  {
    MutexLock lock(mu_);
    work_.attributes.insert(ino);
  }
  changed_.NotifyAll();
}

void Notifier::DropContent(cache::Ino ino) {
  {
    MutexLock lock(mu_);
    work_.contents.insert(ino);
  }
  changed_.NotifyAll();
}

void Notifier::Stop() { thread_.request_stop(); }

bool Notifier::WaitIdle(CondVar::Clock::time_point deadline) {
  MutexLock lock(mu_);
  while (sending_) {
    if (!changed_.WaitUntil(mu_, {}, deadline)) return !sending_;
  }
  return true;
}

void Notifier::Run(const std::stop_token& stop) {
  while (true) {
    Work work;
    {
      MutexLock lock(mu_);
      sending_ = false;
      changed_.NotifyAll();
      while (work_.empty() && !stop.stop_requested()) changed_.Wait(mu_, stop);
      if (stop.stop_requested()) return;
      sending_ = true;
      std::swap(work, work_);
    }
    Send(work, stop);
  }
}

void Notifier::Send(const Work& work, const std::stop_token& stop) {
  for (const auto& [parent, name] : work.entries) {
    if (stop.stop_requested()) return;
    kernel_.ExpireEntry(parent, name);
  }
  for (const cache::Ino ino : work.attributes) {
    if (stop.stop_requested()) return;
    kernel_.DropAttributes(ino);
  }
  for (const cache::Ino ino : work.contents) {
    if (stop.stop_requested()) return;
    kernel_.DropContent(ino);
  }
}

}  // namespace outboxfs::fs
