// A server that goes away, comes back, asks strangely or refuses: nothing is lost, nothing hangs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <future>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using server::Outcome;
using server::Phase;
using server::ReadOrder;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

constexpr size_t kSize = (6 << 20) + 77;

// A mount of a server whose knobs the test holds.
class FaultsTest : public ::testing::Test {
 protected:
  // The answer of a start always comes late here, well after the first events of its upload: what
  // a busy server does now and then (docs/PROTOCOL.md, rule 3).
  void Start(Knobs knobs = {}) {
    knobs.start_delay = server::Millis(20);
    server_.emplace(knobs);
    mount_ = std::make_unique<ProgramMount>(
        test::MountSpec{.remote = (*server_)->endpoint(), .token = (*server_)->token()});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
  }
  void WriteAndCompare(const std::string& name, size_t size = kSize) {
    WriteFile(*mount_ / name, Pattern(size));
    const Finished waited = mount_->WaitUploaded();
    ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
    EXPECT_TRUE(ReadWholeFile(server_->Local("/" + name)) == Pattern(size)) << name;
  }
  bool UploadIsUnderWay() {
    return Eventually([&] { return (*server_)->counters().bytes_received > 0; });
  }

  std::optional<TestServer> server_;
  std::unique_ptr<ProgramMount> mount_;
};

TEST_F(FaultsTest, ADroppedChannelIsOpenedAgainAndRequestsAreReplayed) {
  Start({.drop_channel_every = 5});
  WriteAndCompare("file");
  EXPECT_GT((*server_)->counters().channels_opened, 1U);
}

TEST_F(FaultsTest, AServerThatRestartsInTheMiddleGetsTheFileAnyway) {
  Start({.read_size = 64 << 10, .reads_in_flight = 1, .reply_delay = server::Millis(5)});
  WriteFile(*mount_ / "file", Pattern(kSize));
  ASSERT_TRUE(UploadIsUnderWay());
  server_->Restart();
  server_->Change([](Knobs& knobs) {
    knobs.reads_in_flight = 8;
    knobs.reply_delay = server::Millis(0);
  });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_TRUE(ReadWholeFile(server_->Local("/file")) == Pattern(kSize));
}

TEST_F(FaultsTest, EveryHashTypeIsAnswered) {
  for (const server::HashAsk ask : {server::HashAsk{1, 0}, server::HashAsk{1, 1 << 20},
                                    server::HashAsk{2, 0}, server::HashAsk{3, 0}}) {
    Start({.hashes = {ask}, .rapid_known = false, .rapid_after_hash = false});
    WriteAndCompare("hashed by " + std::to_string(ask.type));
    EXPECT_GE((*server_)->counters().hashes_asked, 1U);
    mount_.reset();
    server_.reset();
  }
}

TEST_F(FaultsTest, KnownContentIsUploadedWithoutSendingIt) {
  Start({.hashes = {{2, 0}}, .rapid_after_hash = true});
  WriteAndCompare("first");
  const uint64_t sent = (*server_)->counters().bytes_received;
  WriteAndCompare("second");
  EXPECT_EQ((*server_)->counters().bytes_received, sent);
  EXPECT_GE((*server_)->counters().rapid_uploads, 1U);
}

