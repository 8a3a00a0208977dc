// The whole room over a real Store, against scripted APIs: what a well-behaved server never does.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

#include "support/fake_namespace_api.h"
#include "support/fake_upload_api.h"
#include "support/upload_room.h"
#include "upload/channel.h"
#include "upload/digests.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using cache::State;
using remote::HashRequest;
using remote::HashType;
using remote::ReadRequest;
using remote::StartRequest;
using remote::UploadStatus;

remote::Hashes HashesOf(const std::string& content) {
  upload::Digester digester({{HashType::kMd5, HashType::kSha1, HashType::kPikPakSha1}, 0},
                            content.size());
  digester.Update(std::as_bytes(std::span(content)));
  return upload::ToHashes(digester.Finish().digests);
}

class RoomTest : public ::testing::Test {
 protected:
  UploadRoom& room() {
    if (!room_) room_ = std::make_unique<UploadRoom>(api_, names_, options_);
    return *room_;
  }
  // A file whose Start was answered.
  cache::ItemId Started(const std::string& path, const std::string& content) {
    const auto id = room().Write(path, content);
    const int before = starts_++;
    EXPECT_TRUE(api_.AwaitCount("Start", before + 1));
    return id;
  }
  // Until the cache knows the upload's id.
  bool AwaitId(cache::ItemId id, const std::string& upload_id) {
    return room().Await(
        id, [&upload_id](const auto& item) { return item && item->upload_id == upload_id; });
  }
  // Everything is read, then Finish, as a server of manners does.
  void Serve(const std::string& upload_id, const std::string& path, const std::string& content,
             remote::Hashes listed = {}) {
    api_.Send({upload_id, ReadRequest{0, content.size(), false}});
    EXPECT_TRUE(api_.Await([&] {
      uint64_t bytes = 0;
      for (const auto& answer : api_.Answers()) {
        if (answer.upload_id == upload_id) bytes += answer.data.size();
      }
      return bytes == content.size();
    }));
    names_.AddFile(path, content.size(), std::move(listed));
    api_.SendStatus(upload_id, UploadStatus::kFinish);
  }

  FakeUploadApi api_;
  FakeNamespaceApi names_;
  upload::UploadOptions options_ = QuickOptions();
  int starts_ = 0;
  std::unique_ptr<UploadRoom> room_;
};

TEST_F(RoomTest, TheChannelIsOpenBeforeTheFirstStart) {
  api_.Hold("OpenChannel");
  const auto id = room().Write("/f", "x");
  ASSERT_TRUE(room().AwaitState(id, State::kWaiting));
  ASSERT_TRUE(api_.AwaitCount("OpenChannel", 1));
  EXPECT_EQ(api_.Count("Start"), 0);
  api_.Release("OpenChannel");
  EXPECT_TRUE(api_.AwaitCount("Start", 1));
}

// A directory that is being renamed on the server must not be made again under a pending file.
TEST_F(RoomTest, NothingIsMadeWhereARemoteRenameIsUnderWay) {
  cache::Intent intent;
  intent.kind = cache::Intent::Kind::kRename;
  intent.what = cache::ItemKind::kDir;
  intent.folder = "/";
  intent.from = "/dir";
  intent.to = "/new";
  const auto begun = room().store().BeginIntent(intent);
  ASSERT_TRUE(begun) << begun.error().text;
  const auto id = room().Write("/dir/f", "x");
  ASSERT_TRUE(room().Await(id, [](const auto& item) {
    return item && item->reason.find("being renamed") != std::string::npos;
  }));
  EXPECT_EQ(names_.Count("MakeDir"), 0);
  EXPECT_EQ(api_.Count("Start"), 0);
  names_.AddDir("/dir");
  ASSERT_TRUE(room().store().DropIntent(begun->id));
  EXPECT_TRUE(api_.AwaitCount("Start", 1));
}

// Its directory is missing because it was removed after the file in it.
TEST_F(RoomTest, TheDirectoryOfADeletedFileIsNotMadeAgain) {
  options_.transfers = 1;
  names_.AddDir("/a");
  names_.Hold("List");
  const auto id = room().Write("/a/f", "x");
  ASSERT_TRUE(names_.AwaitCount("List", 1));
  ASSERT_TRUE(room().store().Remove("/a/f", false));
  names_.Remove("/a");
  names_.Release("List");
  Started("/b", "y");  // the only place is free again
  EXPECT_FALSE(room().store().Get(id));
  EXPECT_EQ(names_.Count("MakeDir"), 0);
}

TEST_F(RoomTest, NorThatOfAFileWhoseUploadHadBegun) {
  options_.transfers = 1;
  names_.AddDir("/a");
  api_.Hold("Start");
  api_.FailNext("Start", {EIO, Retry::kBackoff, "no"});
  const auto id = room().Write("/a/f", "x");
  ASSERT_TRUE(api_.AwaitCount("Start", 1));
  names_.Hold("List");
  const int lists = names_.Count("List");
  api_.Release("Start");
  ASSERT_TRUE(names_.AwaitCount("List", lists + 1));  // its next look
  ASSERT_TRUE(room().store().Remove("/a/f", false));
  names_.Remove("/a");
  names_.Release("List");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(names_.Count("MakeDir"), 0);
}

