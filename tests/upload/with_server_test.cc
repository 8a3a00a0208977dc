// The whole room against the embedded server over real gRPC.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <thread>

#include "remote/remote.h"
#include "support/test_server.h"
#include "support/upload_room.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using cache::State;
using server::Knobs;

std::unique_ptr<remote::Remote> ConnectTo(TestServer& server) {
  const auto spec = remote::ParseRemote(server->endpoint());
  EXPECT_TRUE(spec);
  remote::ConnectOptions options;
  options.endpoint = spec->endpoint;
  options.credentials.token = server->token();
  auto remote = remote::Remote::Connect(options);
  EXPECT_TRUE(remote);
  return std::move(*remote);
}

class UploadWithServer : public ::testing::Test {
 protected:
  UploadRoom& room() {
    if (!room_) {
      room_ = std::make_unique<UploadRoom>(remote_->uploads(), remote_->names(), options_);
    }
    return *room_;
  }
  void Set(const std::function<void(Knobs&)>& change) { server_.Change(change); }
  uint64_t Calls(const std::string& rpc) {
    const server::Counters counters = server_->counters();
    const auto at = counters.calls.find(rpc);
    return at == counters.calls.end() ? 0 : at->second;
  }
  // Of content: compared, not printed.
  bool HasContent(const std::string& path, const std::string& content) {
    return ReadWholeFile(server_.Local(path)) == content;
  }
  bool Exists(const std::string& path) { return std::filesystem::exists(server_.Local(path)); }
  // Everything visible in the cloud, sorted.
  std::vector<std::string> Names(const std::string& dir = "/") {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(server_.Local(dir))) {
      const std::string name = entry.path().filename().string();
      if (name != ".outboxfs-server") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  bool AwaitPhase(cache::ItemId id, upload::Phase phase) {
    return room().AwaitStatus([id, phase](const upload::UploaderStatus& status) {
      return std::any_of(status.items.begin(), status.items.end(),
                         [&](const auto& item) { return item.id == id && item.phase == phase; });
    });
  }
  bool AwaitTrue(const std::function<bool()>& done) {
    return room().AwaitStatus([&done](const auto& /*status*/) { return done(); });
  }

  TestServer server_;
  std::unique_ptr<remote::Remote> remote_ = ConnectTo(server_);
  upload::UploadOptions options_ = QuickOptions();
  std::unique_ptr<UploadRoom> room_;
};

using Strings = std::vector<std::string>;

TEST_F(UploadWithServer, AClosedFileIsUploadedVerifiedAndEvicted) {
  const std::string content = Pattern(3 << 20);
  const auto id = room().Write("/file.bin", content);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/file.bin", content));
  EXPECT_EQ(room().store().Lookup("/file.bin").kind, cache::Overlay::Kind::kUploaded);
  EXPECT_TRUE(room().AwaitStatus([](const auto& status) { return status.uploads_done == 1; }));
}

TEST_F(UploadWithServer, OneFileCostsAListingAStartAndAListing) {
  const auto id = room().Write("/file.bin", Pattern(1000));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
  EXPECT_EQ(Calls("GetSubFiles"), 2U);
  EXPECT_EQ(Calls("GetUploadFileList"), 0U);
}

TEST_F(UploadWithServer, DirectoriesAreMadeBeforeWhatIsInThem) {
  const auto a = room().MakeDir("/a");
  const auto b = room().MakeDir("/a/b");
  const auto file = room().Write("/a/b/f", "deep");
  ASSERT_TRUE(room().AwaitGone(file));
  ASSERT_TRUE(room().AwaitGone(a));
  ASSERT_TRUE(room().AwaitGone(b));
  EXPECT_TRUE(HasContent("/a/b/f", "deep"));
}

TEST_F(UploadWithServer, ADirectoryThatIsThereAlreadyIsSuccess) {
  std::filesystem::create_directory(server_.Local("/a"));
  ASSERT_TRUE(room().AwaitGone(room().MakeDir("/a")));
}

TEST_F(UploadWithServer, ADirectoryThatCannotBeMadeHoldsWhatIsInIt) {
  WriteFile(server_.Local("/a"), "a file");
  const auto dir = room().MakeDir("/a");
  const auto file = room().Write("/a/f", "x");
  ASSERT_TRUE(room().AwaitParked(dir));
  EXPECT_EQ(room().store().Get(file)->state, State::kWaiting);
  EXPECT_TRUE(room().AwaitStatus([file](const auto& status) {
    return std::any_of(status.items.begin(), status.items.end(), [file](const auto& item) {
      return item.id == file && item.note.find("directory") != std::string::npos;
    });
  }));
  std::filesystem::remove(server_.Local("/a"));
  ASSERT_TRUE(room().store().Retry(dir));
  ASSERT_TRUE(room().AwaitGone(file));
}

TEST_F(UploadWithServer, AMissingParentIsMadeAgain) {
  ASSERT_TRUE(room().AwaitGone(room().MakeDir("/a")));
  std::filesystem::remove(server_.Local("/a"));
  ASSERT_TRUE(room().AwaitGone(room().Write("/a/f", "x")));
  EXPECT_TRUE(HasContent("/a/f", "x"));
}

TEST_F(UploadWithServer, ManySmallFilesShareTheirListings) {
  std::vector<cache::ItemId> ids;
  for (int i = 0; i < 300; ++i) {
    ids.push_back(room().Write("/f" + std::to_string(i), Pattern(4096, i)));
  }
  for (const auto id : ids) ASSERT_TRUE(room().AwaitGone(id));
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE(HasContent("/f" + std::to_string(i), Pattern(4096, i)));
  }
  EXPECT_LT(Calls("GetSubFiles"), 200U);
}