TEST_F(FaultsTest, ReadsInAnyOrderGiveTheSameFile) {
  for (const ReadOrder order :
       {ReadOrder::kRandom, ReadOrder::kOverlapping, ReadOrder::kDuplicate}) {
    Start({.read_size = 300'000, .read_order = order, .lazy = server::LazyReads::kMixed});
    WriteAndCompare("file");
    mount_.reset();
    server_.reset();
  }
}

TEST_F(FaultsTest, AReaderAwaitsTheBytesOfAFileThatTheCloudHasNotReady) {
  Start({.download_lag = std::chrono::hours(1)});
  WriteAndCompare("file");
  auto reading = std::async(std::launch::async, [&] { return ReadWholeFile(*mount_ / "file"); });
  ASSERT_TRUE(Eventually([&] { return (*server_)->counters().downloads >= 2; }));
  EXPECT_EQ((*server_)->counters().bytes_downloaded, 0U);
  server_->Change([](Knobs& knobs) { knobs.download_lag = server::Millis(0); });
  EXPECT_TRUE(reading.get() == Pattern(kSize));
}

TEST_F(FaultsTest, SeveralFilesGoUpAtOnce) {
  Start({.hold = Phase::kFinishing});
  for (const char* name : {"a", "b", "c", "d", "e"}) WriteFile(*mount_ / name, Pattern(100'000));
  // Four places: the fifth waits although nothing is finished.
  EXPECT_TRUE(Eventually([&] {
    return mount_->Status("[.items[] | select(.bytes_done == 100000)] | length") == "4";
  })) << mount_->Status(".items");
  EXPECT_EQ(mount_->Status("[.items[] | select(.state == \"queued\")] | length"), "1");
  server_->Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
}

TEST_F(FaultsTest, AnErrorIsTriedAgainByItself) {
  Start({.outcome = Outcome::kError, .outcome_text = "the cloud hiccuped"});
  WriteFile(*mount_ / "file", "bytes");
  EXPECT_TRUE(Eventually([&] {
    return mount_->Status(".items[0].note").find("hiccuped") != std::string::npos;
  })) << mount_->Status(".items");
  server_->Change([](Knobs& knobs) { knobs.outcome = Outcome::kFinish; });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(server_->Local("/file")), "bytes");
}

TEST_F(FaultsTest, AFatalErrorIsParkedShownAndReleasedByRetry) {
  Start({.outcome = Outcome::kFatalError, .outcome_text = "no such file type here"});
  WriteFile(*mount_ / "file", "bytes");
  const Finished waited = mount_->WaitUploaded();
  EXPECT_EQ(waited.exit_code, 1);
  EXPECT_THAT(waited.err, HasSubstr("parked: /file"));
  EXPECT_EQ(mount_->Status(".uploads.files_parked"), "1");
  EXPECT_THAT(mount_->Status(".items[0].note"), HasSubstr("no such file type here"));
  EXPECT_EQ(ReadWholeFile(*mount_ / "file"), "bytes") << "the bytes are kept";

  server_->Change([](Knobs& knobs) { knobs.outcome = Outcome::kFinish; });
  const Finished retried = mount_->Outboxfs({"retry", *mount_ / "file"});
  EXPECT_EQ(retried.out, "1 released\n") << retried.err;
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(server_->Local("/file")), "bytes");
}

TEST_F(FaultsTest, ALieAboutTheResultEvictsNothing) {
  Start({.lie = server::Lie::kNoFile});
  WriteFile(*mount_ / "file", "bytes");
  ASSERT_TRUE(Eventually([&] { return (*server_)->counters().uploads_finished > 0; }));
  EXPECT_EQ(mount_->Outboxfs({"wait", "--timeout", "2s", mount_->path()}).exit_code, 4);
  EXPECT_EQ(ReadWholeFile(*mount_ / "file"), "bytes");
  EXPECT_EQ(mount_->StagedFiles(), 1U);
}

// Nothing speaks against what the server shows, and nothing for it: a person decides.
TEST_F(FaultsTest, WhatTheServerNeverReadIsParkedUntilItIsSentAgainOrAccepted) {
  Start({.list_hashes = false, .lie = server::Lie::kUnread});
  WriteFile(*mount_ / "again", "bytes");
  WriteFile(*mount_ / "accepted", "bytes");
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 1);
  EXPECT_EQ(mount_->Status(".uploads.files_parked"), "2");
  EXPECT_THAT(mount_->Status(".items[0].note"), HasSubstr("unproven"));
  EXPECT_EQ(mount_->StagedFiles(), 2U);
  server_->Change([](Knobs& knobs) { knobs.lie = server::Lie::kNone; });

  const uint64_t starts = (*server_)->counters().calls["StartRemoteUpload"];
  EXPECT_EQ(mount_->Outboxfs({"retry", "--accept", *mount_ / "accepted"}).out, "1 released\n");
  EXPECT_EQ(mount_->Outboxfs({"wait", *mount_ / "accepted"}).exit_code, 0);
  EXPECT_EQ((*server_)->counters().calls["StartRemoteUpload"], starts);
  EXPECT_EQ(mount_->Outboxfs({"retry", *mount_ / "again"}).out, "1 released\n");
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0) << mount_->Status(".items");
  EXPECT_EQ(ReadWholeFile(server_->Local("/again")), "bytes");
  EXPECT_TRUE(Eventually([&] { return mount_->StagedFiles() == 0; }));
}

TEST_F(FaultsTest, AFileThatIsDeletedDuringItsUploadNeverAppears) {
  Start({.hold = Phase::kFinishing});
  WriteFile(*mount_ / "file", Pattern(kSize));
  ASSERT_TRUE(UploadIsUnderWay());
  fs::remove(*mount_ / "file");
  server_->Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_FALSE(fs::exists(server_->Local("/file")));
  EXPECT_TRUE(Eventually([&] { return mount_->StagedFiles() == 0; }));
}

