// Uploads: reads of every kind, what counts as an answer, control, how uploads end, what appears.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "raw_client.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using server::EmptyFile;
using server::Existing;
using server::Knobs;
using server::Lie;
using server::Outcome;
using server::Phase;
using server::ReadOrder;
using Stub = clouddrive::CloudDriveFileSrv::Stub;

std::vector<int> Statuses(const std::vector<Event>& events) {
  std::vector<int> list;
  for (const Event& event : events) {
    if (event.has_status_changed()) list.push_back(event.status_changed().status());
  }
  return list;
}

bool HasStatus(const std::vector<Event>& events, int status) {
  const std::vector<int> all = Statuses(events);
  return std::find(all.begin(), all.end(), status) != all.end();
}

clouddrive::RemoteReadDataRequest FirstRead(RawChannel& channel) {
  clouddrive::RemoteReadDataRequest found;
  EXPECT_TRUE(channel.Await([&](const std::vector<Event>& events) {
    for (const Event& event : events) {
      if (!event.has_read_data()) continue;
      found = event.read_data();
      return true;
    }
    return false;
  }));
  return found;
}

TEST(Upload, AFileArrivesWithTheBytesThatWereSent) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern((5 << 20) + 123);
  EXPECT_EQ(client.Upload("/file.bin", content).status(), UploadStatus::Finish);
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/file.bin")), content));
  EXPECT_EQ(server->counters().bytes_received, content.size());
}

TEST(Upload, ArrivesInEveryReadPattern) {
  for (ReadOrder order : {ReadOrder::kSequential, ReadOrder::kRandom, ReadOrder::kOverlapping,
                          ReadOrder::kDuplicate}) {
    for (uint64_t size : {uint64_t{100'000}, uint64_t{1} << 20, uint64_t{4} << 20}) {
      Knobs knobs;
      knobs.read_order = order;
      knobs.read_size = size;
      knobs.lazy = server::LazyReads::kMixed;
      knobs.receive_limit = 16 << 20;  // overlapping requests are half as long again
      TestServer server(knobs);
      RawClient client(server);
      const std::string content = Pattern((9 << 20) + 77);
      EXPECT_EQ(client.Upload("/f", content).status(), UploadStatus::Finish);
      EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
    }
  }
}

TEST(Upload, AsksForNoMoreReadsAtOnceThanTheKnobSays) {
  Knobs knobs;
  knobs.reads_in_flight = 3;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(10 << 20);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  channel->AwaitCount(5);  // Preprocessing, Transfer, three reads
  EXPECT_EQ(server->counters().reads_asked, 3U);
  client.Answer(id, content, FirstRead(*channel));
  channel->AwaitCount(6);
  EXPECT_EQ(server->counters().reads_asked, 4U);
}

TEST(Upload, AReadMayBeAnsweredInPiecesInAnyOrder) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(900);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  FirstRead(*channel);
  for (uint64_t offset : {600U, 0U, 300U}) {
    clouddrive::RemoteReadDataReply reply;
    EXPECT_TRUE(client.Send(id, content, offset, 300, false, &reply).ok());
    EXPECT_TRUE(reply.success());
    EXPECT_EQ(reply.bytes_received(), 300U);
    EXPECT_EQ(reply.is_last_chunk(), offset == 600);
  }
  EXPECT_TRUE(
      channel->Await([](const auto& events) { return HasStatus(events, UploadStatus::Finish); }));
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
}

TEST(Upload, AnAnswerWithTheWrongLazyFlagFindsNoWaiter) {
  Knobs knobs;
  knobs.lazy = server::LazyReads::kAlways;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(900);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  EXPECT_TRUE(FirstRead(*channel).lazy_read());
  clouddrive::RemoteReadDataReply reply;
  EXPECT_TRUE(client.Send(id, content, 0, 900, false, &reply).ok());
  EXPECT_FALSE(reply.success());
  EXPECT_EQ(reply.error_message(), "No pending read waiter");
  server.Change([](Knobs& k) { k.no_waiter_as_status = true; });
  const grpc::Status status = client.Send(id, content, 0, 900, false, &reply);
  EXPECT_EQ(status.error_message(), "No pending read waiter");
  EXPECT_TRUE(client.Send(id, content, 0, 900, true, &reply).ok());
  EXPECT_TRUE(reply.success());
}

TEST(Upload, ARepeatedOrUnaskedAnswerFindsNoWaiter) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(20 << 20);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  client.Answer(id, content, FirstRead(*channel));
  clouddrive::RemoteReadDataReply reply;
  client.Send(id, content, 0, 1 << 20, false, &reply);
  EXPECT_EQ(reply.error_message(), "No pending read waiter");
  client.Send(id, content, 15 << 20, 1 << 20, false, &reply);
  EXPECT_EQ(reply.error_message(), "No pending read waiter");
}