TEST_F(UploadWithServer, BigAndSmallFilesGoSideBySide) {
  options_.transfers = 3;
  std::vector<cache::ItemId> ids;
  ids.push_back(room().Write("/big1", Pattern(20 << 20, 1)));
  ids.push_back(room().Write("/big2", Pattern(20 << 20, 2)));
  for (int i = 0; i < 20; ++i) {
    ids.push_back(room().Write("/s" + std::to_string(i), Pattern(100'000, i)));
  }
  for (const auto id : ids) ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/big1", Pattern(20 << 20, 1)));
  EXPECT_TRUE(HasContent("/big2", Pattern(20 << 20, 2)));
}

TEST_F(UploadWithServer, EveryHashTypeThatTheServerAsksForIsRight) {
  Set([](Knobs& knobs) {
    knobs.hashes = {{1, 0}, {2, 0}, {3, 0}, {1, 65536}};
    knobs.list_hashes = true;
  });
  const std::string content = Pattern((2 << 20) + 17);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_GE(Calls("RemoteHashProgress"), 4U);
}

TEST_F(UploadWithServer, HashesAndReadsMayBeAskedTogether) {
  Set([](Knobs& knobs) {
    knobs.hashes = {{2, 0}};
    knobs.hash_first = false;
  });
  const auto id = room().Write("/f", Pattern(3 << 20));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", Pattern(3 << 20)));
}

TEST_F(UploadWithServer, ContentThatTheCloudKnowsIsNotSentAgain) {
  Set([](Knobs& knobs) { knobs.hashes = {{2, 0}}; });
  const std::string content = Pattern(2 << 20);
  ASSERT_TRUE(room().AwaitGone(room().Write("/first", content)));
  const uint64_t sent = server_->counters().bytes_received;
  ASSERT_TRUE(room().AwaitGone(room().Write("/second", content)));
  EXPECT_TRUE(HasContent("/second", content));
  EXPECT_EQ(server_->counters().bytes_received, sent);
}

class UploadOfNothing : public UploadWithServer,
                        public ::testing::WithParamInterface<server::EmptyFile> {};

TEST_P(UploadOfNothing, Arrives) {
  Set([this](Knobs& knobs) { knobs.empty_file = GetParam(); });
  ASSERT_TRUE(room().AwaitGone(room().Write("/empty", "")));
  EXPECT_TRUE(Exists("/empty"));
}
INSTANTIATE_TEST_SUITE_P(EveryWay, UploadOfNothing,
                         ::testing::Values(server::EmptyFile::kFinish, server::EmptyFile::kHash,
                                           server::EmptyFile::kRead));

TEST_F(UploadWithServer, AnEmptyFileThatTheCloudCannotStoreIsKept) {
  options_.verify_patience = 300ms;
  for (const auto how : {server::EmptyFile::kError, server::EmptyFile::kSkipped}) {
    Set([how](Knobs& knobs) { knobs.empty_file = how; });
    const auto id = room().Write("/empty" + std::to_string(static_cast<int>(how)), "");
    ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->attempts > 0; }));
    EXPECT_NE(room().ReasonOf(id), "");
  }
}

