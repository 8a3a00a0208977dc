#include "fs/interrupt.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <future>
#include <string>

#include "support/fake_downloader.h"
#include "support/fake_namespace_api.h"
#include "support/temp_mount.h"

namespace outboxfs::fs {
namespace {

std::string StatusOf(uint64_t own, uint64_t shared, uint64_t blocked, uint64_t ignored,
                     uint64_t caught) {
  std::string status = "Name:\tcp\nThreads:\t1\n";
  const auto add = [&status](const char* key, uint64_t mask) {
    char line[64];
    snprintf(line, sizeof(line), "%s:\t%016llx\n", key, static_cast<unsigned long long>(mask));
    status += line;
  };
  add("SigPnd", own);
  add("ShdPnd", shared);
  add("SigBlk", blocked);
  add("SigIgn", ignored);
  add("SigCgt", caught);
  return status + "CapInh:\t0000000000000000\n";
}
constexpr uint64_t Bit(int signal) { return uint64_t{1} << (signal - 1); }

TEST(GivesUp, WhoDiesOfItsSignal) {
  for (const int signal : {SIGKILL, SIGTERM, SIGALRM, SIGPIPE, SIGUSR1}) {
    EXPECT_TRUE(GivesUp(StatusOf(Bit(signal), 0, 0, 0, 0))) << signal;
    EXPECT_TRUE(GivesUp(StatusOf(0, Bit(signal), 0, 0, 0))) << signal;
  }
}

TEST(GivesUp, WhoHandlesTheSignalsOfPeople) {
  for (const int signal : {SIGHUP, SIGINT, SIGQUIT, SIGTERM}) {
    EXPECT_TRUE(GivesUp(StatusOf(0, Bit(signal), 0, 0, Bit(signal)))) << signal;
  }
}

TEST(GivesUp, NobodyElse) {
  EXPECT_FALSE(GivesUp(StatusOf(0, 0, 0, 0, 0)));
  for (const int signal : {SIGALRM, SIGCHLD, SIGUSR1, SIGIO, SIGWINCH}) {
    EXPECT_FALSE(GivesUp(StatusOf(0, Bit(signal), 0, 0, Bit(signal)))) << signal;
  }
  for (const int signal : {SIGCHLD, SIGCONT, SIGTSTP, SIGWINCH, SIGSTOP}) {
    EXPECT_FALSE(GivesUp(StatusOf(0, Bit(signal), 0, 0, 0))) << signal;
  }
  EXPECT_FALSE(GivesUp(StatusOf(Bit(SIGTERM), 0, Bit(SIGTERM), 0, 0))) << "blocked";
  EXPECT_FALSE(GivesUp(StatusOf(Bit(SIGTERM), 0, 0, Bit(SIGTERM), 0))) << "ignored";
}

TEST(GivesUp, WhoIsUnknown) {
  EXPECT_TRUE(GivesUp(""));
  EXPECT_TRUE(GivesUp(std::string("SigPnd:\tno number\n")));
  EXPECT_TRUE(GivesUp(pid_t{0})) << "in another namespace";
}

// A directory that the server has not listed yet, and does not until it is let.
class InterruptTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(mount_.ok()) << mount_.error();
    names_.AddFile("/dir/file", 1);
    struct stat st {};
    ASSERT_EQ(0, ::stat((mount_ / "dir").c_str(), &st));
    lists_ = names_.Count("List");
    names_.Hold("List");
  }
  void TearDown() override { names_.Release("List"); }

  // stat of the file by a thread that gets `signal` while it waits: 0 or an errno.
  std::future<int> StatDuring(int signal) {
    struct sigaction action {};
    action.sa_handler = [](int) {};
    EXPECT_EQ(0, ::sigaction(signal, &action, nullptr));
    std::promise<pthread_t> thread;
    auto waiting = thread.get_future();
    auto result = std::async(std::launch::async, [this, thread = std::move(thread)]() mutable {
      thread.set_value(::pthread_self());
      struct stat st {};
      return ::stat((mount_ / "dir/file").c_str(), &st) == 0 ? 0 : errno;
    });
    EXPECT_TRUE(names_.AwaitCount("List", lists_ + 1));
    EXPECT_EQ(0, ::pthread_kill(waiting.get(), signal));
    return result;
  }

  test::FakeNamespaceApi names_;
  test::FakeDownloader downloads_;
  test::TempMount mount_{test::TempMountParts{.names = &names_, .downloads = &downloads_}};
  int lists_ = 0;
};

TEST_F(InterruptTest, ATimerEndsNoOperation) {
  auto result = StatDuring(SIGALRM);
  // The kernel tells of interrupts first: these requests come after.
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(-1, ::access((mount_ / ("missing" + std::to_string(i))).c_str(), F_OK));
  }
  names_.Release("List");
  EXPECT_EQ(0, result.get());
}

TEST_F(InterruptTest, CtrlCDoesAlsoWhenItIsHandled) { EXPECT_EQ(EINTR, StatDuring(SIGINT).get()); }

TEST_F(InterruptTest, AProcessThatIsEndedIsNotHeldUp) {
  const std::string file = mount_ / "dir/file";
  std::string words[] = {"stat", file};
  char* arguments[] = {words[0].data(), words[1].data(), nullptr};
  pid_t pid = 0;
  ASSERT_EQ(0, ::posix_spawnp(&pid, "stat", nullptr, nullptr, arguments, environ));
  ASSERT_TRUE(names_.AwaitCount("List", lists_ + 1));
  ASSERT_EQ(0, ::kill(pid, SIGTERM));
  int status = 0;
  ASSERT_EQ(pid, ::waitpid(pid, &status, 0));
  EXPECT_TRUE(WIFSIGNALED(status));
}

}  // namespace
}  // namespace outboxfs::fs
