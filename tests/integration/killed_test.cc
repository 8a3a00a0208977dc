// kill -9 at the one moment when a daemon cannot end by it: its notifier waits in the kernel for
// the lock of a directory, which a caller holds who waits for the daemon. The process lingers with
// its files open: the mount, the cache directory's lock and the control socket are held by nobody
// alive.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <csignal>
#include <filesystem>

#include "remote/remote.h"
#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::BackgroundProgram;
using test::Eventually;
using test::Finished;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

class KilledTest : public ::testing::Test {
 protected:
  // A rename in /dir stays unanswered, news of /dir arrives, and the daemon is killed.
  void SetUp() override {
    ASSERT_TRUE(mount_.ok()) << mount_.error();
    pid_ = mount_.Pid();
    ASSERT_FALSE(pid_.empty());
    ASSERT_TRUE(Eventually([this] { return server_->push_streams() == 1; }));
    WriteFile(mount_ / "kept", "closed before the kill");
    WriteFile(server_.Local("/dir/source"), "to be renamed");
    ASSERT_EQ(ReadWholeFile(mount_ / "dir/source"), "to be renamed");
    server_->faults().Delay("RenameFile", std::chrono::hours(1));
    caller_.emplace(
        std::vector<std::string>{"mv", "-T", mount_ / "dir/source", mount_ / "dir/target"},
        mount_.dir() / "mv.log");
    ASSERT_TRUE(Eventually([this] { return server_->counters().calls["RenameFile"] > 0; }));
    ASSERT_TRUE(SomebodyElse()->names().MakeDir("/dir", "news", {}));
    ASSERT_TRUE(Eventually([this] { return NotifierHangs(); }));
  }
  // Without the process that watches over it.
  void KillBoth() {
    const Finished watcher = RunProgram({"pgrep", "-P", pid_, "-x", "outboxfs-watch"});
    ASSERT_EQ(watcher.exit_code, 0);
    ASSERT_EQ(::kill(std::stoi(watcher.out), SIGKILL), 0);
    mount_.Kill(pid_);
    ASSERT_TRUE(Hangs());
  }
  // Whatever went wrong: nothing is left that cannot be killed, and the programs of the members'
  // destructors do not hang either. On a mount this is an abort of its connection.
  void TearDown() override {
    if (HasFailure()) {
      for (const std::string& path : {mount_.path(), elsewhere_}) {
        ::umount2(path.c_str(), MNT_FORCE);
      }
    }
    server_->faults().Clear();
  }

  std::unique_ptr<remote::Remote> SomebodyElse() {
    remote::ConnectOptions options;
    options.endpoint = remote::ParseRemote(server_->endpoint())->endpoint;
    options.credentials.token = server_->token();
    return remote::Remote::Connect(options).value();
  }
  bool NotifierHangs() const {
    std::error_code error;
    for (const auto& task : fs::directory_iterator("/proc/" + pid_ + "/task", error)) {
      if (ReadWholeFile(task.path() / "comm") != "notifier\n") continue;
      return ReadWholeFile(task.path() / "stat").find(") D ") != std::string::npos;
    }
    return false;
  }
  bool Hangs() const { return NotifierHangs() && caller_->running(); }
  // The caller was freed, with an error, and the daemon has ended.
  void ExpectFreed() {
    ASSERT_TRUE(Eventually([this] { return !caller_->running(); }));
    EXPECT_EQ(caller_->Join(), 1) << caller_->output();
    EXPECT_FALSE(NotifierHangs());
  }
  void ExpectEverythingIsThere() {
    server_->faults().Clear();
    EXPECT_EQ(ReadWholeFile(mount_ / "kept"), "closed before the kill");
    server_.Change([](server::Knobs& knobs) { knobs.hold = server::Phase::kNone; });
    EXPECT_EQ(mount_.WaitUploaded().exit_code, 0);
    EXPECT_EQ(ReadWholeFile(server_.Local("/kept")), "closed before the kill");
  }

  TestServer server_{{.hold = server::Phase::kTransferring}};
  const bool has_dir_ = fs::create_directory(server_.Local("/dir"));
  ProgramMount mount_{{.remote = server_->endpoint(), .token = server_->token()}};
  const std::string elsewhere_ = mount_.dir() / "elsewhere";
  std::string pid_;
  std::optional<BackgroundProgram> caller_;
};

// As a dead daemon leaves it otherwise, too: a mount that answers nobody, and hides what is below.
TEST_F(KilledTest, ItsWatcherFreesAll) {
  mount_.Kill(pid_);
  ExpectFreed();
  EXPECT_TRUE(
      Eventually([this] { return !fs::exists("/proc/" + pid_ + "/task/" + pid_ + "/fd/0"); }));
  EXPECT_EQ(::open((mount_ / "kept").c_str(), O_RDONLY), -1);
  EXPECT_EQ(errno, ENOTCONN);
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  ExpectEverythingIsThere();
}

TEST_F(KilledTest, TheNextMountThereFreesAll) {
  KillBoth();
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  ExpectFreed();
  ExpectEverythingIsThere();
}

TEST_F(KilledTest, AMountOfItsCacheElsewhereFreesAll) {
  KillBoth();
  fs::create_directory(elsewhere_);
  const Finished mounted =
      mount_.Outboxfs({"mount", server_->endpoint(), elsewhere_, "--cache-dir", mount_.cache()});
  ASSERT_EQ(mounted.exit_code, 0) << mounted.err;
  ExpectFreed();
  EXPECT_EQ(ReadWholeFile(elsewhere_ + "/kept"), "closed before the kill");
  EXPECT_EQ(mount_.Outboxfs({"unmount", "--no-drain", elsewhere_}).exit_code, 3);
}

TEST_F(KilledTest, UnmountFreesAll) {
  KillBoth();
  const Finished unmounted = mount_.Unmount();
  EXPECT_EQ(unmounted.exit_code, 3) << unmounted.err;
  EXPECT_THAT(unmounted.out, HasSubstr("the next mount takes up its files"));
  EXPECT_TRUE(fs::is_empty(mount_.path()));
  ExpectFreed();
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  ExpectEverythingIsThere();
}

TEST_F(KilledTest, OtherCommandsSaySoAndDoNotHang) {
  KillBoth();
  for (const std::string& path : {mount_.path(), mount_ / "dir/source"}) {
    for (const std::string command : {"status", "wait", "retry"}) {
      const Finished said = mount_.Outboxfs({command, path});
      EXPECT_EQ(said.exit_code, 1) << command;
      EXPECT_THAT(said.err,
                  HasSubstr(mount_.path() + ": its daemon (pid " + pid_ + ") was killed"));
    }
  }
  EXPECT_TRUE(Hangs()) << "nobody asked for an end";
  EXPECT_EQ(mount_.Unmount().exit_code, 3);
}

// Silent, but alive: nothing is taken from it.
TEST(Stopped, ADaemonThatStandsStillKeepsItsMount) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "file", "bytes");
  const int pid = std::stoi(mount.Pid());
  const bool frozen = test::Freeze(pid);
  EXPECT_FALSE(mount.Mount());
  ASSERT_EQ(::kill(pid, SIGCONT), 0);
  ASSERT_TRUE(frozen);
  EXPECT_THAT(mount.error(), HasSubstr("in use by another outboxfs (pid " + std::to_string(pid)));
  EXPECT_EQ(ReadWholeFile(mount / "file"), "bytes");
}

}  // namespace
}  // namespace outboxfs