class UploadReadPattern : public UploadWithServer,
                          public ::testing::WithParamInterface<server::ReadOrder> {};

TEST_P(UploadReadPattern, IsServed) {
  Set([this](Knobs& knobs) {
    knobs.read_order = GetParam();
    knobs.lazy = server::LazyReads::kMixed;
    knobs.read_size = 300'000;
    knobs.check_last_chunk = true;
  });
  const std::string content = Pattern(5'000'001);
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", content)));
  EXPECT_TRUE(HasContent("/f", content));
}
INSTANTIATE_TEST_SUITE_P(EveryOrder, UploadReadPattern,
                         ::testing::Values(server::ReadOrder::kSequential,
                                           server::ReadOrder::kRandom,
                                           server::ReadOrder::kOverlapping,
                                           server::ReadOrder::kDuplicate));

TEST_F(UploadWithServer, AHugeRequestIsAnsweredInPieces) {
  Set([](Knobs& knobs) { knobs.read_size = uint64_t{1} << 40; });
  const std::string content = Pattern(9 << 20);
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", content)));
  EXPECT_TRUE(HasContent("/f", content));
}

TEST_F(UploadWithServer, TheRateLimitHolds) {
  options_.bwlimit = 4 << 20;
  const auto begun = RealClock().Now();
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", Pattern(6 << 20))));
  EXPECT_GE(RealClock().Now() - begun, 1s);
}

// ---- Channel and server that go away --------------------------------------------------------

TEST_F(UploadWithServer, ADroppedChannelIsOpenedAgainAndWhatWasAskedIsRepeated) {
  Set([](Knobs& knobs) { knobs.drop_channel_every = 5; });
  const std::string content = Pattern(12 << 20);
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", content)));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_GT(server_->counters().channels_opened, 1U);
}

TEST_F(UploadWithServer, AFinishThatWasLostWithTheChannelIsFoundByTheListing) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto id = room().Write("/f", Pattern(1 << 20));
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 1 << 20; }));
  server_->DropChannels();
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

TEST_F(UploadWithServer, AServerThatForgotItsSessionsGetsTheFileAgain) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kTransferring; });
  const std::string content = Pattern(2 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kServing));
  server_.Stop();
  server_.StartAgain();
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
}

TEST_F(UploadWithServer, AServerThatKeptItsSessionsGoesOn) {
  Set([](Knobs& knobs) {
    knobs.hold = server::Phase::kFinishing;
    knobs.keep_sessions = true;
  });
  const std::string content = Pattern(2 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == content.size(); }));
  server_.Stop();
  server_.StartAgain();
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Calls("StartRemoteUpload"), 0U) << "counted since the restart";
}

TEST_F(UploadWithServer, WithoutAServerFilesWaitAndStatusSaysWhy) {
  server_.Stop();
  const auto id = room().Write("/f", "x");
  ASSERT_TRUE(room().AwaitStatus(
      [](const auto& status) { return !status.channel_up && status.channel_error.size() > 20; }));
  EXPECT_TRUE(room().store().Get(id));
  server_.StartAgain();
  ASSERT_TRUE(room().AwaitGone(id));
}

TEST_F(UploadWithServer, AClientThatStartsAgainGoesOnUnderTheOldId) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const std::string content = Pattern(3 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == content.size(); }));
  room().Close();
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  room().Open();
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
  EXPECT_EQ(server_->counters().bytes_received, content.size());
}

TEST_F(UploadWithServer, AnUploadThatFinishedWhileWeWereAwayIsNotSentAgain) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const std::string content = Pattern(1 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == content.size(); }));
  room().Close();
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE([&] {
    const auto deadline = RealClock().Now() + kPatience;
    while (!Exists("/f") && RealClock().Now() < deadline) std::this_thread::yield();
    return Exists("/f");
  }());
  room().Open();
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

