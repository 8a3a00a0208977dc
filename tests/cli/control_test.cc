// The control socket: messages, server and client against each other.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <future>

#include "cli/control_client.h"
#include "cli/control_server.h"
#include "support/temp_dir.h"

namespace outboxfs::cli {
namespace {

using std::chrono::nanoseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

ControlReply Echo(const ControlRequest& request, const std::stop_token&) {
  ControlReply reply;
  reply.body = Encode(request);
  return reply;
}

TEST(ControlMessages, ARequestSurvivesTheWay) {
  const ControlRequest request{.command = ControlCommand::kUnmount,
                               .format = StatusFormat::kJson,
                               .limit = 7,
                               .paths = {"/a b", "/中"},
                               .accept = true,
                               .drain_timeout = nanoseconds(5)};
  const Result<ControlRequest> decoded = DecodeRequest(Encode(request));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->command, ControlCommand::kUnmount);
  EXPECT_EQ(decoded->format, StatusFormat::kJson);
  EXPECT_EQ(decoded->limit, 7U);
  EXPECT_THAT(decoded->paths, ElementsAre("/a b", "/中"));
  EXPECT_TRUE(decoded->accept);
  EXPECT_EQ(decoded->drain_timeout, nanoseconds(5));
}

TEST(ControlMessages, AReplySurvivesTheWay) {
  ControlReply reply;
  reply.body = "two\nlines \xff";  // not UTF-8: replaced, not refused
  reply.count = 3;
  reply.summary = {.items_pending = 1, .bytes_pending = 10, .bytes_done = 4, .items_stuck = 1};
  reply.summary.stuck = {{.path = "/x", .state = "parked", .note = "quota"}};
  reply.summary.waiting = {{.path = "/y", .state = "queued"}};
  const Result<ControlReply> decoded = DecodeReply(Encode(reply));
  ASSERT_TRUE(decoded);
  EXPECT_THAT(decoded->body, HasSubstr("two\nlines "));
  EXPECT_EQ(decoded->count, 3U);
  EXPECT_EQ(decoded->summary.bytes_done, 4U);
  ASSERT_EQ(decoded->summary.stuck.size(), 1U);
  EXPECT_EQ(decoded->summary.stuck[0].note, "quota");
  ASSERT_EQ(decoded->summary.waiting.size(), 1U);
  EXPECT_EQ(decoded->summary.waiting[0].path, "/y");
}

TEST(ControlMessages, NonsenseIsRefused) {
  for (const char* line :
       {"", "{", "[]", "1", "{}", R"({"command":"fly"})", R"({"command":1})",
        R"({"command":"status","format":"pdf"})", R"({"command":"retry","paths":"x"})",
        R"({"command":"retry","paths":[1]})", R"({"command":"retry","accept":1})",
        R"({"command":"unmount","drain_timeout_ns":"soon"})",
        R"({"command":"unmount","drain_timeout_ns":-1})"}) {
    EXPECT_EQ(DecodeRequest(line).error().code, EPROTO) << line;
  }
  EXPECT_FALSE(DecodeReply("nonsense"));
}

class ControlServerTest : public ::testing::Test {
 protected:
  std::unique_ptr<ControlServer> Start(ControlServer::Handler handler) {
    Result<std::unique_ptr<ControlServer>> server = ControlServer::Start(socket_, handler);
    EXPECT_TRUE(server) << server.error().text;
    return server ? std::move(*server) : nullptr;
  }

