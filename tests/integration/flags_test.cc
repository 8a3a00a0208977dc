// Every flag of `outboxfs mount` that no other test names, by an effect that can be seen.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <future>

#include "common/disk.h"
#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using std::chrono::steady_clock;
using test::BackgroundProgram;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TempDir;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

struct stat StatOf(const std::string& path) {
  struct stat st {};
  EXPECT_EQ(::stat(path.c_str(), &st), 0) << path;
  return st;
}

class Flags : public ::testing::Test {
 protected:
  // Of a server that tells nobody about changes: not even the begin of that stream, at which
  // everything known is asked for again.
  void SetUp() override {
    server_->faults().FailNext("PushMessage", 1'000'000, 12, "not implemented");
  }
  std::unique_ptr<ProgramMount> Mount(std::vector<std::string> flags) {
    auto mount = std::make_unique<ProgramMount>(test::MountSpec{
        .remote = server_->endpoint(), .token = server_->token(), .flags = std::move(flags)});
    EXPECT_TRUE(mount->ok()) << mount->error();
    return mount;
  }
  uint64_t Calls(const std::string& rpc) { return server_->counters().calls[rpc]; }

  TestServer server_;
};

TEST_F(Flags, PermissionsAndOwnersOfWhatCameFromElsewhere) {
  fs::create_directory(server_.Local("/dir"));
  WriteFile(server_.Local("/file"), "x");
  const auto mount = Mount({"--dir-perms", "0751", "--file-perms", "0647", "--umask", "0002",
                            "--uid", "1234", "--gid", "2345"});
  EXPECT_EQ(StatOf(*mount / "dir").st_mode, static_cast<mode_t>(S_IFDIR | 0751));
  EXPECT_EQ(StatOf(*mount / "file").st_mode, static_cast<mode_t>(S_IFREG | 0645));
  EXPECT_EQ(StatOf(*mount / "file").st_uid, 1234U);
  EXPECT_EQ(StatOf(*mount / "dir").st_gid, 2345U);
}

TEST_F(Flags, TempHoldBoundsTheWaitOfATemporaryName) {
  const auto mount = Mount({"--temp-hold", "300ms"});
  WriteFile(*mount / "download.part", "kept under this name");
  EXPECT_EQ(mount->WaitUploaded().exit_code, 0) << mount->Status(".items");
  EXPECT_EQ(ReadWholeFile(server_.Local("/download.part")), "kept under this name");
  const auto holding = Mount({});
  WriteFile(*holding / "other.part", "x");
  EXPECT_TRUE(Eventually([&] { return holding->Status(".items[0].state") == "held"; }))
      << holding->Status(".items");
}

TEST_F(Flags, HoldPatternsReplaceTheBuiltInOnes) {
  const auto mount = Mount({"--hold-pattern", "*.draft", "--hold-pattern", "~*"});
  for (const char* name : {"a.draft", "~b", "c.part"}) WriteFile(*mount / name, name);
  EXPECT_TRUE(Eventually([&] { return fs::exists(server_.Local("/c.part")); }));
  const auto held = [&] {
    return mount->Status(
        "[.items[] | .path + \" \" + .state + \", \" + .note] | sort | join(\"; \")");
  };
  EXPECT_TRUE(Eventually([&] {
    return held() == "/a.draft held, until renamed; /~b held, until renamed";
  })) << held();
  EXPECT_FALSE(fs::exists(server_.Local("/a.draft")));
  fs::rename(*mount / "a.draft", *mount / "a");
  fs::rename(*mount / "~b", *mount / "b");
  EXPECT_EQ(mount->WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(server_.Local("/a")), "a.draft");
  EXPECT_EQ(ReadWholeFile(server_.Local("/b")), "~b");
}

TEST_F(Flags, OverwriteDirectNeedsNoTemporaryName) {
  for (const bool direct : {false, true}) {
    const std::string name = direct ? "direct" : "safe";
    WriteFile(server_.Local("/" + name), "old");
    const auto mount = Mount({"--overwrite", name});
    const uint64_t renames = Calls("RenameFile");
    WriteFile(*mount / name, "the new content");
    EXPECT_EQ(mount->WaitUploaded().exit_code, 0) << mount->Status(".items");
    EXPECT_EQ(ReadWholeFile(server_.Local("/" + name)), "the new content");
    EXPECT_EQ(Calls("RenameFile") > renames, !direct);
  }
}