TEST_F(UploadWithServer, AStartWhoseAnswerWasLostLeavesOneFile) {
  server_->faults().FailNext("StartRemoteUpload", 1, 14, "gone", server::FailWhen::kAfter);
  const std::string content = Pattern(1 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Names(), Strings{"f"});
}

TEST_F(UploadWithServer, FailingAnswersAreSentAgain) {
  server_->faults().FailNext("RemoteReadData", 5, 14, "unavailable");
  const std::string content = Pattern(4 << 20);
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", content)));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

// Whether they arrived nobody knows: the file goes up again rather than being believed or parked.
TEST_F(UploadWithServer, LastAnswersThatFailedAreNoProofAndNoReasonToAskAPerson) {
  Set([](Knobs& knobs) { knobs.list_hashes = false; });
  server_->faults().FailNext("RemoteReadData", 1, 14, "unavailable", server::FailWhen::kAfter);
  const std::string content = Pattern(100'000);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Names(), Strings{"f"});
}

TEST_F(UploadWithServer, AnswersWhoseReplyWasLostAreNotHeldAgainstUs) {
  Set([](Knobs& knobs) { knobs.list_hashes = false; });
  server_->faults().FailNext("RemoteReadData", 2, 4, "deadline", server::FailWhen::kAfter);
  const std::string content = Pattern(4 << 20);
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", content)));
  EXPECT_TRUE(HasContent("/f", content));
}

// ---- Changed, deleted, renamed while in flight ----------------------------------------------

TEST_F(UploadWithServer, AFileThatIsChangedInFlightGoesOutInItsNewVersionOnly) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto id = room().Write("/f", Pattern(1 << 20, 1));
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 1 << 20; }));
  room().Rewrite(id, Pattern(1 << 20, 2));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", Pattern(1 << 20, 2)));
  EXPECT_EQ(Names(), Strings{"f"});
}

TEST_F(UploadWithServer, AFileThatIsDeletedInFlightDoesNotAppear) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kTransferring; });
  const auto id = room().Write("/f", Pattern(1 << 20));
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kServing));
  ASSERT_TRUE(room().store().Remove("/f", false));
  ASSERT_TRUE(room().AwaitGone(id));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  EXPECT_EQ(Names(), Strings{});
}

TEST_F(UploadWithServer, AFileThatIsDeletedAfterItFinishedIsDeletedThere) {
  Set([](Knobs& knobs) { knobs.listing_lag = server::Millis(1500); });
  const auto id = room().Write("/f", Pattern(1 << 20));
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kVerifying));
  ASSERT_TRUE(room().store().Remove("/f", false));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_FALSE(Exists("/f"));
}

TEST_F(UploadWithServer, ARenameInFlightSendsNoByteTwice) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const std::string content = Pattern(2 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == content.size(); }));
  ASSERT_TRUE(room().store().Rename("/f", "/g", false));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/g", content));
  EXPECT_EQ(Names(), Strings{"g"});
  EXPECT_EQ(server_->counters().bytes_received, content.size());
}

TEST_F(UploadWithServer, ARenameToAnotherDirectoryAndNameInFlight) {
  ASSERT_TRUE(room().AwaitGone(room().MakeDir("/d")));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const std::string content = Pattern(1 << 20);
  const auto id = room().Write("/f.bin", content);
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == content.size(); }));
  ASSERT_TRUE(room().store().Rename("/f.bin", "/d/g.bin", false));
  // A new file takes the old name meanwhile.
  const auto other = room().Write("/f.bin", "other");
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  ASSERT_TRUE(room().AwaitGone(other));
  EXPECT_TRUE(HasContent("/d/g.bin", content));
  EXPECT_TRUE(HasContent("/f.bin", "other"));
  EXPECT_EQ(Names(), (Strings{"d", "f.bin"}));
  EXPECT_EQ(Names("/d"), Strings{"g.bin"});
}

TEST_F(UploadWithServer, AFinishedFileWhoseDirectoryIsRenamedIsFoundThere) {
  ASSERT_TRUE(room().AwaitGone(room().MakeDir("/d")));
  Set([](Knobs& knobs) { knobs.listing_lag = server::Millis(600); });
  const auto id = room().Write("/d/f", "content");
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kVerifying));
  ASSERT_TRUE(remote_->names().Rename("/d", "e", {}));
  ASSERT_TRUE(room().store().Rename("/d", "/e", true));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/e/f", "content"));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

