// A client of the bare protocol, which shows everything the server says and answers only when told
// to: made for tests of the server.
#pragma once

#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "clouddrive.grpc.pb.h"
#include "common/mutex.h"
#include "support/test_server.h"

namespace outboxfs::test {

using Event = clouddrive::RemoteUploadChannelReply;
using UploadStatus = clouddrive::UploadFileInfo;

inline constexpr std::chrono::seconds kPatience{20};

// One upload channel; reads events until the stream ends.
class RawChannel {
 public:
  RawChannel(clouddrive::CloudDriveFileSrv::Stub* stub, const std::string& token,
             const std::string& device, bool wait_for_headers = true) {
    context_.AddMetadata("authorization", "Bearer " + token);
    clouddrive::RemoteUploadChannelRequest request;
    request.set_device_id(device);
    reader_ = stub->RemoteUploadChannel(&context_, request);
    if (!wait_for_headers) return;
    WaitForHeaders();
    StartReading();
  }
  ~RawChannel() { Cancel(); }
  RawChannel(const RawChannel&) = delete;
  RawChannel& operator=(const RawChannel&) = delete;

  // For a channel that was opened without waiting; then StartReading.
  void WaitForHeaders() { reader_->WaitForInitialMetadata(); }
  void StartReading() {
    thread_ = std::jthread([this] { ReadAll(); });
  }
  void Cancel() {
    context_.TryCancel();
    if (thread_.joinable()) thread_.join();
  }
  // Waits until `done` holds for the events so far; false after too long.
  bool Await(const std::function<bool(const std::vector<Event>&)>& done,
             std::chrono::milliseconds patience = kPatience) {
    const auto deadline = CondVar::Clock::now() + patience;
    MutexLock lock(mu_);
    while (!done(events_)) {
      if (CondVar::Clock::now() > deadline) return false;
      changed_.WaitUntil(mu_, {}, deadline);
    }
    return true;
  }
  std::vector<Event> events() const {
    MutexLock lock(mu_);
    return events_;
  }
  bool AwaitCount(size_t count) {
    return Await([count](const auto& events) { return events.size() >= count; });
  }
  // How the stream ended; waits for it.
  grpc::Status AwaitEnd() {
    const auto deadline = CondVar::Clock::now() + kPatience;
    MutexLock lock(mu_);
    while (!end_ && CondVar::Clock::now() < deadline) changed_.WaitUntil(mu_, {}, deadline);
    return end_.value_or(grpc::Status(grpc::StatusCode::UNKNOWN, "still open"));
  }

 private:
  void ReadAll() {
    Event event;
    while (reader_->Read(&event)) {
      MutexLock lock(mu_);
      events_.push_back(event);
      changed_.NotifyAll();
    }
    const grpc::Status end = reader_->Finish();
    MutexLock lock(mu_);
    end_ = end;
    changed_.NotifyAll();
  }

  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Event>> reader_;
  mutable Mutex mu_;
  CondVar changed_;
  std::vector<Event> events_ ABSL_GUARDED_BY(mu_);
  std::optional<grpc::Status> end_ ABSL_GUARDED_BY(mu_);
  std::jthread thread_;
};

class RawClient {
 public:
  explicit RawClient(TestServer& server, const std::string& token = "default")
      : token_(token == "default" ? server->token() : token) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
    channel_ = grpc::CreateCustomChannel(server->endpoint(), grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = clouddrive::CloudDriveFileSrv::NewStub(channel_);
  }

  clouddrive::CloudDriveFileSrv::Stub* stub() { return stub_.get(); }
  // A context with the token and a deadline.
  std::unique_ptr<grpc::ClientContext> Context() const {
    auto context = std::make_unique<grpc::ClientContext>();
    if (!token_.empty()) context->AddMetadata("authorization", "Bearer " + token_);
    context->set_deadline(std::chrono::system_clock::now() + kPatience);
    context->set_wait_for_ready(true);
    return context;
  }
  // Calls a unary RPC: `Call(&Stub::MoveFile, request, &reply)`.
  template <typename Request, typename Reply>
  grpc::Status Call(grpc::Status (clouddrive::CloudDriveFileSrv::Stub::*rpc)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Reply*),
                    const Request& request, Reply* reply) {
    return (stub_.get()->*rpc)(Context().get(), request, reply);
  }
  std::unique_ptr<RawChannel> Open(const std::string& device = "device",
                                   bool wait_for_headers = true) {
    return std::make_unique<RawChannel>(stub_.get(), token_, device, wait_for_headers);
  }

