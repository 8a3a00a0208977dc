#include "fs/slow_lane.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <thread>
#include <vector>

namespace outboxfs::fs {
namespace {

class InterruptedCall final : public Call {
 public:
  InterruptedCall() : Call(0, 0) {}
  std::stop_token Interrupted() override { return stop_.get_token(); }
  void Interrupt() { stop_.request_stop(); }

 private:
  std::stop_source stop_;
};

TEST(SlowLane, EnteringTwiceTakesOnePlace) {
  Lane lane(2);
  Call call(0, 0);
  {
    SlowLane way(lane, call);
    EXPECT_TRUE(way.Enter());
    EXPECT_TRUE(way.Enter());
    EXPECT_EQ(1U, lane.places.in_use());
  }
  EXPECT_EQ(0U, lane.places.in_use());
}

TEST(SlowLane, AnInterruptEndsTheWaitForAPlace) {
  Lane lane(1);
  Call call(0, 0);
  SlowLane inside(lane, call);
  ASSERT_TRUE(inside.Enter());
  InterruptedCall interrupted;
  std::jthread waiting([&] {
    SlowLane way(lane, interrupted);
    const auto token = way.Enter();
    ASSERT_FALSE(token);
    EXPECT_EQ(EINTR, token.error().code);
  });
  while (lane.waiting.in_use() == 0) std::this_thread::yield();
  interrupted.Interrupt();
}

TEST(SlowLane, TheEndOfTheMountEndsWhatIsInside) {
  Lane lane(1);
  Call call(0, 0);
  SlowLane way(lane, call);
  const auto token = way.Enter();
  ASSERT_TRUE(token);
  lane.exit.request_stop();
  EXPECT_TRUE(token->stop_requested());
  EXPECT_EQ(EINTR, way.Explain({.code = EIO, .text = "cut off"}).code);
  SlowLane late(lane, call);
  EXPECT_FALSE(late.Enter());
}

TEST(SlowLane, AFullWaitingRoomRefusesAtOnce) {
  Lane lane(1);
  Call call(0, 0);
  SlowLane inside(lane, call);
  ASSERT_TRUE(inside.Enter());
  const auto seats = lane.waiting.TryTake(kWaitingRoom);
  ASSERT_TRUE(seats);
  SlowLane way(lane, call);
  const auto token = way.Enter();
  ASSERT_FALSE(token);
  EXPECT_EQ(ETIMEDOUT, token.error().code);
}

}  // namespace
}  // namespace outboxfs::fs
