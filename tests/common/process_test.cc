#include "common/process.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace outboxfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// A child that waits for signals.
class ProcessTest : public ::testing::Test {
 protected:
  ProcessTest() {
    if (child_ == 0) {
      while (true) ::pause();
    }
  }
  ~ProcessTest() override {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  const pid_t child_ = ::fork();
  const FileDescriptor process_ = OpenProcess(child_);
};

TEST_F(ProcessTest, ALivingOneIsNotKilled) {
  EXPECT_FALSE(IsKilled(child_));
  EXPECT_FALSE(AwaitEnd(process_, milliseconds(0)));
  EXPECT_FALSE(IsKilled(::getpid()));
}

TEST_F(ProcessTest, AStoppedOneIsNotKilled) {
  ASSERT_EQ(::kill(child_, SIGSTOP), 0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child_), &info, WSTOPPED), 0);
  EXPECT_FALSE(IsKilled(child_));
}

TEST_F(ProcessTest, AKilledOneIsKilledBeforeItIsReaped) {
  ASSERT_EQ(::kill(child_, SIGKILL), 0);
  EXPECT_TRUE(AwaitEnd(process_, seconds(20)));
  EXPECT_TRUE(IsKilled(child_));
  ASSERT_EQ(::waitpid(child_, nullptr, 0), child_);
  EXPECT_FALSE(IsKilled(child_)) << "nobody is there any more";
  EXPECT_TRUE(AwaitEnd(process_, milliseconds(0))) << "and its pid may be another's";
}

TEST(Process, NobodyIsNotKilled) {
  EXPECT_FALSE(IsKilled(0));
  EXPECT_FALSE(IsKilled(-1));
  EXPECT_FALSE(OpenProcess(0));
}

}  // namespace
}  // namespace outboxfs