TEST_F(RoomTest, MessagesThatOutrunTheAnswerOfStartAreKept) {
  const std::string content = "content";
  api_.OnStart([&](const StartRequest& request, const std::string& id) {
    names_.AddFile(request.path, request.size);
    api_.Send({id, HashRequest{2, 0}});
    api_.Send({id, ReadRequest{0, content.size(), true}});
  });
  const auto id = Started("/f", content);
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  ASSERT_TRUE(api_.AwaitCount("ReportHash", 1));
  EXPECT_TRUE(api_.Answers()[0].lazy_read);
  EXPECT_TRUE(api_.Answers()[0].is_last_chunk);
  EXPECT_EQ(api_.Answers()[0].data, content);
  api_.SendStatus("u1", UploadStatus::kFinish);
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, ARapidUploadMayFinishInsideStart) {
  const std::string content = "known";
  api_.OnStart([&](const StartRequest& request, const std::string& id) {
    names_.AddFile(request.path, request.size, HashesOf(content));
    api_.SendStatus(id, UploadStatus::kFinish);
  });
  EXPECT_TRUE(room().AwaitGone(room().Write("/f", content)));
  EXPECT_EQ(api_.Count("AnswerRead"), 0);
}

TEST_F(RoomTest, EveryListedHashIsComparedAlsoThoseNobodyAskedFor) {
  const std::string content = Pattern(300'000);
  const auto id = Started("/f", content);
  Serve("u1", "/f", content, HashesOf(content));
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, AWrongListedHashIsNeverEvicted) {
  options_.verify_patience = 200ms;
  const std::string content = "content";
  const auto id = Started("/f", content);
  Serve("u1", "/f", content, HashesOf("other"));
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return !item || item->attempts > 0; }));
  ASSERT_TRUE(room().store().Get(id));
  EXPECT_NE(room().ReasonOf(id).find("ours is"), std::string::npos) << room().ReasonOf(id);
}

