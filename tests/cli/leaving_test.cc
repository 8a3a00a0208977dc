#include "cli/leaving.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <csignal>
#include <future>

#include "cli/left_behind.h"
#include "cli/signals.h"

namespace outboxfs::cli {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Records the steps; the drain lasts until it is told to stop or released.
class LeavingTest : public ::testing::Test {
 protected:
  LeavingSteps Steps() {
    return {.refuse_writers = [this] { Note("refuse"); },
            .drain =
                [this](SteadyTime deadline, const std::stop_token& stop) {
                  Note("drain");
                  deadline_ = deadline;
                  draining_.set_value();
                  MutexLock lock(mu_);
                  while (!released_ && !stop.stop_requested()) changed_.Wait(mu_, stop);
                },
            .look =
                [this] {
                  Note("look");
                  return status::Summary{.items_pending = 2};
                },
            .exit = [this] { Note("exit"); }};
  }
  void Note(const std::string& step) {
    MutexLock lock(mu_);
    steps_.push_back(step);
  }
  std::vector<std::string> TheSteps() {
    MutexLock lock(mu_);
    return steps_;
  }
  void Release() {
    {
      MutexLock lock(mu_);
      released_ = true;
    }
    changed_.NotifyAll();
  }

  std::promise<void> draining_;
  SteadyTime deadline_;
  Mutex mu_;
  CondVar changed_;
  bool released_ = false;
  std::vector<std::string> steps_;
};

TEST_F(LeavingTest, TheStepsAreTakenInOrderAndWhatIsLeftIsTold) {
  {
    Leaving leaving(Steps(), seconds(30), RealClock());
    EXPECT_FALSE(leaving.begun());
    const SteadyTime before = RealClock().Now();
    leaving.Begin(std::nullopt);
    EXPECT_TRUE(leaving.begun());
    draining_.get_future().wait();
    EXPECT_GE(deadline_, before + seconds(30));
    Release();
    EXPECT_EQ(leaving.Await({})->items_pending, 2U);
  }
  EXPECT_THAT(TheSteps(), ElementsAre("refuse", "drain", "look", "exit"));
}

TEST_F(LeavingTest, ATimeoutOfZeroDoesNotDrain) {
  {
    Leaving leaving(Steps(), seconds(30), RealClock());
    leaving.Begin(nanoseconds(0));
    EXPECT_TRUE(leaving.Await({}));
  }
  EXPECT_THAT(TheSteps(), ElementsAre("refuse", "look", "exit"));
}

TEST_F(LeavingTest, HurryEndsTheDrain) {
  Leaving leaving(Steps(), seconds(3600), RealClock());
  leaving.Begin(std::nullopt);
  draining_.get_future().wait();
  leaving.Hurry();
  EXPECT_TRUE(leaving.Await({}));
}

TEST_F(LeavingTest, ASecondBeginHurriesOnlyWithZero) {
  Leaving leaving(Steps(), seconds(3600), RealClock());
  leaving.Begin(std::nullopt);
  draining_.get_future().wait();
  leaving.Begin(seconds(1));
  std::stop_source impatient;
  impatient.request_stop();
  EXPECT_FALSE(leaving.Await(impatient.get_token())) << "still draining";
  leaving.Begin(nanoseconds(0));
  EXPECT_TRUE(leaving.Await({}));
}

TEST_F(LeavingTest, WithoutBeginNothingHappens) {
  { Leaving leaving(Steps(), seconds(30), RealClock()); }
  EXPECT_TRUE(TheSteps().empty());
}

TEST_F(LeavingTest, DestructionEndsARunningDrain) {
  {
    Leaving leaving(Steps(), seconds(3600), RealClock());
    leaving.Begin(std::nullopt);
    draining_.get_future().wait();
  }
  EXPECT_EQ(TheSteps().back(), "exit");
}

TEST(Signals, ArriveOnAThreadOfTheirOwnAndAreCounted) {
  BlockSignals();
  std::promise<int> first;
  std::promise<int> second;
  const SignalThread signals(
      [&](int signal, int count) { (count == 1 ? first : second).set_value(signal); });
  ::kill(::getpid(), SIGTERM);
  EXPECT_EQ(first.get_future().get(), SIGTERM);
  ::kill(::getpid(), SIGINT);
  EXPECT_EQ(second.get_future().get(), SIGINT);
}

TEST(LeftBehind, IsPutIntoWords) {
  EXPECT_EQ(DescribeLeft({}), "everything is uploaded");
  EXPECT_EQ(DescribeLeft({.items_pending = 2, .bytes_pending = 3 << 20, .bytes_done = 1 << 20}),
            "left for the next start: 2 not uploaded yet (2.0 MiB)");
  status::Summary stuck{.items_stuck = 3};
  stuck.stuck = {{.path = "/a\nb", .state = "parked", .note = "quota"}};
  EXPECT_EQ(DescribeLeft(stuck), "left for the next start: 3 that need you (see outboxfs status)");
  EXPECT_EQ(DescribeStuck(stuck), "parked: /a\\nb: quota\n… and 2 more\n");
}

}  // namespace
}  // namespace outboxfs::cli
