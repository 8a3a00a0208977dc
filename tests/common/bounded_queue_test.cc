#include "common/bounded_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <thread>
#include <vector>

namespace outboxfs {
namespace {

TEST(BoundedQueueTest, WhatIsPushedIsPoppedInOrder) {
  BoundedQueue<std::unique_ptr<int>> queue(2);
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(1)));
  EXPECT_TRUE(queue.TryPush(std::make_unique<int>(2)));
  EXPECT_FALSE(queue.TryPush(std::make_unique<int>(3)));
  EXPECT_EQ(1, **queue.Pop({}));
  EXPECT_EQ(2, **queue.Pop({}));
  EXPECT_EQ(0u, queue.size());
}

TEST(BoundedQueueTest, AClosedQueueGivesWhatIsInsideAndThenNothing) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.TryPush(1));
  queue.Close();
  EXPECT_FALSE(queue.TryPush(2));
  EXPECT_FALSE(queue.Push(2, {}));
  EXPECT_EQ(1, queue.Pop({}));
  EXPECT_EQ(std::nullopt, queue.Pop({}));
}

TEST(BoundedQueueTest, StopEndsBothWaits) {
  BoundedQueue<int> full(1);
  BoundedQueue<int> empty(1);
  EXPECT_TRUE(full.TryPush(1));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(full.Push(2, stop.get_token()));
  EXPECT_EQ(std::nullopt, empty.Pop(stop.get_token()));
}

TEST(BoundedQueueTest, ManyProducersAndConsumersLoseNothing) {
  BoundedQueue<int> queue(3);
  constexpr int kEach = 500;
  std::atomic<int> sum = 0;
  {
    std::vector<std::jthread> consumers;
    for (int i = 0; i < 2; ++i) {
      consumers.emplace_back([&] {
        while (const auto value = queue.Pop({})) sum += *value;
      });
    }
    {
      std::vector<std::jthread> producers;
      for (int i = 0; i < 2; ++i) {
        producers.emplace_back([&] {
          for (int value = 1; value <= kEach; ++value) EXPECT_TRUE(queue.Push(value, {}));
        });
      }
    }
    queue.Close();
  }
  EXPECT_EQ(2 * kEach * (kEach + 1) / 2, sum);
}

}  // namespace
}  // namespace outboxfs
