// Starting and stopping as a user meets them, above all when something is wrong: one clear line,
// the right exit code, nothing lost.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Finished;
using test::MountSpec;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;
using ::testing::Not;

// One line, for a person.
void ExpectOneLine(const std::string& text) {
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1) << text;
  EXPECT_THAT(text, ::testing::StartsWith("outboxfs: "));
}

TEST(Start, MountReturnsWhenTheMountAnswers) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  EXPECT_EQ(mount.mounted().out + mount.mounted().err, "") << "success is silent";
  WriteFile(mount / "hello", "hello");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(mount.cloud() + "/hello"), "hello");
  const Finished unmounted = mount.Unmount();
  EXPECT_EQ(unmounted.exit_code, 0) << unmounted.err;
  EXPECT_EQ(unmounted.out, "everything is uploaded\n");
  EXPECT_FALSE(fs::exists(mount / "hello"));
}

TEST(Start, AnUnreachableServerIsNoReasonNotToMount) {
  // A port that was free a moment ago.
  std::string endpoint;
  {
    TestServer server;
    endpoint = server->endpoint();
  }
  ProgramMount mount({.remote = endpoint, .token = "some-token"});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "waits", "for the server");
  EXPECT_EQ(ReadWholeFile(mount / "waits"), "for the server");
  EXPECT_EQ(mount.Status(".uploads.connected"), "false");
  EXPECT_NE(mount.Status(".uploads.connection_error"), "");
  const Finished waited = mount.Outboxfs({"wait", "--timeout", "300ms", mount.path()});
  EXPECT_EQ(waited.exit_code, 4) << waited.err;
  const Finished left = mount.Unmount({"--drain-timeout", "100ms"});
  EXPECT_EQ(left.exit_code, 3);
  EXPECT_THAT(left.out, HasSubstr("left for the next start: 1 not uploaded yet"));
  EXPECT_THAT(left.err, HasSubstr(": /waits")) << "says which";
}

TEST(Start, WhatWasLeftGoesUpAfterTheNextStart) {
  TestServer server;
  ProgramMount mount({.remote = server->endpoint(), .token = server->token()});
  ASSERT_TRUE(mount.ok()) << mount.error();
  server.Stop();
  WriteFile(mount / "later", "later");
  EXPECT_EQ(mount.Unmount({"--no-drain"}).exit_code, 3);
  server.StartAgain();
  ASSERT_TRUE(mount.Mount()) << mount.error();
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(server.Local("/later")), "later");
}

TEST(Start, AWrongTokenIsSaidAtOnceAndNothingIsMounted) {
  TestServer server;
  ProgramMount mount({.remote = server->endpoint(), .token = "not-the-token"});
  EXPECT_EQ(mount.mounted().exit_code, 1);
  ExpectOneLine(mount.error());
  EXPECT_THAT(mount.error(), HasSubstr("refuses the token"));
  EXPECT_THAT(mount.error(), Not(HasSubstr("not-the-token")));
  EXPECT_EQ(mount.Outboxfs({"status", mount.path()}).exit_code, 1);
}

TEST(Start, AMissingRemoteFolderIsSaidAtOnce) {
  TestServer server;
  ProgramMount mount({.remote = server->endpoint() + "/no/such", .token = server->token()});
  EXPECT_EQ(mount.mounted().exit_code, 1);
  ExpectOneLine(mount.error());
  EXPECT_THAT(mount.error(), HasSubstr("no folder /no/such"));
}

TEST(Start, ARemoteFolderIsTheRootOfTheMount) {
  TestServer server;
  fs::create_directories(server.Local("/备份/深 层"));
  ProgramMount mount({.remote = server->endpoint() + "/备份/深 层", .token = server->token()});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "x", "x");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(server.Local("/备份/深 层/x")), "x");
}

// One mount, to be given bad words beside it.
class BadInput : public ::testing::Test {
 protected:
  Finished Try(const std::vector<std::string>& words) {
    const Finished result = mount_.Outboxfs(words);
    EXPECT_NE(result.exit_code, 0);
    ExpectOneLine(result.err);
    return result;
  }
  std::vector<std::string> MountAt(const std::string& mountpoint) {
    return {"mount", "embedded:" + dir_ / "cloud2", mountpoint, "--cache-dir", dir_ / "cache2"};
  }

  ProgramMount mount_;
  test::TempDir dir_;
};

TEST_F(BadInput, AMissingMountpoint) {
  EXPECT_THAT(Try(MountAt(dir_ / "missing")).err, HasSubstr("does not exist"));
}

TEST_F(BadInput, AMountpointThatIsAFile) {
  WriteFile(dir_ / "file", "");
  EXPECT_THAT(Try(MountAt(dir_ / "file")).err, HasSubstr("not a directory"));
}