TEST_F(RoomTest, FinishBeforeTheLastByteWasAskedForIsParkedAsUnproven) {
  const std::string content = Pattern(2 << 20);
  const auto id = Started("/f", content);
  api_.Send({"u1", ReadRequest{0, 1 << 20, false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  names_.AddFile("/f", content.size());
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("unproven"), std::string::npos);
}

TEST_F(RoomTest, WhatIsUnprovenCanBeAccepted) {
  const auto id = Started("/f", "content");
  names_.AddFile("/f", 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitParked(id));
  ASSERT_TRUE(room().store().Accept(id));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(api_.Count("Start"), 1);
}

// Its first try went to a temporary name beside the old file: that is what is accepted and placed.
TEST_F(RoomTest, WhatIsAcceptedUnderItsTemporaryNameIsPlaced) {
  names_.AddFile("/f", 3);
  const auto id = Started("/f", "content");
  ASSERT_TRUE(AwaitId(id, "u1"));
  const std::string temp = room().store().Get(id)->upload_path;
  ASSERT_NE(temp, "/f");
  names_.AddFile(temp, 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitParked(id));
  ASSERT_TRUE(room().store().Accept(id));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(api_.Count("Start"), 1);
  const auto placed = names_.Find("/f", {});
  ASSERT_TRUE(placed);
  EXPECT_EQ(placed->size, 7U);
  EXPECT_FALSE(names_.Find(temp, {}));
}

TEST_F(RoomTest, AcceptedButNotThereAnyMoreIsSentAgainAndNeedsItsProofAgain) {
  const auto id = Started("/f", "content");
  names_.AddFile("/f", 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitParked(id));
  names_.Remove("/f");
  ASSERT_TRUE(room().store().Accept(id));
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  names_.AddFile("/f", 7);
  api_.SendStatus("u2", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("unproven"), std::string::npos);
}

TEST_F(RoomTest, OnlyWhatIsUnprovenCanBeAccepted) {
  const auto id = Started("/f", "content");
  EXPECT_FALSE(room().store().Accept(id)) << "under way";
  names_.AddFile("/f", 7);
  Serve("u1", "/f", "content");  // a second entry
  ASSERT_TRUE(room().AwaitParked(id));
  const Status accepted = room().store().Accept(id);
  ASSERT_FALSE(accepted);
  EXPECT_EQ(accepted.error().code, EINVAL);
}

TEST_F(RoomTest, TwoEntriesOfOneNameArePartOfNoProof) {
  const std::string content = "content";
  const auto id = Started("/f", content);
  names_.AddFile("/f", content.size());
  Serve("u1", "/f", content);
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("several entries"), std::string::npos);
}

TEST_F(RoomTest, AFinishDoesNotCutOffTheLastAcknowledgement) {
  const std::string content = "content";
  const auto id = Started("/f", content);
  api_.Hold("AnswerRead");
  api_.Send({"u1", ReadRequest{0, content.size(), false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  names_.AddFile("/f", content.size());
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitStatus([](const auto& status) {
    return !status.items.empty() && status.items[0].phase == upload::Phase::kVerifying;
  }));
  api_.Release("AnswerRead");
  EXPECT_TRUE(room().AwaitGone(id));
}

// ---- Absurd requests --------------------------------------------------------------------------

TEST_F(RoomTest, ARangePastTheEndIsCancelledAndParked) {
  const auto id = Started("/f", "content");
  api_.Send({"u1", ReadRequest{0, 8, false}});
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_EQ(api_.Cancelled(), std::vector<std::string>{"u1"});
  EXPECT_EQ(api_.Count("AnswerRead"), 0);
  EXPECT_NE(room().ReasonOf(id).find("8 bytes at 0"), std::string::npos);
  EXPECT_EQ(room().uploader().Snapshot().refused_requests, 1U);
}

TEST_F(RoomTest, AnOffsetThatOverflowsIsCancelledAndParked) {
  const auto id = Started("/f", "content");
  api_.Send({"u1", ReadRequest{~uint64_t{0} - 1, 16, false}});
  ASSERT_TRUE(room().AwaitParked(id));
}

TEST_F(RoomTest, GigabytesInOneRequestPastTheEndAreRefusedWithoutReading) {
  const auto id = Started("/f", "content");
  api_.Send({"u1", ReadRequest{0, uint64_t{8} << 30, false}});
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_EQ(api_.Count("AnswerRead"), 0);
}

TEST_F(RoomTest, AWholeFileInOneRequestComesInPiecesOfOneMebibyte) {
  const std::string content = Pattern((5 << 20) + 3);
  const auto id = Started("/f", content);
  Serve("u1", "/f", content);
  ASSERT_TRUE(room().AwaitGone(id));
  auto answers = api_.Answers();
  std::sort(answers.begin(), answers.end(),
            [](const auto& a, const auto& b) { return a.offset < b.offset; });
  ASSERT_EQ(answers.size(), 6U);
  std::string got;
  for (const auto& answer : answers) {
    EXPECT_EQ(answer.offset, got.size());
    got += answer.data;
    EXPECT_EQ(answer.is_last_chunk, got.size() == content.size());
  }
  EXPECT_TRUE(got == content);
}

TEST_F(RoomTest, LengthZeroMeansTheRestOfTheFile) {
  const auto id = Started("/f", "content");
  api_.Send({"u1", ReadRequest{3, 0, false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  ASSERT_TRUE(api_.Await([&] { return api_.Answers().size() == 1; }));
  EXPECT_EQ(api_.Answers()[0].data, "tent");
  EXPECT_TRUE(room().store().Get(id));
}

TEST_F(RoomTest, TooManyOutstandingRequestsAreCancelledAndParked) {
  const std::string content = Pattern(70'000);
  api_.Hold("AnswerRead");
  const auto id = Started("/f", content);
  for (uint64_t i = 0; i < 66'000; ++i) api_.Send({"u1", ReadRequest{i, 1, false}});
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("too many"), std::string::npos);
}

TEST_F(RoomTest, DuplicatesOfOutstandingRequestsAreDropped) {
  api_.Hold("AnswerRead");
  const auto id = Started("/f", "content");
  for (int i = 0; i < 5; ++i) api_.Send({"u1", ReadRequest{0, 7, false}});
  api_.Send({"u1", ReadRequest{0, 7, true}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 2));
  api_.Release("AnswerRead");
  ASSERT_TRUE(api_.Await([&] { return api_.Answers().size() >= 2; }));
  names_.AddFile("/f", 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(api_.Answers().size(), 2U);
}

TEST_F(RoomTest, UnknownUploadsAreNeverAnsweredAndNeverCancelled) {
  const auto id = Started("/f", "content");
  api_.Send({"stranger", ReadRequest{0, 7, false}});
  api_.Send({"stranger", HashRequest{1, 0}});
  api_.SendStatus("stranger", UploadStatus::kTransfer);
  Serve("u1", "/f", "content");
  ASSERT_TRUE(room().AwaitGone(id));
  for (const auto& answer : api_.Answers()) EXPECT_EQ(answer.upload_id, "u1");
  EXPECT_TRUE(api_.Cancelled().empty());
  EXPECT_EQ(api_.Count("ReportHash"), 0);
}

TEST_F(RoomTest, AnUnknownHashTypeIsCountedAndTheUploadGoesOn) {
  const auto id = Started("/f", "content");
  api_.Send({"u1", HashRequest{7, 0}});
  Serve("u1", "/f", "content");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(room().uploader().Snapshot().refused_requests, 1U);
}

TEST_F(RoomTest, AHashThatIsAskedTwiceIsComputedOnceAndSentTwice) {
  const std::string content = Pattern(200'000);
  const auto id = Started("/f", content);
  api_.Send({"u1", HashRequest{1, 65536}});
  ASSERT_TRUE(api_.AwaitCount("ReportHash", 1));
  ASSERT_TRUE(api_.Await([&] { return api_.Hashes().size() == 1; }));
  api_.Send({"u1", HashRequest{1, 65536}});
  ASSERT_TRUE(api_.Await([&] { return api_.Hashes().size() == 2; }));
  EXPECT_EQ(api_.Hashes()[0].hash, HashesOf(content)[HashType::kMd5]);
  EXPECT_EQ(api_.Hashes()[1].hash, api_.Hashes()[0].hash);
  EXPECT_EQ(api_.Hashes()[1].block_hashes.size(), 4U);
  EXPECT_TRUE(room().store().Get(id)->digests.contains(1));
}

// Without news the server asks again, and at last gives up (docs/PROTOCOL.md, rule 6).
TEST_F(RoomTest, AHashThatTakesLongIsReportedOnTheWay) {
  options_.hash_report_every = 0ns;  // after each piece of 1 MiB
  const std::string content = Pattern((2 << 20) + 5);
  Started("/f", content);
  api_.Send({"u1", HashRequest{2, 0}});
  ASSERT_TRUE(api_.Await([&] { return !api_.Hashes().empty() && api_.Hashes().back().hash; }));
  const auto reports = api_.Hashes();
  ASSERT_EQ(reports.size(), 4U);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(reports[i].hash, std::nullopt);
    EXPECT_EQ(reports[i].bytes_hashed, std::min<uint64_t>((i + 1) << 20, content.size()));
    EXPECT_EQ(reports[i].total_bytes, content.size());
    EXPECT_EQ(reports[i].type, HashType::kSha1);
  }
  EXPECT_EQ(reports[3].hash, HashesOf(content)[HashType::kSha1]);
}

TEST_F(RoomTest, AHashThatIsCutShortEndsWithAMessageWithoutValue) {
  options_.hash_report_every = 0ns;
  const auto id = Started("/f", Pattern(2 << 20));
  api_.Hold("ReportHash");
  api_.Send({"u1", HashRequest{2, 0}});
  ASSERT_TRUE(api_.AwaitCount("ReportHash", 1));  // in the middle of the pass
  ASSERT_TRUE(room().store().BeginWrite(id));     // this upload is not wanted any more
  ASSERT_TRUE(api_.AwaitCount("ReportHash", 2));
  api_.Release("ReportHash");
  ASSERT_TRUE(api_.Await([&] { return !api_.Hashes().empty(); }));
  const auto reports = api_.Hashes();
  ASSERT_EQ(reports.size(), 1U);  // the one that was held never arrived
  EXPECT_EQ(reports[0].upload_id, "u1");
  EXPECT_EQ(reports[0].type, HashType::kSha1);
  EXPECT_EQ(reports[0].hash, std::nullopt);
  EXPECT_EQ(reports[0].bytes_hashed, 1U << 20);
  ASSERT_TRUE(room().store().EndWrite(id, false));
}

TEST_F(RoomTest, ARetrySendsTheHashesThatAreKnownAndHashesNothingAgain) {
  const auto id = Started("/f", "content");
  api_.Send({"u1", HashRequest{2, 0}});
  ASSERT_TRUE(api_.Await([&] { return api_.Hashes().size() == 1; }));
  api_.SendStatus("u1", UploadStatus::kError, "try again");
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(api_.Starts()[1].known_hashes,
            (remote::Hashes{{HashType::kSha1, HashesOf("content")[HashType::kSha1]}}));
  EXPECT_TRUE(room().store().Get(id));
}

// ---- Answers that fail --------------------------------------------------------------------------

TEST_F(RoomTest, AnAnswerThatNobodyWaitsForIsHarmless) {
  const auto id = Started("/f", "content");
  api_.FailNext("AnswerRead", {ESTALE, Retry::kBackoff, "No pending read waiter"});
  api_.Send({"u1", ReadRequest{0, 3, false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  Serve("u1", "/f", "content");
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, ASessionThatTheServerForgotIsStartedAnew) {
  options_.silence = 300ms;
  const auto id = Started("/f", "content");
  api_.FailNext("AnswerRead", {ENOENT, Retry::kBackoff, "Upload session not found"});
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  Serve("u2", "/f", "content");
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, ASilentUploadIsLookedUpAndItsLostFinishFound) {
  options_.silence = 300ms;
  const auto id = Started("/f", "content");
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.Await([&] { return api_.Answers().size() == 1; }));
  names_.AddFile("/f", 7);
  EXPECT_TRUE(room().AwaitGone(id));
  EXPECT_GE(api_.Count("ListUploads"), 1);
}

TEST_F(RoomTest, AServerThatWaitsInSilenceIsAskedToRepeatItself) {
  options_.first_word = 50ms;
  api_.OnStart([this](const StartRequest& request, const std::string& id) {
    api_.SetQueue({{id, request.path, request.size, UploadStatus::kTransfer, ""}});
  });
  Started("/f", "content");
  EXPECT_TRUE(api_.AwaitCount("OpenChannel", 2));
}

TEST_F(RoomTest, AReplacedChannelIsSaidAndNotFoughtFor) {
  room();
  ASSERT_TRUE(room().AwaitStatus([](const auto& status) { return status.channel_up; }));
  api_.BreakChannel({EPIPE, Retry::kBackoff, "channel replaced"});
  ASSERT_TRUE(room().AwaitStatus([](const auto& status) {
    return status.channel_error.find("another program") != std::string::npos;
  }));
  EXPECT_EQ(api_.Count("OpenChannel"), 1);
}

// ---- Start with unknown outcome -------------------------------------------------------------

TEST_F(RoomTest, AStartWithoutAnAnswerIsCancelledBeforeTheNextOne) {
  api_.FailNext("Start", {ETIMEDOUT, Retry::kBackoff, "deadline"});
  api_.SetQueue({{"lost", "/f", 7, UploadStatus::kTransfer, ""}});
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(api_.Cancelled(), std::vector<std::string>{"lost"});
  Serve("u1", "/f", "content");
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, AnUnprovenEntryOfTheRightSizeDoesNotEndAnUncertainStart) {
  api_.FailNext("Start", {ETIMEDOUT, Retry::kBackoff, "deadline"});
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->attempts == 1; }));
  names_.AddFile("/f", 7);  // somebody's
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_TRUE(room().store().Get(id));
}

TEST_F(RoomTest, AStrangersUploadToAPathThatWasNeverStartedIsLeftAlone) {
  names_.FailNext("List", {EIO, Retry::kBackoff, "no"});
  api_.SetQueue({{"stranger", "/f", 7, UploadStatus::kTransfer, ""}});
  const auto id = Started("/f", "content");
  EXPECT_TRUE(api_.Cancelled().empty());
  EXPECT_TRUE(room().store().Get(id));
}

// ---- Deleted and changed --------------------------------------------------------------------

TEST_F(RoomTest, AFileThatIsDeletedDuringItsStartIsCancelledByTheIdThatComesBack) {
  api_.Hold("Start");
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(api_.AwaitCount("Start", 1));
  ASSERT_TRUE(room().store().Remove("/f", false));
  api_.Release("Start");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(api_.Cancelled(), std::vector<std::string>{"u1"});
}

TEST_F(RoomTest, WhatStoodThereBeforeIsNotDeletedWithOurUpload) {
  names_.AddFile("/f", 100);
  options_.overwrite = upload::Overwrite::kDirect;
  const auto id = Started("/f", "content");
  ASSERT_TRUE(room().store().Remove("/f", true));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(names_.Content("/").size(), 1U);
  EXPECT_EQ(names_.Count("Delete"), 0);
}

TEST_F(RoomTest, ACancelThatFailsIsTriedAgain) {
  const auto id = Started("/f", "content");
  api_.FailNext("ControlUpload", {EIO, Retry::kBackoff, "no"}, 3);
  ASSERT_TRUE(room().store().Remove("/f", false));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(api_.Cancelled(), std::vector<std::string>{"u1"});
}

TEST_F(RoomTest, AnOpenForWritingCancelsTheUploadAtOnce) {
  const auto id = Started("/f", "content");
  ASSERT_TRUE(room().store().BeginWrite(id));
  ASSERT_TRUE(api_.Await([this] { return !api_.Cancelled().empty(); }));
  ASSERT_TRUE(room().store().EndWrite(id, false));
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  Serve("u2", "/f", "content");
  EXPECT_TRUE(room().AwaitGone(id));
}

// ---- The queue as a whole -------------------------------------------------------------------

TEST_F(RoomTest, TheOldestGoesFirstAndNoMoreThanTransfersAtOnce) {
  options_.transfers = 2;
  std::vector<cache::ItemId> ids;
  for (const char* path : {"/a", "/b", "/c"}) {
    ids.push_back(room().Write(path, "content"));
    ASSERT_TRUE(room().Await(
        ids.back(), [](const auto& item) { return item && item->state != State::kSealing; }));
  }
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(api_.Count("Start"), 2);
  Serve("u1", api_.Starts()[0].path, "content");
  ASSERT_TRUE(api_.AwaitCount("Start", 3));
  EXPECT_EQ(api_.Starts()[2].path, "/c");
}

TEST_F(RoomTest, ALongVerificationTakesNoTransferPlace) {
  options_.transfers = 1;
  const auto first = Started("/a", "content");
  api_.Send({"u1", ReadRequest{0, 7, false}});
  api_.SendStatus("u1", UploadStatus::kFinish);  // never listed
  room().Write("/b", "content");
  EXPECT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_TRUE(room().store().Get(first));
}

TEST_F(RoomTest, AProviderWideErrorStopsEveryStart) {
  options_.backoff_max = 10min;
  api_.FailNext("Start", {EACCES, Retry::kPauseAll, "invalid user plan"});
  room().Write("/a", "content");
  ASSERT_TRUE(room().AwaitStatus([](const auto& status) { return !status.paused_reason.empty(); }));
  const auto other = room().Write("/b", "content");
  ASSERT_TRUE(room().AwaitState(other, State::kWaiting));
  EXPECT_EQ(api_.Count("Start"), 1);
  EXPECT_GT(room().uploader().Snapshot().paused_until_ns, RealClock().WallNs());
}

TEST_F(RoomTest, StoppingEndsEverythingThatWaits) {
  api_.Hold("AnswerRead");
  api_.Hold("ListUploads");
  Started("/f", "content");
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  room().Close();
  EXPECT_TRUE(api_.Cancelled().empty()) << "taken up by the next start";
  api_.Release("AnswerRead");
  api_.Release("ListUploads");
  api_.SetQueue({{"u1", "/f", 7, UploadStatus::kTransfer, ""}});
  room().Open();
  Serve("u1", "/f", "content");
  EXPECT_TRUE(room().AwaitStatus([](const auto& status) { return status.uploads_done == 1; }));
  EXPECT_EQ(api_.Count("Start"), 1);
}

// ---- Several items and one path ---------------------------------------------------------------

const Error kNotNow{EIO, Retry::kBackoff, "not now"};

// The deleted file's upload may still come to its end: until it is gone for sure, nothing else of
// that name starts, and then only its own result may be deleted.
TEST_F(RoomTest, AFileOfTheSameNameWaitsUntilTheDeletedOnesUploadIsGone) {
  std::vector<size_t> cancelled_before;
  api_.OnStart([&](const StartRequest&, const std::string&) {
    cancelled_before.push_back(api_.Cancelled().size());
  });
  const auto first = Started("/t", "content");
  api_.FailNext("ControlUpload", kNotNow, 4);
  ASSERT_TRUE(room().store().Remove("/t", false));
  ASSERT_TRUE(api_.AwaitCount("ControlUpload", 1));
  const auto second = Started("/t", "contenT");
  Serve("u2", "/t", "contenT");
  ASSERT_TRUE(room().AwaitGone(second));
  EXPECT_EQ(cancelled_before, (std::vector<size_t>{0, 1}));
  ASSERT_TRUE(room().AwaitGone(first));
  EXPECT_EQ(names_.Content("/").size(), 1U);
  EXPECT_EQ(names_.Count("Delete"), 0);
}

TEST_F(RoomTest, ItWaitsAlsoAfterARestart) {
  ASSERT_TRUE(AwaitId(Started("/t", "content"), "u1"));
  room().StopUploader();
  ASSERT_TRUE(room().store().Remove("/t", false));
  const auto second = room().Write("/t", "contenT");
  room().Close();
  std::vector<size_t> cancelled_before;
  api_.OnStart([&](const StartRequest&, const std::string&) {
    cancelled_before.push_back(api_.Cancelled().size());
  });
  api_.FailNext("ControlUpload", kNotNow, 4);
  room().Open();
  ASSERT_TRUE(AwaitId(second, "u2"));
  EXPECT_EQ(cancelled_before, std::vector<size_t>{1});
}

// Cleaning starts late, and something stands at the path by then.
class LateCleaning : public RoomTest {
 protected:
  cache::ItemId DeleteWhileStopped() {
    const auto id = Started("/t", "content");
    EXPECT_TRUE(AwaitId(id, "u1"));
    room().StopUploader();
    EXPECT_TRUE(room().store().Remove("/t", false));
    return id;
  }
  void Finished() { api_.SetQueue({{"u1", "/t", 7, UploadStatus::kFinish, ""}}); }
  bool IsThereAfterCleaning(cache::ItemId id) {
    api_.FailNext("ControlUpload", {ENOENT, Retry::kBackoff, "Upload session not found"});
    room().StartUploader();
    EXPECT_TRUE(room().AwaitGone(id));
    return !names_.Content("/").empty();
  }
};

TEST_F(LateCleaning, DeletesWhatTheQueueSaysIsFinished) {
  const auto id = DeleteWhileStopped();
  Finished();
  names_.AddFile("/t", 7);
  EXPECT_FALSE(IsThereAfterCleaning(id));
}

TEST_F(LateCleaning, LeavesAFileThatNothingProvesToBeOurs) {
  const auto id = DeleteWhileStopped();
  names_.AddFile("/t", 7);
  EXPECT_TRUE(IsThereAfterCleaning(id));
}

TEST_F(LateCleaning, LeavesAFileOfAnotherSize) {
  const auto id = DeleteWhileStopped();
  Finished();
  names_.AddFile("/t", 8);
  EXPECT_TRUE(IsThereAfterCleaning(id));
}

TEST_F(LateCleaning, LeavesAFileThatTheMountShows) {
  const auto id = DeleteWhileStopped();
  Finished();
  names_.AddFile("/t", 7);
  cache::Memory memory;
  memory.path = "/t";
  memory.ino = room().store().NewIno();
  memory.identity.size = 7;
  memory.confirmed = true;
  ASSERT_TRUE(room().store().Remember(memory));
  EXPECT_TRUE(IsThereAfterCleaning(id));
}

// A rename or unlink before the next upload has to take it along.
TEST_F(RoomTest, WhatACancelledUploadMayHaveLeftAtItsOwnPathIsAskedOfTheServer) {
  const auto id = Started("/t", "content");
  ASSERT_TRUE(AwaitId(id, "u1"));
  ASSERT_TRUE(room().dirs().Refresh("/", RealClock().Now(), {}));
  const std::string name = "t";
  ASSERT_TRUE(room().dirs().Peek("/", name)) << "without the file";
  names_.AddFile("/t", 7);
  api_.SetQueue({{"u1", "/t", 7, UploadStatus::kFinish, ""}});
  api_.FailNext("ControlUpload", {ENOENT, Retry::kBackoff, "Upload session not found"});
  ASSERT_TRUE(room().store().BeginWrite(id));
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->kept; }));
  EXPECT_FALSE(room().dirs().Peek("/", name));
}

TEST_F(RoomTest, AnUploadThatWaitsKeepsItsPathAlsoWhenItsFileIsRenamed) {
  options_.backoff_first = options_.backoff_max = 1h;
  api_.FailNext("Start", {ETIMEDOUT, Retry::kBackoff, "deadline"});
  const auto first = room().Write("/f", "content");
  ASSERT_TRUE(room().Await(first, [](const auto& item) { return item && item->attempts == 1; }));
  ASSERT_TRUE(room().store().Rename("/f", "/g", false));
  const auto second = room().Write("/f", "other");
  ASSERT_TRUE(room().AwaitStatus([second](const auto& status) {
    return std::any_of(status.items.begin(), status.items.end(), [second](const auto& item) {
      return item.id == second && item.note.find("another operation") != std::string::npos;
    });
  }));
  EXPECT_EQ(api_.Count("Start"), 1);
  room().uploader().Hurry(first);
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  ASSERT_TRUE(api_.Await([this] { return api_.Starts().size() == 1; }));
  EXPECT_EQ(api_.Starts()[0].path, "/g");
  Serve("u1", "/g", "content");
  ASSERT_TRUE(room().AwaitGone(first));
  ASSERT_TRUE(api_.AwaitCount("Start", 3));
}

TEST_F(RoomTest, AFileThatIsDeletedWhileItIsBeingPlacedDoesNotStay) {
  names_.AddFile("/f", 3);
  const auto id = Started("/f", "content");
  names_.Hold("Rename");
  Serve("u1", api_.Starts()[0].path, "content");
  ASSERT_TRUE(names_.AwaitCount("Rename", 1));
  ASSERT_TRUE(room().store().Remove("/f", false));
  names_.Release("Rename");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(names_.Content("/").empty());
}

TEST_F(RoomTest, ADeletedFileThatWaitsForAPlaceDoesNotWaitOn) {
  const auto holder = Started("/b", "holder");
  ASSERT_TRUE(room().store().Rename("/b", "/c", false));
  const auto id = Started("/a", "content");
  ASSERT_TRUE(room().store().Rename("/a", "/b", false));
  Serve("u2", "/a", "content");
  ASSERT_TRUE(room().AwaitStatus([id](const auto& status) {
    return std::any_of(status.items.begin(), status.items.end(), [id](const auto& item) {
      return item.id == id && item.phase == upload::Phase::kPlacing;
    });
  }));
  ASSERT_TRUE(room().store().Remove("/b", false));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(room().store().Get(holder));
  EXPECT_TRUE(names_.Content("/").empty());
}

// ---- Doing nothing ----------------------------------------------------------------------------

// Counts how often the time is asked for: a thread that spins does so all the time.
class CountingClock final : public Clock {
 public:
  SteadyTime Now() const override {
    ++asked_;
    return RealClock().Now();
  }
  int64_t WallNs() const override { return RealClock().WallNs(); }
  uint64_t asked() const { return asked_; }

 private:
  mutable std::atomic<uint64_t> asked_{0};
};

TEST_F(RoomTest, NothingSpinsWhileTheChannelIsDownOrTheQueueIsPaused) {
  CountingClock clock;
  const auto asked_meanwhile = [&](UploadRoom& room) {
    const uint64_t before = clock.asked();
    const SteadyTime until = RealClock().Now() + 200ms;
    room.AwaitStatus([until](const auto& /*status*/) { return RealClock().Now() >= until; });
    return clock.asked() - before;
  };
  api_.Hold("OpenChannel");
  options_.backoff_max = 10min;
  UploadRoom room(api_, names_, options_, clock);
  const auto id = room.Write("/a", "content");
  ASSERT_TRUE(room.AwaitState(id, State::kWaiting));
  EXPECT_LT(asked_meanwhile(room), 1000U);  // mostly the status calls' own
  api_.FailNext("Start", {EACCES, Retry::kPauseAll, "invalid user plan"});
  api_.Release("OpenChannel");
  ASSERT_TRUE(room.AwaitStatus([](const auto& status) { return !status.paused_reason.empty(); }));
  room.Write("/b", "content");
  EXPECT_LT(asked_meanwhile(room), 1000U);
}

TEST_F(RoomTest, ADeletedFileThatIsHeldOpenKeepsNobodyBusy) {
  options_.write_back = 1h;
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(room().AwaitState(id, State::kWaiting));
  const auto pin = room().store().PinFile(id, false);
  ASSERT_TRUE(pin);
  ASSERT_TRUE(room().store().Remove("/f", false));
  const SteadyTime deadline = RealClock().Now() + kPatience;
  EXPECT_EQ(room().uploader().Drain(deadline, {}), 0U);
  EXPECT_LT(RealClock().Now(), deadline);
  EXPECT_EQ(api_.Count("Start"), 0);
}

TEST_F(RoomTest, ADeletedFileThatIsHeldOpenInFlightIsForgotten) {
  const auto id = Started("/f", "content");
  const auto pin = room().store().PinFile(id, false);
  ASSERT_TRUE(pin);
  ASSERT_TRUE(room().store().Remove("/f", false));
  ASSERT_TRUE(api_.Await([this] { return !api_.Cancelled().empty(); }));
  const SteadyTime deadline = RealClock().Now() + kPatience;
  EXPECT_EQ(room().uploader().Drain(deadline, {}), 0U);
  EXPECT_LT(RealClock().Now(), deadline);
}

// ---- What the server says of a running upload ---------------------------------------------------

TEST_F(RoomTest, AnUploadThatIsUnknownForAMomentGoesOn) {
  api_.OnStart([this](const StartRequest& request, const std::string& id) {
    api_.SetQueue({{id, request.path, request.size, UploadStatus::kTransfer, ""}});
  });
  const Error unknown{ENOENT, Retry::kBackoff, "Upload session not found"};
  const auto id = Started("/f", "content");
  api_.FailNext("AnswerRead", unknown);
  api_.FailNext("ReportHash", unknown);
  api_.Send({"u1", HashRequest{2, 0}});
  ASSERT_TRUE(api_.Await([this] { return !api_.Hashes().empty(); }));
  Serve("u1", "/f", "content");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(api_.Count("Start"), 1);
}

TEST_F(RoomTest, AnAnswerThatNeverLeftIsNoProof) {
  const auto id = Started("/f", "content");
  api_.FailNext("AnswerRead", {EIO, Retry::kBackoff, "unavailable"}, 1000);
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  names_.AddFile("/f", 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return !item || item->attempts > 0; }));
  ASSERT_TRUE(room().store().Get(id));
  EXPECT_NE(room().ReasonOf(id).find("unproven"), std::string::npos);
}

TEST_F(RoomTest, AnAnswerThatMayHaveArrivedIsBelievedTogetherWithFinish) {
  const auto id = Started("/f", "content");
  api_.FailNext("AnswerRead", {ETIMEDOUT, Retry::kBackoff, "deadline"});
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 1));
  names_.AddFile("/f", 7);
  api_.SendStatus("u1", UploadStatus::kFinish);
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, WithoutAReportAndAQueueOnlyAListedHashIsProof) {
  options_.silence = 300ms;
  api_.FailNext("ListUploads", {EACCES, Retry::kPark, "permission denied"}, 1000);
  const auto id = Started("/f", "content");
  names_.AddFile("/f", 7);
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.Await([&] { return api_.Answers().size() == 1; }));
  ASSERT_TRUE(api_.AwaitCount("ListUploads", 4));
  ASSERT_TRUE(room().store().Get(id));
  names_.Remove("/f");
  names_.AddFile("/f", 7, HashesOf("content"));
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, AfterARestartWithoutAQueueTheRightSizeIsNoProof) {
  const auto id = Started("/f", "content");
  ASSERT_TRUE(AwaitId(id, "u1"));
  api_.Send({"u1", ReadRequest{0, 7, false}});
  ASSERT_TRUE(api_.Await([&] { return room().store().ServedWhole(id, 1); }));
  room().StopUploader();
  names_.AddFile("/f", 7);
  api_.FailNext("ListUploads", {EACCES, Retry::kPark, "permission denied"}, 1000);
  room().StartUploader();
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(api_.Cancelled(), std::vector<std::string>{"u1"});
  EXPECT_TRUE(room().store().Get(id));
}

