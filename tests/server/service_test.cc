// The server as a whole: tokens, permissions, injected faults, push messages, restarts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "raw_client.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using server::FailWhen;
using server::Knobs;
using server::Phase;
using Stub = clouddrive::CloudDriveFileSrv::Stub;
using google::protobuf::Empty;

// Calls every RPC once and returns what each answered.
std::map<std::string, grpc::Status> CallAll(RawClient& client) {
  std::map<std::string, grpc::Status> answers;
  const auto call = [&](const std::string& name, auto rpc, auto request, auto reply) {
    answers[name] = client.Call(rpc, request, &reply);
  };
  using namespace clouddrive;
  call("GetSystemInfo", &Stub::GetSystemInfo, Empty(), CloudDriveSystemInfo());
  call("GetToken", &Stub::GetToken, GetTokenRequest(), JWTToken());
  call("GetApiTokenInfo", &Stub::GetApiTokenInfo, StringValue(), TokenInfo());
  call("GetRuntimeInfo", &Stub::GetRuntimeInfo, Empty(), RuntimeInfo());
  call("FindFileByPath", &Stub::FindFileByPath, FindFileByPathRequest(), CloudDriveFile());
  call("CreateFolder", &Stub::CreateFolder, CreateFolderRequest(), CreateFolderResult());
  call("RenameFile", &Stub::RenameFile, RenameFileRequest(), FileOperationResult());
  call("RenameFiles", &Stub::RenameFiles, RenameFilesRequest(), FileOperationResult());
  call("MoveFile", &Stub::MoveFile, MoveFileRequest(), FileOperationResult());
  call("DeleteFile", &Stub::DeleteFile, FileRequest(), FileOperationResult());
  call("DeleteFiles", &Stub::DeleteFiles, MultiFileRequest(), FileOperationResult());
  call("GetSpaceInfo", &Stub::GetSpaceInfo, FileRequest(), SpaceInfo());
  call("GetDownloadUrlPath", &Stub::GetDownloadUrlPath, GetDownloadUrlPathRequest(),
       DownloadUrlPathInfo());
  call("GetUploadFileList", &Stub::GetUploadFileList, GetUploadFileListRequest(),
       GetUploadFileListResult());
  const MultpleUploadFileKeyRequest keys;
  call("CancelUploadFiles", &Stub::CancelUploadFiles, keys, Empty());
  call("PauseUploadFiles", &Stub::PauseUploadFiles, keys, Empty());
  call("ResumeUploadFiles", &Stub::ResumeUploadFiles, keys, Empty());
  call("StartRemoteUpload", &Stub::StartRemoteUpload, StartRemoteUploadRequest(),
       RemoteUploadStarted());
  call("RemoteReadData", &Stub::RemoteReadData, RemoteReadDataUpload(), RemoteReadDataReply());
  call("RemoteHashProgress", &Stub::RemoteHashProgress, RemoteHashProgressUpload(),
       RemoteHashProgressReply());
  call("RemoteUploadControl", &Stub::RemoteUploadControl, RemoteUploadControlRequest(), Empty());
  client.List("/");
  answers["GetSubFiles"] = client.list_status();
  return answers;
}

// The status of a stream call that is refused.
grpc::Status OpenPush(RawClient& client) {
  const auto context = client.Context();
  const auto reader = client.stub()->PushMessage(context.get(), Empty());
  clouddrive::CloudDrivePushMessage message;
  while (reader->Read(&message)) {
  }
  return reader->Finish();
}

clouddrive::JWTToken Login(RawClient& client, const std::string& password) {
  clouddrive::GetTokenRequest request;
  request.set_username(TestServer::kUser);
  request.set_password(password);
  clouddrive::JWTToken reply;
  EXPECT_TRUE(client.Call(&Stub::GetToken, request, &reply).ok());
  return reply;
}