TEST_F(BadInput, AMountpointThatIsNotEmpty) {
  WriteFile(dir_ / "something", "");
  EXPECT_THAT(Try(MountAt(dir_.path())).err, HasSubstr("not empty"));
}

TEST_F(BadInput, AMountpointThatIsInUse) {
  EXPECT_THAT(Try(MountAt(mount_.path())).err, HasSubstr("in use"));
  WriteFile(mount_ / "still", "works");
}

TEST_F(BadInput, ACacheDirectoryThatCannotBeMade) {
  WriteFile(dir_ / "file", "");
  fs::create_directory(dir_ / "mnt");
  EXPECT_THAT(Try({"mount", "embedded:" + dir_ / "cloud2", dir_ / "mnt", "--cache-dir",
                   dir_ / "file/cache"})
                  .err,
              HasSubstr(dir_ / "file/cache"));
}

TEST_F(BadInput, ACacheDirectoryThatAnotherDaemonOwns) {
  fs::create_directory(dir_ / "mnt");
  const Finished second =
      Try({"mount", "embedded:" + dir_ / "cloud2", dir_ / "mnt", "--cache-dir", mount_.cache()});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr(mount_.Status(".pid"))) << "names the owner";
  WriteFile(mount_ / "still", "works");
}

TEST_F(BadInput, AnUnknownFlag) {
  const Finished result = Try({"mount", "--transfer", "3", "a", "b"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("did you mean --transfers?"));
}

TEST_F(BadInput, AnUnknownConfigurationKey) {
  WriteFile(dir_ / "config.toml", "cach-dir = \"/x\"\n");
  const Finished result = Try({"status", "--config", dir_ / "config.toml"});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("did you mean cache-dir?"));
}

TEST_F(BadInput, ARemoteThatIsNone) {
  EXPECT_EQ(Try({"mount", "ftp://nas/x", dir_.path()}).exit_code, 2);
  EXPECT_EQ(Try({"mount", "nas:99999", dir_.path()}).exit_code, 2);
  EXPECT_EQ(Try({"mount", "nas/../x", dir_.path()}).exit_code, 2);
}

TEST_F(BadInput, NoTokenAtAll) {
  const Finished result = Try({"mount", "nas:19798", dir_.path()});
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("--token-file"));
}

TEST_F(BadInput, ATokenFileThatOthersCanRead) {
  WriteFile(dir_ / "token", "abc");
  ASSERT_EQ(::chmod((dir_ / "token").c_str(), 0644), 0);
  const Finished result = Try({"mount", "nas:19798", dir_.path(), "--token-file", dir_ / "token"});
  EXPECT_THAT(result.err, HasSubstr("chmod 600"));
}

TEST_F(BadInput, CommandsThatNameNoMount) {
  EXPECT_THAT(Try({"unmount", dir_.path()}).err, HasSubstr("is not mounted"));
  EXPECT_THAT(Try({"unmount", "/proc"}).err, HasSubstr("not a mount of outboxfs"));
  EXPECT_THAT(Try({"status", dir_.path()}).err, HasSubstr("is not in a mount"));
  EXPECT_THAT(Try({"wait", dir_.path()}).err, HasSubstr("is not in a mount"));
}

TEST(DeadMount, IsRemovedByTheNextMountAndItsFilesAreKept) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "kept", "closed before the kill");
  mount.Kill();
  EXPECT_FALSE(fs::exists(mount / "kept", *std::make_unique<std::error_code>()));
  ASSERT_TRUE(mount.Mount()) << mount.error();
  EXPECT_EQ(ReadWholeFile(mount / "kept"), "closed before the kill");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(mount.cloud() + "/kept"), "closed before the kill");
}

TEST(DeadMount, IsRemovedByUnmount) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  mount.Kill();
  const Finished unmounted = mount.Unmount();
  EXPECT_EQ(unmounted.exit_code, 3) << "nobody knows that everything was uploaded";
  EXPECT_THAT(unmounted.out, HasSubstr("the next mount takes up its files"));
  EXPECT_TRUE(fs::is_empty(mount.path()));
}

// The control socket on which the process listens; empty if there is none.
std::string ControlSocketOf(const std::string& pid) {
  std::set<std::string> sockets;
  for (const auto& fd : fs::directory_iterator("/proc/" + pid + "/fd")) {
    std::error_code error;
    sockets.insert(fs::read_symlink(fd.path(), error).string());
  }
  std::ifstream bound("/proc/net/unix");
  for (std::string line; std::getline(bound, line);) {
    std::istringstream words(line);
    std::array<std::string, 8> word;
    for (std::string& one : word) words >> one;
    if (sockets.contains("socket:[" + word[6] + "]") && !word[7].empty()) return word[7];
  }
  return "";
}

