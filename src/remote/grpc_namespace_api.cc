#include "remote/grpc_namespace_api.h"

#include <cerrno>
#include <utility>

#include "common/log.h"
#include "remote/convert.h"
#include "remote/grpc_error.h"
#include "remote/stream.h"

namespace outboxfs::remote {
namespace {

using std::chrono::seconds;

constexpr seconds kShort{20};
constexpr CallKind kList{"GetSubFiles", seconds(60), true};
constexpr CallKind kFind{"FindFileByPath", kShort, true};
constexpr CallKind kMakeDir{"CreateFolder", kShort};
constexpr CallKind kRename{"RenameFile", kShort};
constexpr CallKind kMove{"MoveFile", kShort};
constexpr CallKind kDelete{"DeleteFile", kShort};
constexpr CallKind kSpace{"GetSpaceInfo", kShort, true};
constexpr CallKind kLink{"GetDownloadUrlPath", kShort, true};
constexpr CallKind kPush{"PushMessage", seconds(10)};
constexpr CallKind kSystemInfo{"GetSystemInfo", kShort, true, true};
constexpr CallKind kTokenInfo{"GetApiTokenInfo", kShort, true, true};
constexpr CallKind kRuntimeInfo{"GetRuntimeInfo", kShort, true};

Status CheckOperation(const clouddrive::FileOperationResult& result, std::string_view call) {
  if (result.success()) return {};
  return Fail(FromServerText(result.errormessage(), call));
}

class GrpcPushStream final : public PushStream {
 public:
  using Opened = std::unique_ptr<OpenedStream<clouddrive::CloudDrivePushMessage>>;
  GrpcPushStream(std::shared_ptr<const PathForms> forms, Opened opened)
      : forms_(std::move(forms)), opened_(std::move(opened)) {}

  Result<FsChange> Next() override {
    clouddrive::CloudDrivePushMessage message;
    for (;;) {
      if (Status next = opened_->Next(message); !next) return Fail(next.error());
      std::optional<FsChange> change = ToFsChange(message);
      if (!change) continue;
      change->path = forms_->ToOurs(change->path);
      if (!change->new_path.empty()) change->new_path = forms_->ToOurs(change->new_path);
      return *std::move(change);
    }
  }
  void Cancel() override { opened_->Cancel(); }