TEST(Tokens, EveryCallButThePublicOnesNeedsOne) {
  TestServer server;
  for (const std::string& token : {std::string(), std::string("wrong")}) {
    RawClient client(server, token);
    for (const auto& [rpc, status] : CallAll(client)) {
      const bool open = rpc == "GetSystemInfo" || rpc == "GetToken" || rpc == "GetApiTokenInfo";
      EXPECT_EQ(status.error_code() == grpc::StatusCode::UNAUTHENTICATED, !open) << rpc;
    }
    EXPECT_EQ(OpenPush(client).error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(client.Open()->AwaitEnd().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  }
}

TEST(Tokens, ALoginMakesOneThatExpires) {
  TestServer server;
  RawClient anonymous(server, "");
  const auto refused = Login(anonymous, "wrong");
  EXPECT_FALSE(refused.success());
  EXPECT_FALSE(refused.errormessage().empty());
  const auto login = Login(anonymous, TestServer::kPassword);
  ASSERT_TRUE(login.success());
  EXPECT_GT(login.expiration().seconds(), std::time(nullptr) + 3600);
  RawClient client(server, login.token());
  client.List("/");
  EXPECT_TRUE(client.list_status().ok());
  server.Change([](Knobs& k) { k.token_lifetime = 0ms; });
  RawClient late(server, Login(anonymous, TestServer::kPassword).token());
  late.List("/");
  EXPECT_EQ(late.list_status().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  server->RevokeLogins();
  client.List("/");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST(Tokens, StayValidOverARestart) {
  TestServer server;
  std::string token;
  {
    RawClient anonymous(server, "");
    token = Login(anonymous, TestServer::kPassword).token();
  }
  server.Restart();
  RawClient client(server, token);
  client.List("/");
  EXPECT_TRUE(client.list_status().ok());
}

TEST(Tokens, AForgedExpiryIsRefused) {
  TestServer server;
  RawClient anonymous(server, "");
  std::string token = Login(anonymous, TestServer::kPassword).token();
  token[4] = token[4] == '9' ? '8' : '9';
  RawClient client(server, token);
  client.List("/");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::UNAUTHENTICATED);
}

TEST(Tokens, PermissionsAreDescribedAndChecked) {
  Knobs knobs;
  knobs.denied_permissions = "allow_list,allow_write,allow_push_message";
  TestServer server(knobs);
  RawClient client(server);
  clouddrive::StringValue token;
  token.set_value(server->token());
  clouddrive::TokenInfo info;
  ASSERT_TRUE(client.Call(&Stub::GetApiTokenInfo, token, &info).ok());
  EXPECT_FALSE(info.permissions().allow_list());
  EXPECT_TRUE(info.permissions().allow_delete());
  EXPECT_EQ(info.rootdir(), "/");
  token.set_value("unknown");
  EXPECT_FALSE(client.Call(&Stub::GetApiTokenInfo, token, &info).ok());
  client.List("/");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(OpenPush(client).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(client.Open()->AwaitEnd().error_code(), grpc::StatusCode::PERMISSION_DENIED);
}

TEST(SystemInfo, SaysWhenTheServerIsNotReadyAndMasksTheUser) {
  Knobs knobs;
  knobs.system_ready = false;
  TestServer server(knobs);
  RawClient client(server, "");
  clouddrive::CloudDriveSystemInfo info;
  ASSERT_TRUE(client.Call(&Stub::GetSystemInfo, Empty(), &info).ok());
  EXPECT_FALSE(info.systemready());
  EXPECT_EQ(info.username(), "test***");
  server.Change([](Knobs& k) { k.system_ready = true; });
  ASSERT_TRUE(client.Call(&Stub::GetSystemInfo, Empty(), &info).ok());
  EXPECT_TRUE(info.systemready());
}

TEST(Faults, AnyCallCanFailWithAnyCode) {
  TestServer server;
  RawClient client(server);
  const std::map<std::string, grpc::Status> before = CallAll(client);
  for (int code = 1; code <= 16; ++code) {
    server->faults().FailNext(server::Faults::kAnyRpc, static_cast<int>(before.size()), code,
                              "injected");
    for (const auto& [rpc, status] : CallAll(client)) {
      EXPECT_EQ(status.error_code(), code) << rpc;
      EXPECT_EQ(status.error_message(), "injected") << rpc;
    }
  }
  // Over: every call answers as before.
  for (const auto& [rpc, status] : CallAll(client)) {
    EXPECT_EQ(status.error_code(), before.at(rpc).error_code()) << rpc;
  }
}

TEST(Faults, StreamsCanBeRefusedAsWell) {
  TestServer server;
  RawClient client(server);
  server->faults().FailNext("PushMessage", 1, 14, "no push");
  server->faults().FailNext("RemoteUploadChannel", 1, 7, "invalid user plan");
  EXPECT_EQ(OpenPush(client).error_message(), "no push");
  EXPECT_EQ(client.Open()->AwaitEnd().error_message(), "invalid user plan");
}

TEST(Faults, CountOnlyTheCallsOfTheirRpc) {
  TestServer server;
  RawClient client(server);
  server->faults().FailNext("GetSubFiles", 2, 14, "later");
  for (bool fails : {true, true, false}) {
    client.List("/");
    EXPECT_EQ(client.list_status().ok(), !fails);
  }
  server->faults().FailNext("GetSubFiles", 1, 14, "later");
  server->faults().Clear();
  client.List("/");
  EXPECT_TRUE(client.list_status().ok());
}

TEST(Faults, AFailedCallMayHaveWorked) {
  TestServer server;
  RawClient client(server);
  clouddrive::CreateFolderRequest request;
  request.set_parentpath("/");
  clouddrive::CreateFolderResult reply;
  for (FailWhen when : {FailWhen::kInstead, FailWhen::kAfter}) {
    request.set_foldername(when == FailWhen::kAfter ? "after" : "instead");
    server->faults().FailNext("CreateFolder", 1, 13, "status 429", when);
    EXPECT_EQ(client.Call(&Stub::CreateFolder, request, &reply).error_code(),
              grpc::StatusCode::INTERNAL);
  }
  EXPECT_TRUE(std::filesystem::exists(server.Local("/after")));
  EXPECT_FALSE(std::filesystem::exists(server.Local("/instead")));
}

TEST(Faults, TheSecondLevelOfFailureCanBeInjected) {
  TestServer server;
  RawClient client(server);
  WriteFile(server.Local("/f"), "");
  server->faults().FailNext("DeleteFile", 1, 0, "busy");
  clouddrive::FileRequest request;
  request.set_path("/f");
  clouddrive::FileOperationResult reply;
  EXPECT_TRUE(client.Call(&Stub::DeleteFile, request, &reply).ok());
  EXPECT_FALSE(reply.success());
  EXPECT_EQ(reply.errormessage(), "busy");
  EXPECT_TRUE(std::filesystem::exists(server.Local("/f")));
}

TEST(Faults, RepliesCanBeDelayedAndAStopEndsTheDelay) {
  TestServer server;
  RawClient client(server);
  const auto start = std::chrono::steady_clock::now();
  server->faults().Delay("GetSpaceInfo", 60ms);
  clouddrive::SpaceInfo space;
  EXPECT_TRUE(client.Call(&Stub::GetSpaceInfo, clouddrive::FileRequest(), &space).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - start, 60ms);
  server->faults().Clear();
  server.Change([](Knobs& k) { k.reply_delay = 1h; });
  std::jthread caller([&] {
    clouddrive::SpaceInfo other;
    client.Call(&Stub::GetSpaceInfo, clouddrive::FileRequest(), &other);
  });
  while (server->counters().calls["GetSpaceInfo"] < 2) std::this_thread::yield();
  server->Stop();
  caller.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience);
}

TEST(Counters, CountCallsByName) {
  TestServer server;
  RawClient client(server);
  client.List("/");
  client.List("/");
  client.Upload("/f", "abc");
  const server::Counters counters = server->counters();
  EXPECT_EQ(counters.calls.at("GetSubFiles"), 2U);
  EXPECT_EQ(counters.calls.at("StartRemoteUpload"), 1U);
  EXPECT_EQ(counters.bytes_received, 3U);
  EXPECT_EQ(counters.reads_asked, 1U);
  EXPECT_EQ(counters.channels_opened, 1U);
  EXPECT_EQ(counters.uploads_finished, 1U);
}

// A push stream that keeps what came.
class Push {
 public:
  explicit Push(RawClient& client) : context_(client.Context()) {
    reader_ = client.stub()->PushMessage(context_.get(), Empty());
    reader_->WaitForInitialMetadata();
  }
  ~Push() {
    context_->TryCancel();
    clouddrive::CloudDrivePushMessage message;
    while (reader_->Read(&message)) {
    }
    reader_->Finish();
  }
  clouddrive::CloudDrivePushMessage Next() {
    clouddrive::CloudDrivePushMessage message;
    EXPECT_TRUE(reader_->Read(&message));
    return message;
  }
  // "TYPE path newPath"
  std::string NextChange() {
    const auto change = Next().filesystemchange();
    return clouddrive::FileSystemChange::ChangeType_Name(change.changetype()) + " " +
           change.path() + " " + change.newpath();
  }

 private:
  std::unique_ptr<grpc::ClientContext> context_;
  std::unique_ptr<grpc::ClientReader<clouddrive::CloudDrivePushMessage>> reader_;
};

TEST(PushStream, TellsEveryChangeToEveryStream) {
  TestServer server;
  RawClient client(server);
  Push one(client);
  Push two(client);
  EXPECT_EQ(server->push_streams(), 2U);
  clouddrive::CreateFolderRequest make;
  make.set_parentpath("/");
  make.set_foldername("d");
  clouddrive::CreateFolderResult made;
  client.Call(&Stub::CreateFolder, make, &made);
  client.Upload("/f", "abc");
  client.Upload("/f", "abcd");
  clouddrive::RenameFileRequest rename;
  rename.set_thefilepath("/f");
  rename.set_newname("g");
  clouddrive::FileOperationResult reply;
  client.Call(&Stub::RenameFile, rename, &reply);
  clouddrive::MoveFileRequest move;
  move.add_thefilepaths("/g");
  move.set_destpath("/d");
  client.Call(&Stub::MoveFile, move, &reply);
  clouddrive::FileRequest remove;
  remove.set_path("/d/g");
  client.Call(&Stub::DeleteFile, remove, &reply);
  for (Push* push : {&one, &two}) {
    EXPECT_EQ(push->NextChange(), "CREATE /d ");
    EXPECT_EQ(push->NextChange(), "CREATE /f ");
    EXPECT_EQ(push->NextChange(), "MODIFY /f ");
    EXPECT_EQ(push->NextChange(), "RENAME /f /g");
    EXPECT_EQ(push->NextChange(), "RENAME /g /d/g");
    const auto gone = push->Next().filesystemchange();
    EXPECT_EQ(gone.changetype(), clouddrive::FileSystemChange::DELETE);
    EXPECT_FALSE(gone.has_thefile());
  }
}

TEST(PushStream, OlderServersSayCreateForAReplacedFileOrNothingAtAll) {
  Knobs knobs;
  knobs.push_modify = false;
  TestServer server(knobs);
  RawClient client(server);
  Push push(client);
  client.Upload("/f", "abc");
  client.Upload("/f", "abcd");
  EXPECT_EQ(push.NextChange(), "CREATE /f ");
  const auto change = push.Next().filesystemchange();
  EXPECT_EQ(change.changetype(), clouddrive::FileSystemChange::CREATE);
  EXPECT_EQ(change.thefile().size(), 4);
  server.Change([](Knobs& k) { k.push_changes = false; });
  client.Upload("/quiet", "abc");
  server.Change([](Knobs& k) { k.push_changes = true; });
  client.Upload("/loud", "abc");
  EXPECT_EQ(push.NextChange(), "CREATE /loud ");
}

TEST(PushStream, TellsUploadsWhenTheKnobSaysSo) {
  Knobs knobs;
  knobs.push_uploads = true;
  knobs.push_changes = false;
  TestServer server(knobs);
  RawClient client(server);
  Push push(client);
  client.Upload("/f", "abc");
  clouddrive::CloudDrivePushMessage message;
  do {
    message = push.Next();
    EXPECT_EQ(message.messagetype(), clouddrive::CloudDrivePushMessage::UPLOADER_COUNT);
    ASSERT_EQ(message.transfertaskstatus().uploadfilestatuschanges_size(), 1);
  } while (message.transfertaskstatus().uploadfilestatuschanges(0).statusenum() !=
           UploadStatus::Finish);
  server.Change([](Knobs& k) { k.push_upload_details = false; });
  client.Upload("/g", "abc");
  EXPECT_EQ(push.Next().transfertaskstatus().uploadfilestatuschanges_size(), 0);
}

TEST(PushStream, SaysGoodbyeWhenTheServerStops) {
  TestServer server;
  RawClient client(server);
  Push push(client);
  server->Stop();
  const auto message = push.Next();
  EXPECT_EQ(message.messagetype(), clouddrive::CloudDrivePushMessage::FORCE_EXIT);
  EXPECT_EQ(message.exitedmessage().exitreason(), clouddrive::ExitedMessage::SHUTDOWN);
}

TEST(Restart, SessionsAreLostAndTheirBytesRemoved) {
  TestServer server;
  std::string id;
  {
    RawClient client(server);
    const auto channel = client.Open();
    id = client.Start("/f", 5);
    ASSERT_TRUE(channel->AwaitCount(3));
  }
  server.Restart();
  RawClient client(server);
  clouddrive::RemoteReadDataReply reply;
  EXPECT_EQ(client.Send(id, "hello", 0, 5, false, &reply).error_message(),
            "Upload session not found");
  EXPECT_FALSE(std::filesystem::exists(server.Local("/.outboxfs-server")));
}

TEST(Restart, KeptSessionsGoOnWhereTheyWere) {
  Knobs knobs;
  knobs.keep_sessions = true;
  knobs.reads_in_flight = 2;
  TestServer server(knobs);
  const std::string content = Pattern(6 << 20);
  std::string id;
  {
    RawClient client(server);
    const auto channel = client.Open("dev");
    id = client.Start("/一 f\n", content.size());
    ASSERT_TRUE(channel->AwaitCount(4));
    client.Answer(id, content, channel->events()[3].read_data());  // the second MiB
  }
  server.Restart();
  RawClient client(server);
  const auto channel = client.Open("dev");
  EXPECT_EQ(client.Serve(*channel, id, content).status(), UploadStatus::Finish);
  EXPECT_EQ(server->counters().bytes_received, content.size() - (1 << 20));
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/一 f\n")), content));
  EXPECT_FALSE(client.Entry("/", "一 f\n").filehashes().empty());
}

TEST(Restart, ASecondServerOverTheSameDirectoryIsRefused) {
  TestServer server;
  server::ServerOptions options;
  options.directory = server.dir();
  const auto second = server::ReferenceServer::Start(options);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, EBUSY);
}

TEST(Restart, AnAddressThatCannotBeUsedIsRefusedWithItsReason) {
  TestServer server;
  TempDir dir;
  for (const std::string& listen :
       {server->endpoint(), std::string("nonsense"), std::string("127.0.0.1:x")}) {
    server::ServerOptions options;
    options.directory = dir.path();
    options.listen = listen;
    const auto second = server::ReferenceServer::Start(options);
    ASSERT_FALSE(second) << listen;
    EXPECT_THAT(second.error().text, testing::HasSubstr(listen));
  }
}

TEST(Stop, LeavesNothingBehindAndMayBeCalledTwice) {
  TestServer server;
  RawClient client(server);
  const auto channel = client.Open();
  client.Start("/f", 5);
  ASSERT_TRUE(channel->AwaitCount(3));
  server->Stop();
  server->Stop();
  EXPECT_EQ(channel->AwaitEnd().error_code(), grpc::StatusCode::UNAVAILABLE);
  server.Stop();
  EXPECT_TRUE(std::filesystem::is_empty(server.dir()));
}

}  // namespace
}  // namespace outboxfs::test