TEST(DeadMount, ALivingOneIsNotTakenForDeadBecauseItsSocketIsNotThere) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  const std::string socket = ControlSocketOf(mount.Pid());
  ASSERT_NE(socket, "");
  fs::rename(socket, socket + ".away");
  const Finished refused = mount.Unmount();
  fs::rename(socket + ".away", socket);
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("is alive"));
  WriteFile(mount / "still", "here");
  EXPECT_EQ(mount.Unmount().exit_code, 0);
}

TEST(Stop, AnExternalUnmountDrainsAndEnds) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "file", "bytes");
  ASSERT_EQ(test::RunProgram({"umount", mount.path()}).exit_code, 0);
  EXPECT_TRUE(Eventually([&] { return ReadWholeFile(mount.cloud() + "/file") == "bytes"; }));
  EXPECT_TRUE(
      Eventually([&] { return mount.Log().find("everything is uploaded") != std::string::npos; }));
}

TEST(Stop, UnmountWithOpenFilesKeepsThem) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  const int fd = ::open((mount / "open").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "abc", 3), 3);
  EXPECT_EQ(mount.Unmount().exit_code, 3) << "it was not closed, so it was not uploaded";
  ::close(fd);
  ASSERT_TRUE(mount.Mount()) << mount.error();
  EXPECT_EQ(ReadWholeFile(mount / "open"), "abc");
}

// What needs a person is left behind too, however much time the drain had.
TEST(Stop, InterruptedFilesAreNamedAndAreNotEverythingUploaded) {
  ProgramMount mount;
  ASSERT_TRUE(mount.ok()) << mount.error();
  const std::string pid = mount.Status(".pid");
  const int fd = ::open((mount / "half written").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::write(fd, "abc", 3), 3);
  mount.Kill(pid);
  ::close(fd);
  ASSERT_TRUE(mount.Mount()) << mount.error();
  ASSERT_EQ(mount.Status(".uploads.files_interrupted"), "1");
  const Finished unmounted = mount.Unmount();
  EXPECT_EQ(unmounted.exit_code, 3);
  EXPECT_EQ(unmounted.out, "left for the next start: 1 that need you (see outboxfs status)\n");
  EXPECT_THAT(unmounted.err, HasSubstr("interrupted: /half written"));
  EXPECT_THAT(mount.Log(), HasSubstr("left: interrupted: /half written"));
  EXPECT_THAT(mount.Log(), Not(HasSubstr("everything is uploaded")));
}

TEST(Stop, ParkedFilesAreNamedAndAreNotEverythingUploaded) {
  TestServer server({.outcome = server::Outcome::kFatalError});
  ProgramMount mount({.remote = server->endpoint(), .token = server->token()});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "refused", "bytes");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 1);
  const Finished unmounted = mount.Unmount();
  EXPECT_EQ(unmounted.exit_code, 3);
  EXPECT_THAT(unmounted.err, HasSubstr("parked: /refused"));
  EXPECT_THAT(mount.Log(), HasSubstr("left: parked: /refused"));
  EXPECT_THAT(mount.Log(), Not(HasSubstr("everything is uploaded")));
}

TEST(Stop, NoNewWritersWhileLeaving) {
  TestServer server({.hold = server::Phase::kTransferring});
  ProgramMount mount({.remote = server->endpoint(), .token = server->token()});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "held", "held by the server");
  const std::string pid = mount.Status(".pid");
  ::kill(std::stoi(pid), SIGTERM);
  ASSERT_TRUE(Eventually([&] { return mount.Status(".leaving") == "true"; }));
  EXPECT_TRUE(Eventually([&] {
    const int fd = ::open((mount / "new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) ::close(fd);
    return fd < 0 && errno == EROFS;
  }));
  EXPECT_EQ(ReadWholeFile(mount / "held"), "held by the server") << "reading goes on";
  server.Change([](server::Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  EXPECT_TRUE(Eventually([&] { return !fs::exists("/proc/" + pid + "/fd/0"); }));
  EXPECT_EQ(ReadWholeFile(server.Local("/held")), "held by the server");
}

TEST(Stop, ASecondSignalDoesNotWait) {
  TestServer server({.hold = server::Phase::kTransferring});
  ProgramMount mount({.remote = server->endpoint(), .token = server->token()});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "held", "held by the server");
  const pid_t pid = std::stoi(mount.Status(".pid"));
  ::kill(pid, SIGTERM);
  ASSERT_TRUE(Eventually([&] { return mount.Status(".leaving") == "true"; }));
  ::kill(pid, SIGTERM);
  EXPECT_TRUE(Eventually([&] { return ::kill(pid, 0) != 0 || mount.Status(".pid").empty(); }));
  EXPECT_TRUE(Eventually([&] {
    return mount.Log().find("left for the next start: 1 not uploaded") != std::string::npos;
  }));
}

}  // namespace
}  // namespace outboxfs