TEST_F(UploadWithServer, ANewVersionWhoseDirectoryIsRenamedIsFoundUnderItsTemporaryNameThere) {
  ASSERT_TRUE(room().AwaitGone(room().MakeDir("/d")));
  ASSERT_TRUE(room().AwaitGone(room().Write("/d/f", "old")));
  Set([](Knobs& knobs) { knobs.listing_lag = server::Millis(600); });
  const auto id = room().Write("/d/f", "content");
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kVerifying));
  ASSERT_TRUE(remote_->names().Rename("/d", "e", {}));
  ASSERT_TRUE(room().store().Rename("/d", "/e", true));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/e/f", "content"));
  EXPECT_EQ(Names("/e"), Strings{"f"});
  EXPECT_EQ(Calls("StartRemoteUpload"), 2U);
}

// Its new version stood complete under a temporary name, in a directory that was renamed.
TEST_F(UploadWithServer, ADeletedFilesNewVersionIsDeletedWhereItsDirectoryWent) {
  for (const bool deleted_first : {false, true}) {
    Set([](Knobs& knobs) { knobs.listing_lag = server::Millis(0); });
    ASSERT_TRUE(room().AwaitGone(room().MakeDir("/d")));
    ASSERT_TRUE(room().AwaitGone(room().Write("/d/f", "old")));
    Set([](Knobs& knobs) { knobs.listing_lag = server::Millis(600); });
    const auto id = room().Write("/d/f", "content");
    ASSERT_TRUE(AwaitPhase(id, upload::Phase::kVerifying));
    if (deleted_first) {
      ASSERT_TRUE(room().store().Remove("/d/f", true));
    }
    ASSERT_TRUE(remote_->names().Rename("/d", "e", {}));
    ASSERT_TRUE(room().store().Rename("/d", "/e", true));
    if (!deleted_first) {
      ASSERT_TRUE(room().store().Remove("/e/f", true));
    }
    ASSERT_TRUE(room().AwaitGone(id));
    EXPECT_EQ(Names("/e"), Strings{"f"}) << deleted_first;  // the old version is not ours to delete
    std::filesystem::remove_all(server_.Local("/e"));
  }
}

TEST_F(UploadWithServer, TwoFilesInFlightMaySwapTheirNames) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto a = room().Write("/a", "was a");
  const auto b = room().Write("/b", "was b");
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 10; }));
  ASSERT_TRUE(room().store().Rename("/a", "/t", false));
  ASSERT_TRUE(room().store().Rename("/b", "/a", false));
  ASSERT_TRUE(room().store().Rename("/t", "/b", false));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(a));
  ASSERT_TRUE(room().AwaitGone(b));
  EXPECT_TRUE(HasContent("/a", "was b"));
  EXPECT_TRUE(HasContent("/b", "was a"));
  EXPECT_EQ(Names(), (Strings{"a", "b"}));
}

TEST_F(UploadWithServer, AFailedRenameCallThatWorkedIsSeen) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 7; }));
  ASSERT_TRUE(room().store().Rename("/f", "/g", false));
  server_->faults().FailNext("RenameFile", 1, 13, "internal", server::FailWhen::kAfter);
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings{"g"});
}

TEST_F(UploadWithServer, AFailedRenameIsTriedAgainWithoutUploadingAgain) {
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 7; }));
  ASSERT_TRUE(room().store().Rename("/f", "/g", false));
  server_->faults().FailNext("RenameFile", 3, 13, "internal");
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings{"g"});
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

// ---- Overwriting ----------------------------------------------------------------------------

TEST_F(UploadWithServer, SafeOverwriteKeepsTheOldVersionUntilTheNewOneStands) {
  WriteFile(server_.Local("/f.txt"), "old");
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto id = room().Write("/f.txt", "new content");
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 11; }));
  EXPECT_TRUE(HasContent("/f.txt", "old"));
  EXPECT_TRUE(room().store().Get(id)->upload_path.ends_with(".txt"));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
}

TEST_F(UploadWithServer, DirectOverwriteGoesStraightToTheName) {
  options_.overwrite = upload::Overwrite::kDirect;
  WriteFile(server_.Local("/f.txt"), "old");
  ASSERT_TRUE(room().AwaitGone(room().Write("/f.txt", "new content")));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
  EXPECT_EQ(Calls("RenameFile"), 0U);
}

