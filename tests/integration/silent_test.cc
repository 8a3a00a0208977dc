// A server whose machine still holds the connection, but which never answers: a process that stands
// still.
#include <gtest/gtest.h>

#include <cerrno>
#include <chrono>
#include <future>

#include "clouddrive.grpc.pb.h"
#include "remote/connection.h"
#include "support/program.h"
#include "support/served_dir.h"

namespace outboxfs {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ServedDir;

class SilentTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(served_.ok()) << served_.output();
    const std::string address = served_.host_and_port();
    const size_t colon = address.rfind(':');
    options_.endpoint = {address.substr(0, colon), std::stoi(address.substr(colon + 1)), false};
    options_.credentials.token = test::ReadWholeFile(served_.token_file());
    while (options_.credentials.token.ends_with('\n')) options_.credentials.token.pop_back();
    options_.keep_alive = {milliseconds(500), milliseconds(500)};
  }
  void TearDown() override { GoOn(); }
  void GoOn() const { ::kill(served_.pid(), SIGCONT); }

  ServedDir served_;
  remote::ConnectOptions options_;
};

TEST_F(SilentTest, ACallEndsAtItsDeadlineAndTheNextOneWorks) {
  options_.keep_alive = {};
  const auto connection = remote::Connection::Open(options_).value();
  const auto stub = clouddrive::CloudDriveFileSrv::NewStub(connection->channel());
  const auto ask = [&](bool repeat) {
    return connection->Call({"GetSystemInfo", seconds(1), repeat, true}, {},
                            [&](grpc::ClientContext& context) {
                              clouddrive::CloudDriveSystemInfo reply;
                              return stub->GetSystemInfo(&context, {}, &reply);
                            });
  };
  ASSERT_TRUE(ask(false));
  ASSERT_TRUE(test::Freeze(served_.pid()));
  for (const bool repeat : {false, true}) {
    const auto asked = std::chrono::steady_clock::now();
    const Status answer = ask(repeat);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().code, ETIMEDOUT) << answer.error().text;
    EXPECT_GE(std::chrono::steady_clock::now() - asked, milliseconds(900));
  }
  GoOn();
  EXPECT_TRUE(test::Eventually([&] { return ask(true).has_value(); }));
}

TEST_F(SilentTest, AStreamEndsWhenTheConnectionIsNotKeptAlive) {
  const auto remote = remote::Remote::Connect(options_).value();
  const auto stream = remote->names().OpenPush({}).value();
  auto next = std::async(std::launch::async, [&] { return stream->Next(); });
  ASSERT_TRUE(test::Freeze(served_.pid()));
  const bool ended = next.wait_for(seconds(20)) == std::future_status::ready;
  if (!ended) stream->Cancel();
  const auto change = next.get();
  EXPECT_TRUE(ended) << "only because it was cancelled";
  EXPECT_FALSE(change);
}

}  // namespace
}  // namespace outboxfs