TEST_F(Flags, ReadWindowBoundsTheAnswersInFlight) {
  constexpr int kPieces = 8;
  const auto mount = Mount({"--read-window", "1M"});
  server_->faults().Delay("RemoteReadData", server::Millis(60));
  const auto begin = steady_clock::now();
  WriteFile(*mount / "file", Pattern(kPieces << 20));
  EXPECT_EQ(mount->WaitUploaded().exit_code, 0) << mount->Status(".items");
  EXPECT_GE(steady_clock::now() - begin, kPieces * 60ms) << "one after the other";
  const Finished small = mount->Outboxfs({"mount", "nas", mount->path(), "--read-window", "1K"});
  EXPECT_EQ(small.exit_code, 2);
  EXPECT_THAT(small.err, HasSubstr("at least 1M"));
}

TEST_F(Flags, VerifyRateBoundsTheListingsOverAllDirectories) {
  constexpr int kDirs = 3;
  const auto mount = Mount({"--verify-rate", "120", "--write-back", "0s"});
  const auto begin = steady_clock::now();
  for (int dir = 0; dir < kDirs; ++dir) {
    const std::string path = *mount / std::to_string(dir);
    fs::create_directory(path);
    WriteFile(path + "/file", "content");
  }
  EXPECT_EQ(mount->WaitUploaded().exit_code, 0) << mount->Status(".items");
  EXPECT_GE(steady_clock::now() - begin, (kDirs - 1) * 500ms);
}

TEST_F(Flags, CacheKeepSparesTheDownloadOfWhatWasJustUploaded) {
  for (const bool keep : {true, false}) {
    const std::string name = keep ? "kept" : "evicted";
    const auto mount = Mount({"--cache-keep", keep ? "1h" : "0"});
    const std::string content = Pattern(3 << 20);
    WriteFile(*mount / name, content);
    EXPECT_EQ(mount->WaitUploaded().exit_code, 0) << mount->Status(".items");
    EXPECT_TRUE(Eventually([&] { return mount->StagedFiles() == 0; }));
    const uint64_t before = server_->counters().downloads;
    EXPECT_TRUE(ReadWholeFile(*mount / name) == content);
    EXPECT_EQ(server_->counters().downloads > before, !keep);
  }
}

// What was changed elsewhere is seen when the listing is not believed any more, and not before.
TEST_F(Flags, DirCacheTime) {
  WriteFile(server_.Local("/known"), "1");
  const auto quick = Mount({"--dir-cache-time", "50ms"});
  const auto slow = Mount({"--dir-cache-time", "1h"});
  for (const auto* mount : {&quick, &slow}) EXPECT_EQ(StatOf(**mount / "known").st_size, 1);
  WriteFile(server_.Local("/known"), "22");
  WriteFile(server_.Local("/new"), "x");
  EXPECT_TRUE(Eventually([&] { return fs::exists(*quick / "new"); }));
  EXPECT_TRUE(Eventually([&] { return StatOf(*quick / "known").st_size == 2; }));
  EXPECT_FALSE(fs::exists(*slow / "new"));
  EXPECT_EQ(StatOf(*slow / "known").st_size, 1);
}

// Whether a stat is answered while the daemon stands still, soon after it was asked.
bool StatNeedsNoDaemon(const std::string& path, pid_t daemon) {
  struct statx stx {};
  EXPECT_EQ(::statx(AT_FDCWD, path.c_str(), AT_STATX_FORCE_SYNC, STATX_SIZE, &stx), 0);
  EXPECT_TRUE(test::Freeze(daemon));
  auto asked = std::async(std::launch::async, [&] { return StatOf(path).st_size; });
  const bool answered = asked.wait_for(200ms) == std::future_status::ready;
  EXPECT_EQ(::kill(daemon, SIGCONT), 0);
  EXPECT_EQ(asked.get(), 0);
  return answered;
}