TEST_F(UploadWithServer, AnOldVersionThatChangedRemotelyIsNotDeleted) {
  WriteFile(server_.Local("/f.txt"), "old");
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  const auto id = room().Write("/f.txt", "new content");
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 11; }));
  WriteFile(server_.Local("/f.txt"), "somebody else's");
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("changed remotely"), std::string::npos);
  EXPECT_TRUE(HasContent("/f.txt", "somebody else's"));
  EXPECT_EQ(Names().size(), 2U);
  ASSERT_TRUE(room().store().Retry(id));  // a person has looked at both
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
}

TEST_F(UploadWithServer, AnOverwriteThatStopsBetweenItsStepsIsFinishedByTheNextStart) {
  WriteFile(server_.Local("/f.txt"), "old");
  room().options().backoff_first = room().options().backoff_max = 1h;
  server_->faults().FailNext("RenameFile", 1, 13, "internal");
  room().StopUploader();
  room().StartUploader();
  const auto id = room().Write("/f.txt", "new content");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->attempts == 1; }));
  EXPECT_FALSE(Exists("/f.txt"));
  room().Close();
  room().options() = QuickOptions();
  room().Open();
  room().uploader().Hurry(id);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

// Otherwise the server would have no version at all until the next one is up.
TEST_F(UploadWithServer, ASaveBetweenTheStepsLeavesTheVersionBeforeInPlace) {
  WriteFile(server_.Local("/f.txt"), "old");
  room().options().backoff_first = room().options().backoff_max = 1h;
  server_->faults().FailNext("RenameFile", 1, 13, "internal");
  room().StopUploader();
  room().StartUploader();
  const auto id = room().Write("/f.txt", "new content");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->attempts == 1; }));
  ASSERT_FALSE(Exists("/f.txt"));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
  room().Rewrite(id, "the newest content");
  ASSERT_TRUE(AwaitTrue([&] { return server_->counters().bytes_received == 11 + 18; }));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
  Set([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f.txt", "the newest content"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
}

TEST_F(UploadWithServer, AChangeOfAVersionThatIsThereNoMoreIsParked) {
  const auto id = room().Write("/f.txt", "one");
  auto pin = room().store().PinFile(id, false);
  ASSERT_TRUE(pin);
  ASSERT_TRUE(room().AwaitState(id, cache::State::kClean));
  WriteFile(server_.Local("/f.txt"), "somebody else's");
  room().dirs().InvalidateAll();
  room().Rewrite(id, "two");
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("changed remotely"), std::string::npos);
  EXPECT_TRUE(HasContent("/f.txt", "somebody else's"));
  ASSERT_TRUE(room().store().Retry(id));  // a person has looked at both
  ASSERT_TRUE(AwaitTrue([&] { return HasContent("/f.txt", "two"); }));
}

TEST_F(UploadWithServer, TheSameFileTwiceInARow) {
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", "one")));
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", "second")));
  EXPECT_TRUE(HasContent("/f", "second"));
  EXPECT_EQ(Names(), Strings{"f"});
}

// ---- Lies and refusals ----------------------------------------------------------------------

class UploadToALiar : public UploadWithServer, public ::testing::WithParamInterface<server::Lie> {};

TEST_P(UploadToALiar, IsNeverEvicted) {
  options_.verify_patience = 300ms;
  Set([this](Knobs& knobs) { knobs.lie = GetParam(); });
  const std::string content = Pattern(100'000);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return !item || item->attempts >= 2; }));
  ASSERT_TRUE(room().store().Get(id)) << "evicted on a lie";
  EXPECT_NE(room().ReasonOf(id), "");
  Set([](Knobs& knobs) { knobs.lie = server::Lie::kNone; });
  ASSERT_TRUE(room().Await(id, [&](const auto& item) {
    if (item && item->state == State::kParked) (void)room().store().Retry(id);
    return !item;
  }));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Names(), Strings{"f"});
}
// Wrong bytes of the right size can only be told by the listed hash.
INSTANTIATE_TEST_SUITE_P(EveryLie, UploadToALiar,
                         ::testing::Values(server::Lie::kNoFile, server::Lie::kWrongSize,
                                           server::Lie::kWrongBytes));

