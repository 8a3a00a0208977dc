#include "cache/feed.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

namespace outboxfs::cache {

struct Feed::Reader::State {
  Mutex mu;
  CondVar changed;
  std::vector<ItemId> order ABSL_GUARDED_BY(mu);
  std::unordered_set<ItemId> known ABSL_GUARDED_BY(mu);  // the same ids, to find them
  bool woken ABSL_GUARDED_BY(mu) = false;
};

// Lock order: Readers::mu before State::mu; both are leaves otherwise.
struct Feed::Readers {
  Mutex mu;
  std::vector<Reader::State*> list ABSL_GUARDED_BY(mu);
};

Feed::Feed() : readers_(std::make_unique<Readers>()) {}
Feed::~Feed() = default;

std::unique_ptr<Feed::Reader> Feed::Subscribe() {
  std::unique_ptr<Reader> reader(new Reader(*this));
  MutexLock lock(readers_->mu);
  readers_->list.push_back(reader->state_.get());
  return reader;
}

void Feed::Publish(ItemId id) {
  MutexLock lock(readers_->mu);
  for (Reader::State* state : readers_->list) {
    bool first = false;
    {
      MutexLock inner(state->mu);
      if (!state->known.insert(id).second) continue;
      first = state->order.empty();
      state->order.push_back(id);
    }
    if (first) state->changed.NotifyAll();
  }
}

Feed::Reader::Reader(Feed& feed) : feed_(feed), state_(std::make_unique<State>()) {}

Feed::Reader::~Reader() {
  MutexLock lock(feed_.readers_->mu);
  std::erase(feed_.readers_->list, state_.get());
}

std::vector<ItemId> Feed::Reader::Take(const std::stop_token& stop, SteadyTime deadline) {
  MutexLock lock(state_->mu);
  while (state_->order.empty() && !state_->woken && !stop.stop_requested()) {
    if (!state_->changed.WaitUntil(state_->mu, stop, deadline)) break;
  }
  state_->woken = false;
  state_->known.clear();
  return std::exchange(state_->order, {});
}

void Feed::Reader::Wake() {
  {
    MutexLock lock(state_->mu);
    state_->woken = true;
  }
  state_->changed.NotifyAll();
}

}  // namespace outboxfs::cache
