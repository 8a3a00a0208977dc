// The upload channel: headers, replacement, replay, binding, loss.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "raw_client.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using server::Binding;
using server::Knobs;

// The `n`-th read request (from 0) of the upload on this channel; waits for it.
clouddrive::RemoteReadDataRequest NthRead(RawChannel& channel, const std::string& id, size_t n) {
  clouddrive::RemoteReadDataRequest found;
  EXPECT_TRUE(channel.Await([&](const std::vector<Event>& events) {
    size_t count = 0;
    for (const Event& event : events) {
      if (event.upload_id() != id || !event.has_read_data() || count++ != n) continue;
      found = event.read_data();
      return true;
    }
    return false;
  })) << "read "
      << n;
  return found;
}

size_t CountReads(const std::vector<Event>& events) {
  return static_cast<size_t>(std::count_if(events.begin(), events.end(),
                                           [](const Event& e) { return e.has_read_data(); }));
}

TEST(Channel, HeadersComeBeforeAnyMessage) {
  TestServer server;
  RawClient client(server);
  // Waits for the headers; without them this would hang.
  const auto channel = client.Open();
  EXPECT_TRUE(channel->events().empty());
}

TEST(Channel, HeadersCanBeHeldBackUntilTheFirstMessage) {
  Knobs knobs;
  knobs.headers_at_once = false;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open("d", false);
  std::atomic<bool> headers = false;
  std::jthread waiter([&] {
    channel->WaitForHeaders();
    headers = true;
  });
  for (int i = 0; i < 10; ++i) client.List("/");  // plenty of time for headers
  EXPECT_FALSE(headers);
  client.Start("/f", 5);
  waiter.join();
  channel->StartReading();
  EXPECT_TRUE(channel->AwaitCount(1));
}

TEST(Channel, TheSameDeviceReplacesTheOldChannelAndGetsUnansweredReadsAgain) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(3 << 20);
  const auto first = client.Open("dev");
  const std::string id = client.Start("/f", content.size());
  NthRead(*first, id, 2);
  client.Answer(id, content, NthRead(*first, id, 1));
  const auto second = client.Open("dev");
  const grpc::Status end = first->AwaitEnd();
  EXPECT_EQ(end.error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(end.error_message(), "channel replaced");
  // Reads 0 and 2 come again, 1 was answered.
  EXPECT_EQ(NthRead(*second, id, 0).offset(), 0U);
  EXPECT_EQ(NthRead(*second, id, 1).offset(), 2U << 20);
  EXPECT_EQ(client.Serve(*second, id, content).status(), UploadStatus::Finish);
  EXPECT_EQ(CountReads(second->events()), 2U);
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
}

TEST(Channel, UnansweredHashRequestsAreReplayedToo) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  TestServer server(knobs);
  RawClient client(server);
  const auto first = client.Open("dev");
  const std::string id = client.Start("/f", 10);
  const auto has_hash = [](const std::vector<Event>& events) {
    return std::any_of(events.begin(), events.end(),
                       [](const Event& event) { return event.has_hash_data(); });
  };
  ASSERT_TRUE(first->Await(has_hash));
  const auto second = client.Open("dev");
  EXPECT_TRUE(second->Await(has_hash));
}

TEST(Channel, ReplacementCanEndInOtherWays) {
  for (auto [end, code] : {std::pair{server::ChannelEnd::kCancelled, grpc::StatusCode::CANCELLED},
                           std::pair{server::ChannelEnd::kOk, grpc::StatusCode::OK}}) {
    Knobs knobs;
    knobs.replaced_end = end;
    TestServer server(knobs);
    RawClient client(server);
    const auto first = client.Open("dev");
    const auto second = client.Open("dev");
    EXPECT_EQ(first->AwaitEnd().error_code(), code);
  }
}

TEST(Channel, WithoutReplayNothingComesAgain) {
  Knobs knobs;
  knobs.replay = false;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(1 << 20);
  auto first = client.Open("dev");
  const std::string id = client.Start("/f", content.size());
  const auto ask = NthRead(*first, id, 0);
  const auto second = client.Open("dev");
  first->AwaitEnd();
  client.Answer(id, content, ask);
  EXPECT_EQ(client.Serve(*second, id, content).status(), UploadStatus::Finish);
  EXPECT_EQ(CountReads(second->events()), 0U);
}

TEST(Channel, AnUploadWithoutAChannelWaitsForTheFirstOneToOpen) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(1000);
  const std::string id = client.Start("/f", content.size());
  const auto channel = client.Open("late");
  EXPECT_EQ(client.Serve(*channel, id, content).status(), UploadStatus::Finish);
}

