// News of items for readers in higher rooms (scheduler, notifier): "something about item N changed,
// look again". Coalescing: one entry per item and reader, however often it changed, so producers
// never wait and memory is bounded by the number of items. Thread-safe.
#pragma once

#include <memory>
#include <vector>

#include "cache/item.h"
#include "common/clock.h"
#include "common/mutex.h"

namespace outboxfs::cache {

class Feed {
 public:
  // One reader's set. Destroy it before the Feed. One thread takes; any thread may Wake.
  class Reader {
   public:
    ~Reader();
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;
    // The items changed since the last call, in the order of their first change. Waits until there
    // is one, or Wake, the deadline or stop; then possibly empty.
    std::vector<ItemId> Take(const std::stop_token& stop, SteadyTime deadline);
    void Wake();

   private:
    friend class Feed;
    explicit Reader(Feed& feed);
    struct State;
    Feed& feed_;
    std::unique_ptr<State> state_;
  };

  Feed();
  ~Feed();
  Feed(const Feed&) = delete;
  Feed& operator=(const Feed&) = delete;
  std::unique_ptr<Reader> Subscribe();
  void Publish(ItemId id);

 private:
  struct Readers;
  std::unique_ptr<Readers> readers_;
};

}  // namespace outboxfs::cache