TEST_F(FaultsTest, AFileThatIsRenamedDuringItsUploadEndsUnderItsNewName) {
  Start({.hold = Phase::kFinishing});
  WriteFile(*mount_ / "old", Pattern(kSize));
  ASSERT_TRUE(UploadIsUnderWay());
  fs::rename(*mount_ / "old", *mount_ / "new");
  server_->Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_FALSE(fs::exists(server_->Local("/old")));
  EXPECT_TRUE(ReadWholeFile(server_->Local("/new")) == Pattern(kSize));
  EXPECT_LT((*server_)->counters().bytes_received, 2 * kSize) << "sent once";
}

TEST_F(FaultsTest, AFileThatIsWrittenAgainDuringItsUploadEndsAsTheLastVersion) {
  Start({.hold = Phase::kFinishing});
  WriteFile(*mount_ / "file", Pattern(kSize));
  ASSERT_TRUE(UploadIsUnderWay());
  WriteFile(*mount_ / "file", "the last version");
  server_->Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(server_->Local("/file")), "the last version");
}

// ---- kill -9 in the middle of a change of the server --------------------------------------

class KilledTest : public FaultsTest {
 protected:
  void SetUp() override {
    Start();
    for (const char* dir : {"/x", "/y"}) fs::create_directory(server_->Local(dir));
    WriteFile(server_->Local("/x/a"), "source");
    WriteFile(server_->Local("/y/b"), "the target");
    ASSERT_TRUE(Eventually([&] { return Tree(mount_->path()) == before_; }));
  }
  // The call fails, nothing tells what became of it, and then the daemon is killed. (Not while the
  // call is on its way: a thread of the daemon may then wait in the kernel for the directory that
  // the change has locked, and not even SIGKILL ends it.)
  void KillAt(const std::string& rpc, server::FailWhen when,
              const std::vector<std::string>& words) {
    constexpr int kInternal = 13;
    (*server_)->faults().FailNext(rpc, 1, kInternal, "broken", when);
    (*server_)->faults().FailNext("GetSubFiles", 1000, kInternal, "broken");
    EXPECT_NE(test::RunProgram(words).exit_code, 0);
    mount_->Kill();
    ASSERT_TRUE(Eventually([&] {  // its last thread may end later
      std::error_code error;
      static_cast<void>(fs::space(mount_->path(), error));  // never answered from a cache
      return error == std::errc::not_connected || error == std::errc::connection_aborted;
    }));
    (*server_)->faults().Clear();
    ASSERT_TRUE(mount_->Mount()) << mount_->error();
  }
  // Waits until the mount shows what the server has, and that is `either` or `or_else`.
  void ExpectSettled(const std::string& either, const std::string& or_else) {
    std::string here;
    std::string there;
    const auto settled = [&] {
      here = Tree(mount_->path());
      there = Tree(server_->Local(""));
      return here == there && (here == either || here == or_else);
    };
    EXPECT_TRUE(Eventually(settled, std::chrono::seconds(60))) << here << "\n" << there;
  }
  static std::string Tree(const std::string& root) {
    std::vector<std::string> files;
    for (const char* dir : {"/x", "/y"}) {
      for (const auto& entry : fs::directory_iterator(root + dir)) {
        files.push_back(std::string(dir) + "/" + entry.path().filename().string() + "=" +
                        ReadWholeFile(entry.path()));
      }
    }
    std::sort(files.begin(), files.end());
    std::string tree;
    for (const std::string& file : files) tree += file + " ";
    return tree;
  }
  const std::string before_ = "/x/a=source /y/b=the target ";
};

TEST_F(KilledTest, ARenameThatHappenedIsShown) {
  KillAt("RenameFile", server::FailWhen::kAfter, {"mv", *mount_ / "x/a", *mount_ / "x/c"});
  ExpectSettled("/x/c=source /y/b=the target ", "");
}

TEST_F(KilledTest, AReplacementInAnotherDirectoryHappenedOrNot) {
  KillAt("MoveFile", server::FailWhen::kAfter, {"mv", *mount_ / "x/a", *mount_ / "y/b"});
  ExpectSettled(before_, "/y/b=source ");
}

TEST_F(KilledTest, AReplacementThatHadPutTheTargetAsideIsUndone) {
  KillAt("MoveFile", server::FailWhen::kInstead, {"mv", *mount_ / "x/a", *mount_ / "y/b"});
  ExpectSettled(before_, "");
}

TEST_F(KilledTest, ADeletionThatHappenedIsShown) {
  KillAt("DeleteFile", server::FailWhen::kAfter, {"rm", *mount_ / "x/a"});
  ExpectSettled("/y/b=the target ", "");
}

}  // namespace
}  // namespace outboxfs
