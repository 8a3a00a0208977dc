#include "common/permits.h"

#include <gtest/gtest.h>

#include <thread>

namespace outboxfs {
namespace {

CondVar::Clock::time_point InTenSeconds() {
  return CondVar::Clock::now() + std::chrono::seconds(10);
}

TEST(PermitsTest, NoMoreThanTheCapacityIsOut) {
  Permits permits(3);
  auto two = permits.TryTake(2);
  ASSERT_TRUE(two);
  EXPECT_FALSE(permits.TryTake(2));
  EXPECT_TRUE(permits.TryTake(1));  // returned at once
  two->Release();
  two->Release();
  EXPECT_EQ(0u, permits.in_use());
}

TEST(PermitsTest, AHugeRequestIsGrantedAlone) {
  Permits permits(3);
  auto one = permits.TryTake(1);
  EXPECT_FALSE(permits.TryTake(100));
  one.reset();
  const auto all = permits.TryTake(100);
  EXPECT_TRUE(all);
  EXPECT_FALSE(permits.TryTake(1));
}

TEST(PermitsTest, AMovedPermitIsReturnedOnce) {
  Permits permits(2);
  Permit a = *permits.TryTake(1);
  Permit b = std::move(a);
  a.Release();
  EXPECT_EQ(1u, permits.in_use());
  b = *permits.TryTake(1);
  EXPECT_EQ(1u, permits.in_use());
}

TEST(PermitsTest, TakeWaitsForAReturn) {
  Permits permits(1);
  auto held = permits.TryTake(1);
  std::jthread giver([&] { held.reset(); });
  EXPECT_TRUE(permits.Take(1, {}, InTenSeconds()));
}

TEST(PermitsTest, TakeEndsAtItsDeadlineAndOnStop) {
  Permits permits(1);
  const auto held = permits.TryTake(1);
  EXPECT_FALSE(permits.Take(1, {}, CondVar::Clock::now()));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(permits.Take(1, stop.get_token(), InTenSeconds()));
}

}  // namespace
}  // namespace outboxfs