// Neither of them shows that the server has the bytes.
TEST_F(RoomTest, AQueueThatHasForgottenAnUploadDoesNotSayThatItsHashWasEnough) {
  const auto id = Started("/f", "content");
  ASSERT_TRUE(AwaitId(id, "u1"));
  api_.Send({"u1", HashRequest{2, 0}});
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && !item->digests.empty(); }));
  room().StopUploader();
  names_.AddFile("/f", 7);  // somebody else's
  room().StartUploader();
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_TRUE(room().store().Get(id));
}

TEST_F(RoomTest, ACancelThatIsForbiddenIsNotInsistedOn) {
  const auto first = Started("/f", "content");
  api_.FailNext("ControlUpload", {EACCES, Retry::kPark, "permission denied"}, 1000);
  ASSERT_TRUE(room().store().Remove("/f", false));
  ASSERT_TRUE(room().AwaitGone(first));
  Started("/f", "other");
}

TEST_F(RoomTest, MessagesThatGoToAnotherClientAreNotWaitedForForEver) {
  options_.silence = 30ms;
  api_.OnStart([this](const StartRequest& request, const std::string& id) {
    api_.SetQueue({{id, request.path, request.size, UploadStatus::kTransfer, ""}});
  });
  const auto id = Started("/f", "content");
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && item->attempts > 0; }));
  EXPECT_NE(room().ReasonOf(id).find("another client"), std::string::npos);
  ASSERT_TRUE(api_.AwaitCount("Start", 2));
  EXPECT_EQ(api_.Cancelled()[0], "u1");
  Serve("u2", "/f", "content");
  EXPECT_TRUE(room().AwaitGone(id));
}

TEST_F(RoomTest, TheReadWindowBoundsTheBytesInFlight) {
  options_.read_window = 4 << 20;  // a piece counts twice
  const std::string content = Pattern(8 << 20);
  const auto id = Started("/f", content);
  api_.Hold("AnswerRead");
  api_.Send({"u1", ReadRequest{0, content.size(), false}});
  ASSERT_TRUE(api_.AwaitCount("AnswerRead", 2));
  Started("/g", "another round through every thread");
  api_.Release("AnswerRead");
  ASSERT_TRUE(api_.Await([&] { return api_.Answers().size() == 8; }));
  EXPECT_EQ(api_.MostInFlight(), 2U << 20);
  names_.AddFile("/f", content.size());
  api_.SendStatus("u1", UploadStatus::kFinish);
  EXPECT_TRUE(room().AwaitGone(id));
}

}  // namespace
}  // namespace outboxfs::test