  std::string Start(const std::string& path, uint64_t size,
                    const std::map<uint32_t, std::string>& known = {}) {
    clouddrive::StartRemoteUploadRequest request;
    request.set_file_path(path);
    request.set_file_size(size);
    request.set_client_can_calculate_hashes(true);
    for (const auto& [type, hex] : known) (*request.mutable_known_hashes())[type] = hex;
    clouddrive::RemoteUploadStarted reply;
    const grpc::Status status = Call(&Stub::StartRemoteUpload, request, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return reply.upload_id();
  }
  grpc::Status Send(const std::string& id, const std::string& content, uint64_t offset,
                    uint64_t length, bool lazy, clouddrive::RemoteReadDataReply* reply) {
    clouddrive::RemoteReadDataUpload piece;
    piece.set_upload_id(id);
    piece.set_offset(offset);
    piece.set_length(length);
    piece.set_lazy_read(lazy);
    piece.set_data(content.substr(std::min<uint64_t>(offset, content.size()), length));
    piece.set_is_last_chunk(offset + length == content.size());
    return Call(&Stub::RemoteReadData, piece, reply);
  }
  // Answers one read request in one message; expects that it is taken.
  void Answer(const std::string& id, const std::string& content,
              const clouddrive::RemoteReadDataRequest& ask) {
    clouddrive::RemoteReadDataReply reply;
    const grpc::Status status =
        Send(id, content, ask.offset(), ask.length(), ask.lazy_read(), &reply);
    EXPECT_TRUE(status.ok() && reply.success())
        << status.error_message() << reply.error_message() << " at " << ask.offset();
  }
  grpc::Status SendHash(const std::string& id, uint32_t type, const std::string& hex,
                        const std::vector<std::string>& blocks = {}) {
    clouddrive::RemoteHashProgressUpload progress;
    progress.set_upload_id(id);
    progress.set_hash_type(static_cast<clouddrive::CloudDriveFile::HashType>(type));
    progress.set_hash_value(hex);
    for (const std::string& block : blocks) progress.add_block_hashes(block);
    clouddrive::RemoteHashProgressReply reply;
    return Call(&Stub::RemoteHashProgress, progress, &reply);
  }
  enum class Control { kCancel, kPause, kResume };
  grpc::Status SendControl(const std::string& id, Control control) {
    clouddrive::RemoteUploadControlRequest request;
    request.set_upload_id(id);
    if (control == Control::kCancel) request.mutable_cancel();
    if (control == Control::kPause) request.mutable_pause();
    if (control == Control::kResume) request.mutable_resume();
    google::protobuf::Empty reply;
    return Call(&Stub::RemoteUploadControl, request, &reply);
  }

  // Answers every read of upload `id` once until a terminal status, which is returned. Hash
  // requests are left to `on_hash`.
  using OnHash = std::function<void(const clouddrive::RemoteHashDataRequest&)>;
  clouddrive::RemoteUploadStatusChanged Serve(RawChannel& channel, const std::string& id,
                                              const std::string& content,
                                              const OnHash& on_hash = nullptr) {
    std::set<std::pair<uint64_t, uint64_t>> answered;
    for (size_t next = 0; channel.AwaitCount(next + 1); ++next) {
      const Event event = channel.events()[next];
      if (event.upload_id() != id) continue;
      const auto& read = event.read_data();
      if (event.has_read_data() && answered.insert({read.offset(), read.length()}).second) {
        Answer(id, content, read);
      }
      if (event.has_hash_data() && on_hash) on_hash(event.hash_data());
      if (event.has_status_changed() && IsTerminal(event.status_changed())) {
        return event.status_changed();
      }
    }
    ADD_FAILURE() << "no terminal status";
    return {};
  }
  static bool IsTerminal(const clouddrive::RemoteUploadStatusChanged& changed) {
    switch (static_cast<int>(changed.status())) {
      case UploadStatus::Cancelled:
      case UploadStatus::Finish:
      case UploadStatus::Skipped:
      case UploadStatus::Ignored:
      case UploadStatus::Error:
      case UploadStatus::FatalError:
        return true;
      default:
        return false;
    }
  }
  // A whole upload over a channel of its own.
  clouddrive::RemoteUploadStatusChanged Upload(const std::string& path, const std::string& content,
                                               const std::map<uint32_t, std::string>& known = {}) {
    const auto channel = Open("uploader");
    const std::string id = Start(path, content.size(), known);
    return Serve(*channel, id, content);
  }

  std::vector<clouddrive::CloudDriveFile> List(const std::string& path,
                                               std::vector<int>* batches = nullptr) {
    clouddrive::ListSubFileRequest request;
    request.set_path(path);
    request.set_forcerefresh(true);
    const auto context = Context();
    const auto reader = stub_->GetSubFiles(context.get(), request);
    std::vector<clouddrive::CloudDriveFile> files;
    clouddrive::SubFilesReply reply;
    while (reader->Read(&reply)) {
      if (batches != nullptr) batches->push_back(reply.subfiles_size());
      for (const auto& file : reply.subfiles()) files.push_back(file);
    }
    list_status_ = reader->Finish();
    return files;
  }
  const grpc::Status& list_status() const { return list_status_; }
  // The entry of that name; fails when there is not exactly one.
  clouddrive::CloudDriveFile Entry(const std::string& folder, const std::string& name) {
    std::vector<clouddrive::CloudDriveFile> found;
    for (const auto& file : List(folder)) {
      if (file.name() == name) found.push_back(file);
    }
    EXPECT_EQ(found.size(), 1U) << name;
    return found.empty() ? clouddrive::CloudDriveFile() : found[0];
  }

 private:
  using Stub = clouddrive::CloudDriveFileSrv::Stub;

  const std::string token_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Stub> stub_;
  grpc::Status list_status_;
};

}  // namespace outboxfs::test