TEST(Channel, StrictBindingRefusesAStartWithoutAChannel) {
  Knobs knobs;
  knobs.binding = Binding::kStrict;
  TestServer server(knobs);
  RawClient client(server);
  clouddrive::StartRemoteUploadRequest request;
  request.set_file_path("/f");
  clouddrive::RemoteUploadStarted reply;
  const auto start = &clouddrive::CloudDriveFileSrv::Stub::StartRemoteUpload;
  EXPECT_EQ(client.Call(start, request, &reply).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  const auto channel = client.Open();
  EXPECT_TRUE(client.Call(start, request, &reply).ok());
}

TEST(Channel, AnUploadIsBoundToTheNewestChannelAtItsStart) {
  TestServer server;
  RawClient client(server);
  const auto older = client.Open("one");
  const auto newer = client.Open("two");
  const std::string content = Pattern(2000);
  const std::string id = client.Start("/f", content.size());
  EXPECT_EQ(client.Serve(*newer, id, content).status(), UploadStatus::Finish);
  EXPECT_TRUE(older->events().empty());
}

TEST(Channel, BroadcastTellsEveryChannel) {
  Knobs knobs;
  knobs.binding = Binding::kBroadcast;
  TestServer server(knobs);
  RawClient client(server);
  const auto one = client.Open("one");
  const auto two = client.Open("two");
  const std::string content = Pattern(2000);
  const std::string id = client.Start("/f", content.size());
  EXPECT_EQ(client.Serve(*two, id, content).status(), UploadStatus::Finish);
  EXPECT_TRUE(one->Await([](const auto& events) {
    return !events.empty() && RawClient::IsTerminal(events.back().status_changed());
  }));
  EXPECT_EQ(one->events().size(), two->events().size());
}

TEST(Channel, ADisconnectFailsNothingTheUploadWaitsForItsDevice) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(2 << 20);
  auto first = client.Open("dev");
  const std::string id = client.Start("/f", content.size());
  NthRead(*first, id, 0);
  first->Cancel();
  const auto other = client.Open("other device");
  const auto second = client.Open("dev");
  EXPECT_EQ(client.Serve(*second, id, content).status(), UploadStatus::Finish);
  EXPECT_EQ(CountReads(other->events()), 0U);
}

TEST(Channel, ATerminalStatusWithoutAChannelIsLost) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(1000);
  auto first = client.Open("dev");
  const std::string id = client.Start("/f", content.size());
  const auto ask = NthRead(*first, id, 0);
  server->DropChannels();
  EXPECT_EQ(first->AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  client.Answer(id, content, ask);
  // The upload list shows the end without a channel.
  clouddrive::GetUploadFileListResult list;
  do {
    ASSERT_TRUE(
        client.Call(&clouddrive::CloudDriveFileSrv::Stub::GetUploadFileList, {}, &list).ok());
  } while (list.uploadfiles(0).statusenum() != UploadStatus::Finish);
  const auto second = client.Open("dev");
  EXPECT_EQ(client.Upload("/other", "x").status(), UploadStatus::Finish);  // time passes
  EXPECT_TRUE(second->events().empty());
}

TEST(Channel, ATerminalStatusWithoutAChannelCanBeReplayed) {
  Knobs knobs;
  knobs.replay_terminal = true;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(1000);
  auto first = client.Open("dev");
  const std::string id = client.Start("/f", content.size());
  const auto ask = NthRead(*first, id, 0);
  server->DropChannels();
  first->AwaitEnd();
  client.Answer(id, content, ask);
  while (server->counters().uploads_finished == 0) std::this_thread::yield();
  const auto second = client.Open("dev");
  ASSERT_TRUE(second->AwaitCount(1));
  EXPECT_EQ(second->events()[0].status_changed().status(), UploadStatus::Finish);
}

TEST(Channel, CanBreakAfterEveryNthMessage) {
  Knobs knobs;
  knobs.drop_channel_every = 3;
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(5 << 20);
  auto channel = client.Open("dev");
  const std::string id = client.Start("/f", content.size());
  for (int answered = 0; answered < 5; ++answered) {
    if (answered < 3) {  // afterwards fewer than three reads are left to be sent again
      EXPECT_EQ(channel->AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
      EXPECT_EQ(channel->events().size(), 3U);
    }
    client.Answer(id, content, NthRead(*channel, id, 0));
    channel = client.Open("dev");
  }
  while (server->counters().uploads_finished == 0) std::this_thread::yield();
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
}

TEST(Channel, MessagesCanComeBeforeTheAnswerOfTheStart) {
  Knobs knobs;
  knobs.start_delay = 1h;  // ends when the server stops
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  std::atomic<bool> answered = false;
  std::jthread starter([&] {
    clouddrive::StartRemoteUploadRequest request;
    request.set_file_path("/f");
    request.set_file_size(5);
    clouddrive::RemoteUploadStarted reply;
    client.Call(&clouddrive::CloudDriveFileSrv::Stub::StartRemoteUpload, request, &reply);
    answered = true;
  });
  EXPECT_TRUE(channel->AwaitCount(2));
  EXPECT_FALSE(answered);
  server->Stop();
}

TEST(Channel, MessagesCanBeHeldBackUntilTheStartIsAnswered) {
  Knobs knobs;
  knobs.events_before_start = false;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string content = Pattern(100);
  const std::string id = client.Start("/f", content.size());
  EXPECT_EQ(client.Serve(*channel, id, content).status(), UploadStatus::Finish);
}

}  // namespace
}  // namespace outboxfs::test