  test::TempDir dir_;
  const std::string socket_ = dir_ / "x.sock";
};

TEST_F(ControlServerTest, AnswersSeveralRequestsOverOneConnection) {
  const auto server = Start(Echo);
  Result<ControlClient> client = ControlClient::Connect(socket_);
  ASSERT_TRUE(client);
  EXPECT_EQ(client->pid(), ::getpid());
  for (const char* path : {"/one", "/two"}) {
    const Result<ControlReply> reply =
        client->Ask({.command = ControlCommand::kRetry, .paths = {path}});
    ASSERT_TRUE(reply) << reply.error().text;
    EXPECT_THAT(reply->body, HasSubstr(path));
  }
}

TEST_F(ControlServerTest, TheSocketIsForItsOwnerOnlyAndGoesWithTheServer) {
  {
    const auto server = Start(Echo);
    struct stat info {};
    ASSERT_EQ(::stat(socket_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
  }
  EXPECT_NE(::access(socket_.c_str(), F_OK), 0);
  EXPECT_EQ(ControlClient::Connect(socket_).error().code, ENOENT);
}

TEST_F(ControlServerTest, ASecondServerIsRefusedWhileTheFirstLives) {
  const auto server = Start(Echo);
  EXPECT_EQ(ControlServer::Start(socket_, Echo).error().code, EADDRINUSE);
  EXPECT_TRUE(ControlClient::Connect(socket_)) << "and does not disturb it";
}

TEST_F(ControlServerTest, ASocketThatADeadServerLeftIsReplaced) {
  {
    const Result<FileDescriptor> dead = ListenAt(socket_);
    ASSERT_TRUE(dead);
  }  // closed without removing the file, as after a kill
  ASSERT_EQ(::access(socket_.c_str(), F_OK), 0);
  const auto server = Start(Echo);
  EXPECT_TRUE(ControlClient::Connect(socket_));
}

TEST_F(ControlServerTest, NonsenseGetsAnErrorAndEndlessLinesTheDoor) {
  const auto server = Start(Echo);
  const Result<FileDescriptor> raw = ConnectTo(socket_);
  ASSERT_TRUE(raw);
  ASSERT_TRUE(WriteLine(raw->get(), "what?"));
  LineReader reader(raw->get(), kMaxReply);
  const Result<std::string> answer = reader.Next();
  ASSERT_TRUE(answer);
  EXPECT_THAT(*answer, HasSubstr("not a JSON object"));
  // The server stops reading beyond its limit, so the write or the next read fails.
  const Status written = WriteLine(raw->get(), std::string(4 * kMaxRequest, 'x'));
  EXPECT_FALSE(written && reader.Next());
}

TEST_F(ControlServerTest, ManyConnectionsAreLimitedNotFatal) {
  const auto server = Start(Echo);
  std::vector<ControlClient> clients;
  for (size_t i = 0; i < ControlServer::kMaxConnections; ++i) {
    Result<ControlClient> client = ControlClient::Connect(socket_);
    ASSERT_TRUE(client);
    ASSERT_TRUE(client->Ask({.command = ControlCommand::kStatus}));
    clients.push_back(std::move(*client));
  }
  Result<ControlClient> one_too_many = ControlClient::Connect(socket_);
  ASSERT_TRUE(one_too_many);
  EXPECT_FALSE(one_too_many->Ask({.command = ControlCommand::kStatus}));
  EXPECT_TRUE(clients.front().Ask({.command = ControlCommand::kStatus}));
}

TEST_F(ControlServerTest, AReplyUnderWayIsWrittenBeforeTheServerEnds) {
  std::promise<void> begun;
  auto server = Start([&](const ControlRequest&, const std::stop_token& stop) {
    std::promise<void> stopped;
    const std::stop_callback on_stop(stop, [&] { stopped.set_value(); });
    begun.set_value();
    stopped.get_future().wait();
    return ControlReply{.body = "last words"};
  });
  Result<ControlClient> client = ControlClient::Connect(socket_);
  ASSERT_TRUE(client);
  std::future<Result<ControlReply>> reply = std::async(
      std::launch::async, [&] { return client->Ask({.command = ControlCommand::kUnmount}); });
  begun.get_future().wait();
  server.reset();
  const Result<ControlReply> got = reply.get();
  ASSERT_TRUE(got) << got.error().text;
  EXPECT_EQ(got->body, "last words");
}

}  // namespace
}  // namespace outboxfs::cli
