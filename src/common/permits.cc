#include "common/permits.h"

namespace outboxfs {

Permit& Permit::operator=(Permit&& other) noexcept {
  if (this != &other) {
    Release();
    owner_ = std::exchange(other.owner_, nullptr);
    count_ = other.count_;
  }
  return *this;
}

void Permit::Release() {
  if (Permits* owner = std::exchange(owner_, nullptr)) owner->Return(count_);
}

std::optional<Permit> Permits::TryTake(uint64_t count) {
  MutexLock lock(mu_);
  if (!FitsLocked(count)) return std::nullopt;
  in_use_ += count;
  return Permit(this, count);
}

std::optional<Permit> Permits::Take(uint64_t count, const std::stop_token& stop,
                                    CondVar::Clock::time_point deadline) {
  MutexLock lock(mu_);
  while (!FitsLocked(count)) {
    if (stop.stop_requested()) return std::nullopt;
    if (!returned_.WaitUntil(mu_, stop, deadline) && !FitsLocked(count)) return std::nullopt;
  }
  in_use_ += count;
  return Permit(this, count);
}

uint64_t Permits::in_use() const {
  MutexLock lock(mu_);
  return in_use_;
}

void Permits::Return(uint64_t count) {
  {
    MutexLock lock(mu_);
    in_use_ -= count;
  }
  returned_.NotifyAll();
}

}  // namespace outboxfs
