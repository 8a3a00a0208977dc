// Connection, GrpcUploadApi and GrpcNamespaceApi against a scripted server.
#include <gtest/gtest.h>

#include <cerrno>
#include <future>

#include "common/log.h"
#include "remote/connection.h"
#include "remote/remote.h"
#include "remote/stream.h"
#include "scripted_server.h"

namespace outboxfs::remote {
namespace {

const grpc::Status kUnavailable(grpc::UNAVAILABLE, "restarting");

class CallsTest : public testing::Test {
 protected:
  std::unique_ptr<Remote> Connect(const ConnectOptions& options) {
    return Remote::Connect(options).value();
  }

  ScriptedServer server_;
  std::unique_ptr<Remote> remote_ = Connect(server_.Options());
  UploadApi& uploads_ = remote_->uploads();
  NamespaceApi& names_ = remote_->names();
};

TEST_F(CallsTest, EveryCallCarriesTheToken) {
  ASSERT_TRUE(names_.Find("/x", {}));
  EXPECT_EQ(server_.LastAuthorization(), "Bearer api-token");
  EXPECT_EQ(Scrub("it is api-token"), "it is ***");
}

TEST_F(CallsTest, ReadsAreRepeatedWhenTheServerIsAwayForAMoment) {
  server_.FailNext("FindFileByPath", kUnavailable, 2);
  EXPECT_TRUE(names_.Find("/x", {}));
  EXPECT_EQ(server_.Count("FindFileByPath"), 3);
  server_.FailNext("FindFileByPath", {grpc::DEADLINE_EXCEEDED, ""});
  EXPECT_TRUE(names_.Find("/y", {}));
  EXPECT_EQ(server_.Count("FindFileByPath"), 5);
}

TEST_F(CallsTest, ReadsAreNotRepeatedForEver) {
  server_.FailNext("FindFileByPath", kUnavailable, 100);
  Result<Entry> entry = names_.Find("/x", {});
  ASSERT_FALSE(entry);
  EXPECT_EQ(entry.error().code, EIO);
  EXPECT_EQ(entry.error().text, "FindFileByPath: unavailable: restarting");
  EXPECT_LE(server_.Count("FindFileByPath"), 5);
}

TEST_F(CallsTest, ChangesAreNeverRepeated) {
  server_.FailNext("CreateFolder", kUnavailable);
  EXPECT_EQ(names_.MakeDir("/a", "b", {}).error().code, EIO);
  EXPECT_EQ(server_.Count("CreateFolder"), 1);
  server_.FailNext("StartRemoteUpload", {grpc::DEADLINE_EXCEEDED, ""});
  EXPECT_EQ(uploads_.Start({"/a/b", 1, {}}, {}).error().code, ETIMEDOUT);
  EXPECT_EQ(server_.Count("StartRemoteUpload"), 1);
}

TEST_F(CallsTest, OtherFailuresOfReadsAreNotRepeated) {
  server_.FailNext("FindFileByPath", {grpc::NOT_FOUND, ""});
  EXPECT_EQ(names_.Find("/x", {}).error().code, ENOENT);
  EXPECT_EQ(server_.Count("FindFileByPath"), 1);
}

TEST_F(CallsTest, TheSecondLevelOfFailureIsAnErrorToo) {
  EXPECT_TRUE(names_.MakeDir("/a", "b", {}));
  EXPECT_EQ(names_.MakeDir("/a", "there", {}).error().code, EEXIST);
}

TEST_F(CallsTest, NamesThatCannotBeSentAreRefusedHere) {
  EXPECT_EQ(names_.MakeDir("/a", "x/y", {}).error().code, EINVAL);
  EXPECT_EQ(names_.MakeDir("/a", "\xff", {}).error().code, EILSEQ);
  EXPECT_EQ(names_.Rename("relative", "x", {}).error().code, EINVAL);
  EXPECT_EQ(uploads_.Start({"/a/\xff", 1, {}}, {}).error().code, EILSEQ);
  EXPECT_EQ(server_.Count("CreateFolder"), 0);
}

TEST_F(CallsTest, AStopTokenEndsABlockedCall) {
  server_.Close();
  std::stop_source stop;
  auto call = std::async(std::launch::async, [&] {
    return uploads_.Start({"/a", 1, {}}, stop.get_token());
  });
  ASSERT_TRUE(server_.AwaitCount("StartRemoteUpload", 1));
  stop.request_stop();
  EXPECT_EQ(call.get().error().code, ECANCELED);
  EXPECT_EQ(names_.Find("/x", stop.get_token()).error().code, ECANCELED);
}

TEST_F(CallsTest, ACancelledReadAnswerLeavesItsBufferAlone) {
  server_.Close();
  std::stop_source stop;
  auto call = std::async(std::launch::async, [&] {
    const std::vector<std::byte> data(1 << 20);
    ReadAnswer answer;
    answer.upload_id = "u";
    answer.data = data;
    return uploads_.AnswerRead(answer, stop.get_token());
  });  // the buffer is gone when this returns; ASan watches
  ASSERT_TRUE(server_.AwaitCount("RemoteReadData", 1));
  stop.request_stop();
  EXPECT_EQ(call.get().error().code, ECANCELED);
}

TEST_F(CallsTest, AReadAnswerArrivesAsItWasSent) {
  const std::string data = "bytes";
  ReadAnswer answer{"u", 70'000, true, true, std::as_bytes(std::span(data))};
  ASSERT_TRUE(uploads_.AnswerRead(answer, {}));
  const auto seen = server_.last_read();
  EXPECT_EQ(seen.upload_id(), "u");
  EXPECT_EQ(seen.offset(), 70'000U);
  EXPECT_EQ(seen.length(), 5U);
  EXPECT_TRUE(seen.lazy_read());
  EXPECT_TRUE(seen.is_last_chunk());
  EXPECT_EQ(seen.data(), data);
  answer.upload_id = "unknown";
  EXPECT_EQ(uploads_.AnswerRead(answer, {}).error().code, ENOENT);
}

clouddrive::SubFilesReply Batch(const std::vector<std::string>& names) {
  clouddrive::SubFilesReply batch;
  for (const std::string& name : names) batch.add_subfiles()->set_name(name);
  return batch;
}

TEST_F(CallsTest, AListingIsPutTogetherAndLosesItsImpossibleNames) {
  server_.SetFiles({Batch({"b", "..", "a"}), Batch({std::string("x\0y", 3), "c/d", "e"})});
  std::vector<std::string> names;
  Result<DirContent> content = names_.List("/d", true, {});
  ASSERT_TRUE(content);
  for (const Entry& entry : content->entries) names.push_back(entry.name);
  EXPECT_EQ(content->refused, 3U);
  EXPECT_EQ(names, (std::vector<std::string>{"b", "a", "e"}));
}

TEST_F(CallsTest, AListingThatBreaksInTheMiddleBeginsAgain) {
  server_.SetFiles({Batch({"a"}), Batch({"b"})});
  server_.FailNext("GetSubFiles", kUnavailable);
  EXPECT_EQ(names_.List("/d", false, {}).value().entries.size(), 2U);
}

clouddrive::GetUploadFileListResult Page(int first, int count) {
  clouddrive::GetUploadFileListResult page;
  for (int i = first; i < first + count; ++i) {
    auto* info = page.add_uploadfiles();
    info->set_key("k" + std::to_string(i));
    info->set_destpath("/d/" + std::to_string(i));
    info->set_operatortype(i == 1 ? clouddrive::UploadFileInfo::Mount
                                  : clouddrive::UploadFileInfo::RemoteUpload);
    info->set_statusenum(clouddrive::UploadFileInfo::Transfer);
  }
  return page;
}

TEST_F(CallsTest, TheUploadListIsPagedThrough) {
  server_.SetUploadPages({Page(0, 100), Page(90, 100), Page(190, 5)});
  auto uploads = uploads_.ListUploads({});
  ASSERT_TRUE(uploads);
  EXPECT_EQ(uploads->size(), 194U) << "every key once, and only remote uploads";
  EXPECT_EQ(uploads->front().path, "/d/0");
  EXPECT_EQ(uploads->front().status, UploadStatus::kTransfer);
}

TEST_F(CallsTest, AServerThatRepeatsItsPageForEverIsLeft) {
  server_.SetUploadPages(std::vector<clouddrive::GetUploadFileListResult>(50, Page(0, 100)));
  EXPECT_EQ(uploads_.ListUploads({})->size(), 99U);
  EXPECT_EQ(server_.Count("GetUploadFileList"), 2);
}

TEST_F(CallsTest, PasswordsAreTurnedIntoTokensAndRenewedOnce) {
  server_.Demand("jwt-1");
  ConnectOptions options = server_.Options();
  options.credentials = {"", "me", "right"};
  auto remote = Connect(options);
  EXPECT_TRUE(remote->names().Find("/x", {}));
  EXPECT_EQ(server_.LastAuthorization(), "Bearer jwt-1");
  EXPECT_EQ(server_.Count("GetToken"), 1);
  EXPECT_EQ(Scrub("right jwt-1"), "*** ***");
  // Even for a change: it was refused before anything was done.
  server_.Demand("jwt-2");
  EXPECT_TRUE(remote->names().MakeDir("/a", "b", {}));
  EXPECT_EQ(server_.Count("GetToken"), 2);
  // But not again and again.
  server_.Demand("jwt-3");
  EXPECT_EQ(remote->names().Find("/x", {}).error().code, EACCES);
  EXPECT_EQ(server_.Count("GetToken"), 2);
}

TEST_F(CallsTest, AWrongPasswordStopsEverythingAndIsNotTriedAgain) {
  ConnectOptions options = server_.Options();
  options.credentials = {"", "me", "wrong one"};
  auto remote = Connect(options);
  for (int i = 0; i < 3; ++i) {
    Status made = remote->names().MakeDir("/a", "b", {});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, EACCES);
    EXPECT_EQ(made.error().retry, Retry::kPauseAll);
    EXPECT_EQ(made.error().text, "CreateFolder: GetToken: wrong password");
  }
  EXPECT_EQ(server_.Count("GetToken"), 1);
}

TEST_F(CallsTest, AnUnreachableServerIsAnErrorSoon) {
  ConnectOptions options = server_.Options();
  options.endpoint.port = 1;
  auto remote = Connect(options);
  EXPECT_EQ(remote->names().Delete("/x", {}).error().code, EIO);
  auto channel = remote->uploads().OpenChannel("d", {});
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, EIO);
}

TEST_F(CallsTest, UnusableOptionsAreRefusedAtOnce) {
  ConnectOptions options = server_.Options();
  options.endpoint.host = "";
  EXPECT_EQ(Remote::Connect(options).error().code, EINVAL);
  options = server_.Options();
  options.endpoint.tls = true;
  options.ca_file = "/nowhere/ca.pem";
  EXPECT_EQ(Remote::Connect(options).error().code, ENOENT);
  options.ca_file = "/proc/self/status";
  EXPECT_EQ(Remote::Connect(options).error().code, EINVAL);
}

TEST_F(CallsTest, TheChannelIsOpenWhenTheHeadersAreThere) {
  auto channel = uploads_.OpenChannel("device", {});
  ASSERT_TRUE(channel);
  EXPECT_EQ(server_.Count("RemoteUploadChannel"), 1);
}

TEST_F(CallsTest, TheChannelGivesItsEventsAndThenTheServersWords) {
  clouddrive::RemoteUploadChannelReply reply;
  reply.set_upload_id("u");
  reply.mutable_read_data()->set_length(5);
  server_.SetChannelReply(reply);
  auto channel = uploads_.OpenChannel("device", {});
  ASSERT_TRUE(channel);
  EXPECT_EQ((*channel)->Next()->upload_id, "u");
  server_.EndChannel({grpc::ABORTED, "channel replaced"});
  for (int i = 0; i < 2; ++i) {
    Result<ChannelEvent> end = (*channel)->Next();
    ASSERT_FALSE(end);
    EXPECT_EQ(end.error().code, EPIPE);
    EXPECT_NE(end.error().text.find("channel replaced"), std::string::npos);
  }
}

TEST_F(CallsTest, AChannelThatIsRefusedIsNotOpen) {
  server_.FailNext("RemoteUploadChannel", {grpc::PERMISSION_DENIED, "invalid user plan"});
  auto channel = uploads_.OpenChannel("device", {});
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, EACCES);
  EXPECT_EQ(channel.error().retry, Retry::kPauseAll);
}

TEST_F(CallsTest, AChannelThatEndsAtOnceIsNotOpen) {
  server_.EndChannel(grpc::Status::OK);
  auto channel = uploads_.OpenChannel("device", {});
  ASSERT_FALSE(channel);
  EXPECT_EQ(channel.error().code, EPIPE);
}

TEST_F(CallsTest, AServerThatHoldsTheHeadersBackIsTakenAsItIs) {
  clouddrive::RemoteUploadChannelReply reply;
  reply.set_upload_id("late");
  server_.SetChannelReply(reply);
  server_.HoldHeadersBack();
  server_.Close();
  auto connection = Connection::Open(server_.Options());
  ASSERT_TRUE(connection);
  auto stub = clouddrive::CloudDriveFileSrv::NewStub((*connection)->channel());
  const CallKind kind{"RemoteUploadChannel", std::chrono::seconds(1)};
  auto opened = OpenStream<clouddrive::RemoteUploadChannelReply>(
      **connection, kind, {}, [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return stub->PrepareAsyncRemoteUploadChannel(context, {}, queue);
      });
  ASSERT_TRUE(opened);
  server_.Open();
  clouddrive::RemoteUploadChannelReply got;
  ASSERT_TRUE((*opened)->Next(got));
  EXPECT_EQ(got.upload_id(), "late");
}

TEST_F(CallsTest, AnotherThreadCanCancelTheChannel) {
  auto channel = uploads_.OpenChannel("device", {});
  ASSERT_TRUE(channel);
  auto next = std::async(std::launch::async, [&] { return (*channel)->Next(); });
  (*channel)->Cancel();
  EXPECT_EQ(next.get().error().code, ECANCELED);
}

TEST_F(CallsTest, OpeningTheChannelEndsWithTheStopToken) {
  server_.Close();
  std::stop_source stop;
  auto open = std::async(std::launch::async,
                         [&] { return uploads_.OpenChannel("device", stop.get_token()); });
  ASSERT_TRUE(server_.AwaitCount("RemoteUploadChannel", 1));
  stop.request_stop();
  EXPECT_EQ(open.get().error().code, ECANCELED);
}

}  // namespace
}  // namespace outboxfs::remote
