#include "remote/grpc_upload_api.h"

#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>

#include <cerrno>
#include <unordered_set>
#include <utility>

#include "common/log.h"
#include "remote/convert.h"
#include "remote/grpc_error.h"
#include "remote/read_answer_wire.h"
#include "remote/stream.h"

namespace outboxfs::remote {
namespace {

using std::chrono::seconds;

// Nothing here is repeated by this room, except the list: the uploader knows what is safe when.
constexpr CallKind kChannel{"RemoteUploadChannel", seconds(10)};
constexpr CallKind kStart{"StartRemoteUpload", seconds(60)};
constexpr CallKind kReadData{"RemoteReadData", seconds(120)};
constexpr CallKind kHashProgress{"RemoteHashProgress", seconds(30)};
constexpr CallKind kControl{"RemoteUploadControl", seconds(15)};
constexpr CallKind kUploadList{"GetUploadFileList", seconds(20), true};

constexpr uint32_t kPerPage = 100;
constexpr uint32_t kMaxPages = 10'000;  // against a server that never ends its list

class GrpcUploadChannel final : public UploadChannel {
 public:
  using Opened = std::unique_ptr<OpenedStream<clouddrive::RemoteUploadChannelReply>>;
  explicit GrpcUploadChannel(Opened opened) : opened_(std::move(opened)) {}

  Result<ChannelEvent> Next() override {
    clouddrive::RemoteUploadChannelReply reply;
    for (;;) {
      if (Status next = opened_->Next(reply); !next) return Fail(next.error());
      std::optional<ChannelEvent> event = ToChannelEvent(reply);
      if (event) return *std::move(event);
      Log::Debug("upload channel: a message of a kind that we do not know");
    }
  }
  void Cancel() override { opened_->Cancel(); }

 private:
  const Opened opened_;
};

// A blocking unary call whose request is bytes already.
grpc::Status CallWithBytes(const std::shared_ptr<grpc::Channel>& channel,
                           grpc::ClientContext& context, const grpc::ByteBuffer& request,
                           clouddrive::RemoteReadDataReply& reply) {
  static const std::string kMethod = "/clouddrive.CloudDriveFileSrv/RemoteReadData";
  grpc::CompletionQueue queue;
  grpc::TemplatedGenericStub<grpc::ByteBuffer, clouddrive::RemoteReadDataReply> stub(channel);
  auto call = stub.PrepareUnaryCall(&context, kMethod, request, &queue);
  grpc::Status status;
  call->StartCall();
  call->Finish(&reply, &status, &queue);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return status;
}

}  // namespace

GrpcUploadApi::GrpcUploadApi(Connection& connection, TokenRoot& root)
    : connection_(connection),
      root_(root),
      stub_(clouddrive::CloudDriveFileSrv::NewStub(connection.channel())) {}

Result<std::unique_ptr<UploadChannel>> GrpcUploadApi::OpenChannel(const std::string& device_id,
                                                                  const std::stop_token& stop) {
  clouddrive::RemoteUploadChannelRequest request;
  request.set_device_id(device_id);
  auto opened = OpenStream<clouddrive::RemoteUploadChannelReply>(
      connection_, kChannel, stop, [&](grpc::ClientContext* context, grpc::CompletionQueue* queue) {
        return stub_->PrepareAsyncRemoteUploadChannel(context, request, queue);
      });
  if (!opened) return Fail(opened.error());
  return std::make_unique<GrpcUploadChannel>(*std::move(opened));
}

Result<std::string> GrpcUploadApi::Start(const StartRequest& request, const std::stop_token& stop) {
  if (Status fine = CheckPath(request.path); !fine) return Fail(fine.error());
  const auto forms = root_.Get(stop);
  if (!forms) return Fail(forms.error());
  clouddrive::StartRemoteUploadRequest wire = FromStartRequest(request);
  wire.set_file_path((*forms)->ToServer(request.path));
  clouddrive::RemoteUploadStarted reply;
  Status done = connection_.Call(kStart, stop, [&](grpc::ClientContext& context) {
    return stub_->StartRemoteUpload(&context, wire, &reply);
  });
  if (!done) return Fail(done.error());
  if (reply.upload_id().empty()) return Fail(EIO, "StartRemoteUpload: no upload id came back");
  return reply.upload_id();
}

Status GrpcUploadApi::AnswerRead(const ReadAnswer& answer, const std::stop_token& stop) {
  const grpc::ByteBuffer request = EncodeReadAnswer(answer);
  clouddrive::RemoteReadDataReply reply;
  Status done = connection_.Call(kReadData, stop, [&](grpc::ClientContext& context) {
    return CallWithBytes(connection_.channel(), context, request, reply);
  });
  if (!done) return done;
  if (!reply.success()) return Fail(FromServerText(reply.error_message(), kReadData.name));
  return {};
}

Status GrpcUploadApi::ReportHash(const HashReport& report, const std::stop_token& stop) {
  const clouddrive::RemoteHashProgressUpload wire = FromHashReport(report);
  clouddrive::RemoteHashProgressReply reply;
  return connection_.Call(kHashProgress, stop, [&](grpc::ClientContext& context) {
    return stub_->RemoteHashProgress(&context, wire, &reply);
  });
}

Status GrpcUploadApi::ControlUpload(const std::string& upload_id, Control control,
                                    const std::stop_token& stop) {
  const clouddrive::RemoteUploadControlRequest wire = FromControl(upload_id, control);
  google::protobuf::Empty reply;
  return connection_.Call(kControl, stop, [&](grpc::ClientContext& context) {
    return stub_->RemoteUploadControl(&context, wire, &reply);
  });
}

Result<std::vector<QueuedUpload>> GrpcUploadApi::ListUploads(const std::stop_token& stop) {
  const auto forms = root_.Get(stop);
  if (!forms) return Fail(forms.error());
  std::vector<QueuedUpload> uploads;
  std::unordered_set<std::string> seen;  // the list moves while we page through it
  clouddrive::GetUploadFileListRequest request;
  request.set_itemsperpage(kPerPage);
  request.set_operatortypefilter(clouddrive::UploadFileInfo::RemoteUpload);
  for (uint32_t page = 0; page < kMaxPages; ++page) {
    request.set_pagenumber(page);
    clouddrive::GetUploadFileListResult reply;
    Status done = connection_.Call(kUploadList, stop, [&](grpc::ClientContext& context) {
      reply.Clear();
      return stub_->GetUploadFileList(&context, request, &reply);
    });
    if (!done) return Fail(done.error());
    bool grown = false;
    for (const auto& info : reply.uploadfiles()) {
      if (!seen.insert(info.key()).second) continue;
      grown = true;
      // An old server may not know the filter.
      if (info.operatortype() != clouddrive::UploadFileInfo::RemoteUpload) continue;
      uploads.push_back(ToQueuedUpload(info));
      uploads.back().path = (*forms)->ToOurs(uploads.back().path);
    }
    const uint32_t total = reply.totalcountfiltered();
    const bool complete =
        total > 0 ? seen.size() >= total : reply.uploadfiles_size() < static_cast<int>(kPerPage);
    // Servers of 0.9 count pages from 1, so a first page that adds nothing is no end yet.
    if (complete || (page > 0 && !grown)) break;
  }
  return uploads;
}

}  // namespace outboxfs::remote