TEST(Upload, AWrongLengthIsRefusedUnlessTheKnobAllowsIt) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(900);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  FirstRead(*channel);
  clouddrive::RemoteReadDataUpload piece;
  piece.set_upload_id(id);
  piece.set_length(1000);
  piece.set_data(content);
  clouddrive::RemoteReadDataReply reply;
  EXPECT_EQ(client.Call(&Stub::RemoteReadData, piece, &reply).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
  server.Change([](Knobs& k) { k.check_length = false; });
  EXPECT_TRUE(client.Call(&Stub::RemoteReadData, piece, &reply).ok());
  EXPECT_TRUE(reply.success());
}

TEST(Upload, TheLastChunkFlagIsCheckedOnlyWhenTheKnobSaysSo) {
  for (bool check : {false, true}) {
    Knobs knobs;
    knobs.check_last_chunk = check;
    TestServer server(knobs);
    RawClient client(server);
    const std::string content = Pattern(900);
    const auto channel = client.Open();
    const std::string id = client.Start("/f", content.size());
    FirstRead(*channel);
    clouddrive::RemoteReadDataUpload piece;
    piece.set_upload_id(id);
    piece.set_length(100);
    piece.set_data(content.substr(0, 100));
    piece.set_is_last_chunk(true);  // of the answer, not of the file
    clouddrive::RemoteReadDataReply reply;
    EXPECT_EQ(client.Call(&Stub::RemoteReadData, piece, &reply).ok(), !check);
  }
}

