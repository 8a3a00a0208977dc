#include "server/faults.h"

#include <algorithm>
#include <utility>

namespace outboxfs::server {

void Faults::FailNext(const std::string& rpc, int count, int grpc_code, const std::string& text,
                      FailWhen when) {
  MutexLock lock(mu_);
  planned_.push_back({rpc, count, {grpc_code, text, when}});
}

void Faults::Delay(const std::string& rpc, Millis delay) {
  MutexLock lock(mu_);
  delays_[rpc] = delay;
}

void Faults::Clear() {
  MutexLock lock(mu_);
  planned_.clear();
  delays_.clear();
  until_cut_.reset();
  cut_ = false;
}

void Faults::CutAfter(int calls, FailWhen when) {
  MutexLock lock(mu_);
  until_cut_ = calls;
  cut_when_ = when;
  cut_ = false;
}

bool Faults::is_cut() const {
  MutexLock lock(mu_);
  return cut_;
}

Faults::Verdict Faults::OnCall(const std::string& rpc) {
  MutexLock lock(mu_);
  ++counters_.calls[rpc];
  Verdict verdict;
  for (const std::string& name : {std::string(kAnyRpc), rpc}) {
    if (const auto delay = delays_.find(name); delay != delays_.end()) {
      verdict.delay = std::max(verdict.delay, delay->second);
    }
  }
  if (until_cut_ && --*until_cut_ < 0) {
    constexpr int kUnavailable = 14;
    verdict.fail = true;
    verdict.failure = {kUnavailable, "cut",
                       std::exchange(cut_, true) ? FailWhen::kInstead : cut_when_};
    return verdict;
  }
  const auto plan = std::find_if(planned_.begin(), planned_.end(), [&](const Planned& planned) {
    return planned.left > 0 && (planned.rpc == rpc || planned.rpc == kAnyRpc);
  });
  if (plan != planned_.end()) {
    verdict.fail = true;
    verdict.failure = plan->failure;
    if (--plan->left == 0) planned_.erase(plan);
  }
  return verdict;
}

void Faults::Count(uint64_t Counters::*counter, uint64_t amount) {
  MutexLock lock(mu_);
  counters_.*counter += amount;
}

Counters Faults::counters() const {
  MutexLock lock(mu_);
  return counters_;
}

}  // namespace outboxfs::server