// The daemon is not missed as long as the kernel may believe what it has: of a file that is being
// written, this long. Looked at again, because the kernel is also told to forget now and then.
TEST_F(Flags, AttrTimeout) {
  for (const bool believes : {true, false}) {
    const auto mount = Mount({"--attr-timeout", believes ? "1h" : "0s"});
    const pid_t pid = std::stoi(mount->Status(".pid"));
    const FileDescriptor fd(
        ::open((*mount / "open").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
    ASSERT_TRUE(fd);
    EXPECT_TRUE(Eventually([&] { return StatNeedsNoDaemon(*mount / "open", pid) == believes; }))
        << believes;
  }
}

TEST_F(Flags, LogFileAndMetrics) {
  TempDir dir;
  const auto mount = Mount({"--log-file", dir / "my.log"});
  WriteFile(*mount / "file", "bytes");
  EXPECT_EQ(mount->WaitUploaded().exit_code, 0);
  EXPECT_THAT(ReadWholeFile(dir / "my.log"), HasSubstr("uploaded /file"));
  EXPECT_FALSE(fs::exists(mount->cache() + "/outboxfs.log"));
  EXPECT_EQ(mount->Status(".log_file"), dir / "my.log");
  const Finished metrics = mount->Outboxfs({"status", "--metrics", mount->path()});
  EXPECT_EQ(metrics.exit_code, 0) << metrics.err;
  EXPECT_THAT(metrics.out, ::testing::ContainsRegex("\noutboxfs_[a-z_]*bytes[a-z_]*[^\n]* 5\n"));
  EXPECT_THAT(metrics.out, HasSubstr("# TYPE outboxfs_"));
}

// Where systemd would listen.
class NotifySocket {
 public:
  NotifySocket() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path().data(), path().size());
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  }
  std::string path() const { return dir_ / "notify"; }
  // The next message; "" when none comes.
  std::string Next() {
    pollfd waited{fd_.get(), POLLIN, 0};
    if (::poll(&waited, 1, 20'000) != 1) return "";
    std::array<char, 4096> buffer{};
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    return {buffer.data(), static_cast<size_t>(std::max<ssize_t>(n, 0))};
  }

 private:
  TempDir dir_;
  FileDescriptor fd_;
};

// A mount that is given as to a service manager.
class Foreground : public ::testing::Test {
 protected:
  std::unique_ptr<BackgroundProgram> Start() {
    test::Variables variables = home_.Home();
    variables["OUTBOXFS_TOKEN"] = server_->token();
    variables["NOTIFY_SOCKET"] = notify_.path();
    fs::create_directory(mnt_);
    return std::make_unique<BackgroundProgram>(
        std::vector<std::string>{OUTBOXFS_PROGRAM, "mount", server_->endpoint(), mnt_,
                                 "--foreground", "--cache-dir", dir_ / "cache", "--write-back",
                                 "0s", "--drain-timeout", "200ms"},
        dir_ / "output", variables);
  }

  TestServer server_;
  NotifySocket notify_;
  TempDir dir_;
  const std::string mnt_ = dir_ / "mnt";
  ProgramMount home_;  // for its home only
};

TEST_F(Foreground, TellsSystemdAndEndsWithTheSignal) {
  const auto mount = Start();
  EXPECT_THAT(notify_.Next(), ::testing::AllOf(HasSubstr("READY=1"), HasSubstr("STATUS=")));
  EXPECT_TRUE(mount->running());
  WriteFile(mnt_ + "/file", "bytes");  // the mount answers by now
  EXPECT_TRUE(Eventually([&] { return ReadWholeFile(server_.Local("/file")) == "bytes"; }));
  EXPECT_EQ(home_.Outboxfs({"wait", mnt_}).exit_code, 0);
  EXPECT_EQ(mount->Stop(SIGTERM), 0) << mount->output();
  EXPECT_THAT(notify_.Next(), ::testing::AllOf(HasSubstr("STOPPING=1"), HasSubstr("STATUS=")));
  EXPECT_THAT(mount->output(), HasSubstr("everything is uploaded"));
  EXPECT_FALSE(fs::exists(mnt_ + "/file"));
}

TEST_F(Foreground, NamesWhatIsLeftAndSaysSoByItsExitCode) {
  server_.Change([](server::Knobs& knobs) { knobs.hold = server::Phase::kTransferring; });
  const auto mount = Start();
  EXPECT_THAT(notify_.Next(), HasSubstr("READY=1"));
  WriteFile(mnt_ + "/held back", "bytes");
  EXPECT_EQ(mount->Stop(SIGINT), 3) << mount->output();
  EXPECT_THAT(mount->output(), HasSubstr("left for the next start: 1 not uploaded yet"));
  EXPECT_THAT(mount->output(), HasSubstr("/held back"));
}

}  // namespace
}  // namespace outboxfs