TEST_F(UploadWithServer, AListingThatLagsIsWaitedFor) {
  Set([](Knobs& knobs) { knobs.listing_lag = server::Millis(700); });
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", "x")));
  EXPECT_EQ(Calls("StartRemoteUpload"), 1U);
}

TEST_F(UploadWithServer, AnErrorIsTriedAgainAndAFatalOneParks) {
  Set([](Knobs& knobs) { knobs.outcome = server::Outcome::kError; });
  const auto id = room().Write("/f", "x");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->attempts >= 2; }));
  Set([](Knobs& knobs) { knobs.outcome = server::Outcome::kFinish; });
  ASSERT_TRUE(room().AwaitGone(id));
  Set([](Knobs& knobs) { knobs.outcome = server::Outcome::kFatalError; });
  const auto fatal = room().Write("/g", "y");
  ASSERT_TRUE(room().AwaitParked(fatal));
  Set([](Knobs& knobs) { knobs.outcome = server::Outcome::kFinish; });
  ASSERT_TRUE(room().store().Retry(fatal));
  ASSERT_TRUE(room().AwaitGone(fatal));
}

TEST_F(UploadWithServer, SkippedIsVerifiedLikeFinish) {
  Set([](Knobs& knobs) { knobs.outcome = server::Outcome::kSkipped; });
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", "x")));
  EXPECT_TRUE(HasContent("/f", "x"));
}

TEST_F(UploadWithServer, AnUploadThatIsPausedThereGoesOnAfterwards) {
  Set([](Knobs& knobs) {
    knobs.pause_midway = server::Millis(500);
    knobs.unknown_status = true;
  });
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", Pattern(4 << 20))));
}

TEST_F(UploadWithServer, AFullCloudPausesTheWholeQueue) {
  Set([](Knobs& knobs) {
    knobs.outcome = server::Outcome::kError;
    knobs.outcome_text = "quota exceeded";
  });
  const auto id = room().Write("/f", "x");
  ASSERT_TRUE(room().AwaitStatus([](const auto& status) { return !status.paused_reason.empty(); }));
  EXPECT_NE(room().uploader().Snapshot().paused_reason.find("quota"), std::string::npos);
  EXPECT_TRUE(room().store().Get(id));
}

// ---- Order, settling, drain -----------------------------------------------------------------

TEST_F(UploadWithServer, TemporaryNamesWaitUntilRenamed) {
  const auto id = room().Write("/.film.mkv.a1B2c3", "x");
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kHeld));
  EXPECT_EQ(Calls("StartRemoteUpload"), 0U);
  ASSERT_TRUE(room().store().Rename("/.film.mkv.a1B2c3", "/film.mkv", false));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings{"film.mkv"});
}

TEST_F(UploadWithServer, DrainSkipsQuietTimesAndCountsWhatIsHeld) {
  options_.write_back = 1h;
  const auto id = room().Write("/f", "x");
  const auto held = room().Write("/g.part", "y");
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kSettling));
  EXPECT_EQ(room().uploader().Drain(RealClock().Now() + kPatience, {}), 1U);
  EXPECT_TRUE(HasContent("/f", "x"));
  EXPECT_TRUE(room().AwaitGone(id));  // evicted a moment after the drain
  EXPECT_TRUE(room().store().Get(held));
}

TEST_F(UploadWithServer, DrainEndsAtItsDeadline) {
  server_.Stop();
  room().Write("/f", "x");
  EXPECT_EQ(room().uploader().Drain(RealClock().Now() + 50ms, {}), 1U);
}

TEST_F(UploadWithServer, HurrySkipsTheQuietTimeOfOneFile) {
  options_.write_back = 1h;
  const auto id = room().Write("/f", "x");
  const auto other = room().Write("/g", "x");
  ASSERT_TRUE(AwaitPhase(id, upload::Phase::kSettling));
  room().uploader().Hurry(id);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(room().store().Get(other));
}

TEST_F(UploadWithServer, TheMountsRootMayBeAFolderThatDoesNotExistYet) {
  options_.remote_folder = "/cloud/mine";
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", "x")));
  EXPECT_TRUE(HasContent("/cloud/mine/f", "x"));
}

}  // namespace
}  // namespace outboxfs::test