 private:
  const std::shared_ptr<const PathForms> forms_;
  const Opened opened_;
};

}  // namespace

GrpcNamespaceApi::GrpcNamespaceApi(Connection& connection, TokenRoot& root, Credentials credentials)
    : connection_(connection),
      root_(root),
      credentials_(std::move(credentials)),
      stub_(clouddrive::CloudDriveFileSrv::NewStub(connection.channel())) {}

Result<std::string> GrpcNamespaceApi::ServerPath(const std::string& path,
                                                 const std::stop_token& stop) {
  if (Status fine = CheckPath(path); !fine) return Fail(fine.error());
  const auto forms = root_.Get(stop);
  if (!forms) return Fail(forms.error());
  return (*forms)->ToServer(path);
}

Result<std::vector<std::string>> GrpcNamespaceApi::ListRoot(const std::stop_token& stop) {
  clouddrive::ListSubFileRequest request;
  request.set_path("/");
  std::vector<std::string> paths;
  Status done = connection_.Call(kList, stop, [&](grpc::ClientContext& context) {
    paths.clear();
    auto reader = stub_->GetSubFiles(&context, request);
    for (clouddrive::SubFilesReply batch; reader->Read(&batch);) {
      for (const auto& file : batch.subfiles()) paths.push_back(file.fullpathname());
    }
    return reader->Finish();
  });
  if (!done) return Fail(done.error());
  return paths;
}

Result<DirContent> GrpcNamespaceApi::List(const std::string& dir, bool force_refresh,
                                          const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(dir, stop);
  if (!server_path) return Fail(server_path.error());
  clouddrive::ListSubFileRequest request;
  request.set_path(*server_path);
  request.set_forcerefresh(force_refresh);
  DirContent content;
  Status done = connection_.Call(kList, stop, [&](grpc::ClientContext& context) {
    content = {};
    auto reader = stub_->GetSubFiles(&context, request);
    for (clouddrive::SubFilesReply batch; reader->Read(&batch);) {
      for (const auto& file : batch.subfiles()) {
        std::optional<Entry> entry = ToEntry(file);
        entry ? content.entries.push_back(*std::move(entry)) : void(++content.refused);
      }
    }
    return reader->Finish();
  });
  if (!done) return Fail(done.error());
  if (content.refused > 0) CountDropped(dir, content.refused);
  return content;
}

void GrpcNamespaceApi::CountDropped(const std::string& dir, size_t dropped) {
  const bool first = dropped_names_.fetch_add(dropped) == 0;
  constexpr std::string_view kText = "{}: {} names cannot be shown here (said once)";
  if (first) Log::Warning(kText, dir, dropped);
}

Result<Entry> GrpcNamespaceApi::Find(const std::string& path, const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(path, stop);
  if (!server_path) return Fail(server_path.error());
  clouddrive::FindFileByPathRequest request;
  request.set_path(*server_path);
  clouddrive::CloudDriveFile reply;
  Status done = connection_.Call(kFind, stop, [&](grpc::ClientContext& context) {
    return stub_->FindFileByPath(&context, request, &reply);
  });
  if (!done) return Fail(done.error());
  if (*server_path == "/") reply.set_name("root");  // the virtual root has no usable name
  std::optional<Entry> entry = ToEntry(reply);
  if (!entry) return Fail(ENOENT, "FindFileByPath: an entry without a usable name came back");
  return *std::move(entry);
}

Status GrpcNamespaceApi::MakeDir(const std::string& parent, const std::string& name,
                                 const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(parent, stop);
  if (!server_path) return Fail(server_path.error());
  if (Status fine = CheckName(name); !fine) return fine;
  clouddrive::CreateFolderRequest request;
  request.set_parentpath(*server_path);
  request.set_foldername(name);
  clouddrive::CreateFolderResult reply;
  Status done = connection_.Call(kMakeDir, stop, [&](grpc::ClientContext& context) {
    return stub_->CreateFolder(&context, request, &reply);
  });
  return done ? CheckOperation(reply.result(), kMakeDir.name) : done;
}

Status GrpcNamespaceApi::Rename(const std::string& path, const std::string& new_name,
                                const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(path, stop);
  if (!server_path) return Fail(server_path.error());
  if (Status fine = CheckName(new_name); !fine) return fine;
  clouddrive::RenameFileRequest request;
  request.set_thefilepath(*server_path);
  request.set_newname(new_name);
  clouddrive::FileOperationResult reply;
  Status done = connection_.Call(kRename, stop, [&](grpc::ClientContext& context) {
    return stub_->RenameFile(&context, request, &reply);
  });
  return done ? CheckOperation(reply, kRename.name) : done;
}

Status GrpcNamespaceApi::Move(const std::string& path, const std::string& dest_dir,
                              const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(path, stop);
  if (!server_path) return Fail(server_path.error());
  const Result<std::string> server_dir = ServerPath(dest_dir, stop);
  if (!server_dir) return Fail(server_dir.error());
  clouddrive::MoveFileRequest request;
  request.add_thefilepaths(*server_path);
  request.set_destpath(*server_dir);
  // Said explicitly, because zero means Overwrite: whoever wants a target replaced, removes it
  // first.
  request.set_conflictpolicy(clouddrive::MoveFileRequest::Skip);
  request.set_moveacrossclouds(false);
  clouddrive::FileOperationResult reply;
  Status done = connection_.Call(kMove, stop, [&](grpc::ClientContext& context) {
    return stub_->MoveFile(&context, request, &reply);
  });
  return done ? CheckOperation(reply, kMove.name) : done;
}

Status GrpcNamespaceApi::Delete(const std::string& path, const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(path, stop);
  if (!server_path) return Fail(server_path.error());
  clouddrive::FileRequest request;
  request.set_path(*server_path);
  clouddrive::FileOperationResult reply;
  Status done = connection_.Call(kDelete, stop, [&](grpc::ClientContext& context) {
    return stub_->DeleteFile(&context, request, &reply);
  });
  return done ? CheckOperation(reply, kDelete.name) : done;
}

Result<Space> GrpcNamespaceApi::GetSpace(const std::string& path, const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(path, stop);
  if (!server_path) return Fail(server_path.error());
  clouddrive::FileRequest request;
  request.set_path(*server_path);
  clouddrive::SpaceInfo reply;
  Status done = connection_.Call(kSpace, stop, [&](grpc::ClientContext& context) {
    return stub_->GetSpaceInfo(&context, request, &reply);
  });
  if (!done) return Fail(done.error());
  return ToSpace(reply);
}

Result<DownloadLink> GrpcNamespaceApi::GetDownloadLink(const std::string& path,
                                                       const std::stop_token& stop) {
  const Result<std::string> server_path = ServerPath(path, stop);
  if (!server_path) return Fail(server_path.error());
  clouddrive::GetDownloadUrlPathRequest request;
  request.set_path(*server_path);
  request.set_get_direct_url(true);
  clouddrive::DownloadUrlPathInfo reply;
  Status done = connection_.Call(kLink, stop, [&](grpc::ClientContext& context) {
    return stub_->GetDownloadUrlPath(&context, request, &reply);
  });
  if (!done) return Fail(done.error());
  DownloadLink link = ToDownloadLink(reply);
  if (link.url.empty()) return Fail(EIO, "GetDownloadUrlPath: no address came back");
  return link;
}

Result<std::unique_ptr<PushStream>> GrpcNamespaceApi::OpenPush(const std::stop_token& stop) {
  auto forms = root_.Get(stop);
  if (!forms) return Fail(forms.error());
  auto opened = OpenStream<clouddrive::CloudDrivePushMessage>(
      connection_, kPush, stop, [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return stub_->PrepareAsyncPushMessage(context, google::protobuf::Empty(), queue);
      });
  if (!opened) return Fail(opened.error());
  return std::make_unique<GrpcPushStream>(*std::move(forms), *std::move(opened));
}

Status GrpcNamespaceApi::CheckReady(const std::stop_token& stop) {
  clouddrive::CloudDriveSystemInfo info;
  Status done = connection_.Call(kSystemInfo, stop, [&](grpc::ClientContext& context) {
    return stub_->GetSystemInfo(&context, google::protobuf::Empty(), &info);
  });
  if (!done) return done;
  if (!info.systemready()) {
    return Fail(EAGAIN, "the server is not ready: " + info.systemmessage());
  }
  return {};
}

Result<TokenFacts> GrpcNamespaceApi::AskTokenInfo(const std::stop_token& stop) {
  clouddrive::StringValue request;
  request.set_value(credentials_.token);
  clouddrive::TokenInfo info;
  Status done = connection_.Call(kTokenInfo, stop, [&](grpc::ClientContext& context) {
    return stub_->GetApiTokenInfo(&context, request, &info);
  });
  if (!done) return Fail(done.error());
  return ToTokenFacts(info);
}

Result<TokenFacts> GrpcNamespaceApi::Probe(const std::stop_token& stop) {
  if (Status ready = CheckReady(stop); !ready) return Fail(ready.error());
  if (!credentials_.token.empty()) {
    Result<TokenFacts> facts = AskTokenInfo(stop);
    if (facts || facts.error().code == ECANCELED) return facts;
  }
  // A JWT is no API token, so only a call with it tells whether it is good. Whether the call itself
  // is permitted does not matter.
  clouddrive::RuntimeInfo info;
  Status done = connection_.Call(kRuntimeInfo, stop, [&](grpc::ClientContext& context) {
    return stub_->GetRuntimeInfo(&context, google::protobuf::Empty(), &info);
  });
  const bool permitted = done || done.error().retry == Retry::kPark;
  if (!permitted) return Fail(done.error());
  return TokenFacts{};
}

}  // namespace outboxfs::remote