TEST(Upload, AMessageOverTheLimitIsRefused) {
  TestServer server;
  RawClient client(server);
  clouddrive::RemoteReadDataReply reply;
  const std::string content = Pattern(4 << 20);
  EXPECT_EQ(client.Send("x", content, 0, content.size(), false, &reply).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
  server.Change([](Knobs& k) { k.receive_limit = 16 << 20; });
  EXPECT_EQ(client.Send("x", content, 0, content.size(), false, &reply).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST(Upload, AnUnknownIdIsAnsweredAsTheKnobSays) {
  TestServer server;
  RawClient client(server);
  clouddrive::RemoteReadDataReply reply;
  grpc::Status status = client.Send("nobody", "x", 0, 1, false, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(status.error_message(), "Upload session not found");
  EXPECT_EQ(client.SendHash("nobody", 2, "").error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(client.SendControl("nobody", RawClient::Control::kCancel).error_code(),
            grpc::StatusCode::NOT_FOUND);
  server.Change([](Knobs& k) { k.unknown_id_code = 13; });
  EXPECT_EQ(client.Send("nobody", "x", 0, 1, false, &reply).error_code(),
            grpc::StatusCode::INTERNAL);
  server.Change([](Knobs& k) { k.unknown_id = server::UnknownId::kSuccessFalse; });
  EXPECT_TRUE(client.Send("nobody", "x", 0, 1, false, &reply).ok());
  EXPECT_FALSE(reply.success());
  server.Change([](Knobs& k) { k.unknown_id = server::UnknownId::kOk; });
  EXPECT_TRUE(client.Send("nobody", "x", 0, 1, false, &reply).ok());
  EXPECT_TRUE(reply.success());
  EXPECT_TRUE(client.SendHash("nobody", 2, "").ok());
}

TEST(Upload, AnEndedUploadIsUnknown) {
  TestServer server;
  RawClient client(server);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", 3);
  client.Serve(*channel, id, "abc");
  clouddrive::RemoteReadDataReply reply;
  EXPECT_EQ(client.Send(id, "abc", 0, 3, false, &reply).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(Upload, EmptyFilesGoInEachOfTheWays) {
  struct Case {
    EmptyFile way;
    int status;
    bool exists;
  };
  for (const Case& c : {Case{EmptyFile::kFinish, UploadStatus::Finish, true},
                        Case{EmptyFile::kHash, UploadStatus::Finish, true},
                        Case{EmptyFile::kRead, UploadStatus::Finish, true},
                        Case{EmptyFile::kSkipped, UploadStatus::Skipped, false},
                        Case{EmptyFile::kError, UploadStatus::Error, false}}) {
    Knobs knobs;
    knobs.empty_file = c.way;
    TestServer server(knobs);
    RawClient client(server);
    const auto channel = client.Open();
    const std::string id = client.Start("/empty", 0);
    int hashes = 0;
    const auto end = client.Serve(*channel, id, "", [&](const auto& ask) {
      ++hashes;
      EXPECT_EQ(ask.hash_type(), 2U);
      EXPECT_TRUE(client.SendHash(id, 2, "da39a3ee5e6b4b0d3255bfef95601890afd80709").ok());
    });
    EXPECT_EQ(end.status(), c.status);
    EXPECT_EQ(hashes, c.way == EmptyFile::kHash ? 1 : 0);
    EXPECT_EQ(server->counters().reads_asked, c.way == EmptyFile::kRead ? 1U : 0U);
    EXPECT_EQ(std::filesystem::exists(server.Local("/empty")), c.exists);
  }
}

TEST(Upload, AMissingParentFolderIsAnError) {
  TestServer server;
  RawClient client(server);
  const auto end = client.Upload("/missing/f", "abc");
  EXPECT_EQ(end.status(), UploadStatus::Error);
  EXPECT_EQ(end.error_message(), "parent folder not found");
}

TEST(Upload, APathThatLeavesTheDirectoryIsRefused) {
  TestServer server;
  RawClient client(server);
  for (const char* path : {"/../evil", "/a/../../evil", "/", "", "/.outboxfs-server/x"}) {
    clouddrive::StartRemoteUploadRequest request;
    request.set_file_path(path);
    clouddrive::RemoteUploadStarted reply;
    EXPECT_EQ(client.Call(&Stub::StartRemoteUpload, request, &reply).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT)
        << path;
  }
}

TEST(Upload, AnExistingFileIsTreatedAsTheKnobSays) {
  struct Case {
    Existing existing;
    int status;
    std::string old_name_holds;
    bool second_name;
  };
  for (const Case& c : {Case{Existing::kReplace, UploadStatus::Finish, "new", false},
                        Case{Existing::kNewName, UploadStatus::Finish, "old", true},
                        Case{Existing::kSkip, UploadStatus::Skipped, "old", false},
                        Case{Existing::kError, UploadStatus::Error, "old", false}}) {
    Knobs knobs;
    knobs.existing = c.existing;
    TestServer server(knobs);
    RawClient client(server);
    WriteFile(server.Local("/f.txt"), "old");
    EXPECT_EQ(client.Upload("/f.txt", "new").status(), c.status);
    EXPECT_EQ(ReadWholeFile(server.Local("/f.txt")), c.old_name_holds);
    EXPECT_EQ(std::filesystem::exists(server.Local("/f(1).txt")), c.second_name);
    EXPECT_EQ(client.List("/").size(), c.second_name ? 2U : 1U);
  }
}

TEST(Upload, NothingIsSeenOfAFileBeforeItIsComplete) {
  TestServer server;
  RawClient client(server);
  WriteFile(server.Local("/f"), "old");
  server.Change([](Knobs& k) { k.hold = Phase::kFinishing; });
  const std::string content = Pattern(1000);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  client.Answer(id, content, FirstRead(*channel));
  EXPECT_EQ(ReadWholeFile(server.Local("/f")), "old");
  EXPECT_EQ(client.List("/").size(), 1U);
  server.Change([](Knobs& k) { k.hold = Phase::kNone; });
  EXPECT_TRUE(
      channel->Await([](const auto& events) { return HasStatus(events, UploadStatus::Finish); }));
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
}

TEST(Upload, CanBeHeldBeforeEveryPhase) {
  for (Phase phase : {Phase::kPreprocessing, Phase::kHashing, Phase::kTransferring}) {
    Knobs knobs;
    knobs.hold = phase;
    knobs.hashes = {{2, 0}};
    TestServer server(knobs);
    RawClient client(server);
    const auto channel = client.Open();
    const std::string id = client.Start("/f", 3);
    const auto answer_hash = [&](const auto& /*ask*/) {
      client.SendHash(id, 2, "a9993e364706816aba3e25717850c26c9cd0d89d");
    };
    // What is said before the held phase: one status, and before the transfer the hash request.
    const size_t before = phase == Phase::kTransferring ? 2 : 1;
    ASSERT_TRUE(channel->AwaitCount(before));
    EXPECT_EQ(channel->events().front().status_changed().status(),
              phase == Phase::kPreprocessing ? UploadStatus::WaitforPreprocessing
                                             : UploadStatus::Preprocessing);
    if (phase == Phase::kTransferring) answer_hash(0);
    EXPECT_EQ(server->counters().reads_asked, 0U);
    EXPECT_EQ(server->counters().hashes_asked, phase == Phase::kTransferring ? 1U : 0U);
    EXPECT_EQ(channel->events().size(), before);
    server.Change([](Knobs& k) { k.hold = Phase::kNone; });
    EXPECT_EQ(client.Serve(*channel, id, "abc", answer_hash).status(), UploadStatus::Finish);
  }
}

TEST(Upload, NeverGoesThroughALinkOrReplacesWhatItPointsTo) {
  TestServer server;
  RawClient client(server);
  TempDir outside;
  WriteFile(outside / "f", "old");
  std::filesystem::create_symlink(outside.path(), server.Local("/link"));
  std::filesystem::create_symlink(outside / "f", server.Local("/g"));
  EXPECT_EQ(client.Upload("/link/f", "abc").error_message(), "parent folder not found");
  EXPECT_EQ(client.Upload("/g", "abc").status(), UploadStatus::Finish);
  EXPECT_EQ(ReadWholeFile(outside / "f"), "old");
  EXPECT_EQ(ReadWholeFile(server.Local("/g")), "abc");
}

TEST(Upload, CancelEndsItAndLeavesNothing) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(3 << 20);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  client.Answer(id, content, FirstRead(*channel));
  EXPECT_TRUE(client.SendControl(id, RawClient::Control::kCancel).ok());
  EXPECT_TRUE(channel->Await(
      [](const auto& events) { return HasStatus(events, UploadStatus::Cancelled); }));
  EXPECT_FALSE(std::filesystem::exists(server.Local("/f")));
  EXPECT_EQ(client.SendControl(id, RawClient::Control::kCancel).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST(Upload, PauseStopsItAndResumeAsksAgain) {
  Knobs knobs;
  knobs.reads_in_flight = 1;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(3 << 20);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  const auto first = FirstRead(*channel);
  EXPECT_TRUE(client.SendControl(id, RawClient::Control::kPause).ok());
  EXPECT_TRUE(
      channel->Await([](const auto& events) { return HasStatus(events, UploadStatus::Pause); }));
  client.Answer(id, content, first);
  EXPECT_EQ(server->counters().reads_asked, 1U);
  EXPECT_TRUE(client.SendControl(id, RawClient::Control::kResume).ok());
  EXPECT_TRUE(channel->Await([](const std::vector<Event>& events) {
    return Statuses(events).back() == UploadStatus::Transfer && events.back().has_read_data();
  }));
  const auto rest = channel->events().back().read_data();
  client.Answer(id, content, rest);
  ASSERT_TRUE(channel->Await([](const std::vector<Event>& events) {
    return events.back().has_read_data() && events.back().read_data().offset() == 2 << 20;
  }));
  client.Answer(id, content, channel->events().back().read_data());
  EXPECT_TRUE(
      channel->Await([](const auto& events) { return HasStatus(events, UploadStatus::Finish); }));
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
}

TEST(Upload, AResumedUploadRepeatsItsUnansweredReads) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(1000);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  FirstRead(*channel);
  client.SendControl(id, RawClient::Control::kPause);
  client.SendControl(id, RawClient::Control::kResume);
  EXPECT_TRUE(channel->Await([](const std::vector<Event>& events) {
    return std::count_if(events.begin(), events.end(),
                         [](const Event& e) { return e.has_read_data(); }) == 2;
  }));
}

TEST(Upload, CanBePausedFromOutsideByTheKnob) {
  Knobs knobs;
  knobs.pause_midway = 20ms;
  knobs.reads_in_flight = 1;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(4 << 20);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  EXPECT_EQ(client.Serve(*channel, id, content).status(), UploadStatus::Finish);
  EXPECT_THAT(
      Statuses(channel->events()),
      testing::ElementsAre(UploadStatus::Preprocessing, UploadStatus::Transfer, UploadStatus::Pause,
                           UploadStatus::Transfer, UploadStatus::Finish));
}

TEST(Upload, EndsAsTheOutcomeKnobSays) {
  struct Case {
    Outcome outcome;
    int status;
    bool exists;
  };
  for (const Case& c : {Case{Outcome::kSkipped, UploadStatus::Skipped, true},
                        Case{Outcome::kIgnored, UploadStatus::Ignored, false},
                        Case{Outcome::kError, UploadStatus::Error, false},
                        Case{Outcome::kFatalError, UploadStatus::FatalError, false},
                        Case{Outcome::kCancelled, UploadStatus::Cancelled, false}}) {
    Knobs knobs;
    knobs.outcome = c.outcome;
    knobs.outcome_for = "bad";
    knobs.outcome_text = "why";
    TestServer server(knobs);
    RawClient client(server);
    const auto end = client.Upload("/bad", "abc");
    EXPECT_EQ(end.status(), c.status);
    EXPECT_EQ(end.error_message(), c.exists ? "" : "why");
    EXPECT_EQ(std::filesystem::exists(server.Local("/bad")), c.exists);
    EXPECT_EQ(client.Upload("/good", "abc").status(), UploadStatus::Finish);
  }
}

TEST(Upload, AnErrorCanBeFollowedBySuccess) {
  Knobs knobs;
  knobs.outcome = Outcome::kErrorThenFinish;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", 3);
  client.Answer(id, "abc", FirstRead(*channel));
  EXPECT_TRUE(
      channel->Await([](const auto& events) { return HasStatus(events, UploadStatus::Finish); }));
  EXPECT_THAT(
      Statuses(channel->events()),
      testing::ElementsAre(UploadStatus::Preprocessing, UploadStatus::Transfer, UploadStatus::Error,
                           UploadStatus::Transfer, UploadStatus::Finish));
  EXPECT_EQ(ReadWholeFile(server.Local("/f")), "abc");
}

TEST(Upload, AnUnknownStatusCanBeSentOnTheWay) {
  Knobs knobs;
  knobs.unknown_status = true;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", 3);
  EXPECT_EQ(client.Serve(*channel, id, "abc").status(), UploadStatus::Finish);
  EXPECT_TRUE(HasStatus(channel->events(), 99));
}

TEST(Upload, MoreThanTheKnobAllowsWaitInTheQueue) {
  Knobs knobs;
  knobs.max_running = 1;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string first = client.Start("/first", 3);
  const std::string second = client.Start("/second", 3);
  EXPECT_TRUE(
      channel->Await([](const auto& events) { return HasStatus(events, UploadStatus::Inqueue); }));
  EXPECT_EQ(server->counters().reads_asked, 1U);
  EXPECT_EQ(client.Serve(*channel, first, "abc").status(), UploadStatus::Finish);
  EXPECT_EQ(client.Serve(*channel, second, "xyz").status(), UploadStatus::Finish);
}

TEST(Upload, ALyingServerSaysFinishAndDidSomethingElse) {
  for (Lie lie : {Lie::kNoFile, Lie::kWrongSize, Lie::kWrongBytes, Lie::kUnread}) {
    Knobs knobs;
    knobs.lie = lie;
    TestServer server(knobs);
    RawClient client(server);
    const std::string content = Pattern(1000);
    EXPECT_EQ(client.Upload("/f", content).status(), UploadStatus::Finish);
    const std::string there = ReadWholeFile(server.Local("/f"));
    EXPECT_FALSE(there == content);
    EXPECT_EQ(std::filesystem::exists(server.Local("/f")), lie != Lie::kNoFile);
    const size_t size = lie == Lie::kNoFile ? 0 : lie == Lie::kWrongSize ? 1001 : 1000;
    EXPECT_EQ(there.size(), size);
  }
}

TEST(Upload, HolesStayHoles) {
  TestServer server;
  RawClient client(server);
  std::string content(32 << 20, '\0');
  content[20 << 20] = 'x';
  EXPECT_EQ(client.Upload("/sparse", content).status(), UploadStatus::Finish);
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/sparse")), content));
  struct stat st {};
  ASSERT_EQ(::stat(server.Local("/sparse").c_str(), &st), 0);
  EXPECT_LT(st.st_blocks * 512, 256 << 10);
}

TEST(Upload, ManyAtOnceOverOneChannelDoNotMix) {
  TestServer server;
  RawClient client(server);
  const auto channel = client.Open();
  std::vector<std::jthread> threads;
  for (uint64_t i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const std::string content = Pattern((1 << 20) * (i % 3) + 1000 * i, i);
      const std::string path = "/f" + std::to_string(i);
      const std::string id = client.Start(path, content.size());
      EXPECT_EQ(client.Serve(*channel, id, content).status(), UploadStatus::Finish);
      EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local(path)), content));
    });
  }
}

TEST(Upload, TheListShowsRunningAndEndedUploadsInPages) {
  Knobs knobs;
  knobs.finished_listed = 2;
  TestServer server(knobs);
  RawClient client(server);
  for (int i = 0; i < 3; ++i) client.Upload("/done" + std::to_string(i), "abc");
  const auto channel = client.Open();
  const std::string id = client.Start("/running", 5);
  client.Start("/running2", 5);
  clouddrive::GetUploadFileListRequest request;
  clouddrive::GetUploadFileListResult list;
  // Two of the ended stay; the last one moves there just after its Finish was sent.
  do {
    ASSERT_TRUE(client.Call(&Stub::GetUploadFileList, request, &list).ok());
  } while (list.totalcount() != 4U);
  EXPECT_EQ(list.uploadfiles(0).destpath(), "/done1");
  EXPECT_EQ(list.uploadfiles(1).destpath(), "/done2");
  EXPECT_EQ(list.uploadfiles(1).statusenum(), UploadStatus::Finish);
  EXPECT_EQ(list.uploadfiles(2).key(), id);
  EXPECT_EQ(list.uploadfiles(2).destpath(), "/running");
  EXPECT_EQ(list.uploadfiles(2).operatortype(), UploadStatus::RemoteUpload);
  EXPECT_EQ(list.uploadfiles(2).statusenum(), UploadStatus::Transfer);
  request.set_filter("running");
  request.set_itemsperpage(1);
  request.set_pagenumber(1);
  ASSERT_TRUE(client.Call(&Stub::GetUploadFileList, request, &list).ok());
  EXPECT_EQ(list.totalcount(), 4U);
  EXPECT_EQ(list.totalcountfiltered(), 2U);
  ASSERT_EQ(list.uploadfiles_size(), 1);
  EXPECT_EQ(list.uploadfiles(0).destpath(), "/running2");
  request.Clear();
  request.set_statusfilter(UploadStatus::Finish);
  ASSERT_TRUE(client.Call(&Stub::GetUploadFileList, request, &list).ok());
  EXPECT_EQ(list.uploadfiles_size(), 2);
}

TEST(Upload, CanBeCancelledAndPausedThroughTheList) {
  TestServer server;
  RawClient client(server);
  const auto channel = client.Open();
  clouddrive::MultpleUploadFileKeyRequest keys;
  keys.add_keys(client.Start("/f", 5));
  keys.add_keys("unknown");
  google::protobuf::Empty reply;
  EXPECT_TRUE(client.Call(&Stub::PauseUploadFiles, keys, &reply).ok());
  EXPECT_TRUE(client.Call(&Stub::ResumeUploadFiles, keys, &reply).ok());
  EXPECT_TRUE(client.Call(&Stub::CancelUploadFiles, keys, &reply).ok());
  EXPECT_TRUE(channel->Await([](const std::vector<Event>& events) {
    return HasStatus(events, UploadStatus::Pause) && HasStatus(events, UploadStatus::Cancelled);
  }));
}

}  // namespace
}  // namespace outboxfs::test
