// The five remote-upload calls and the upload list: finds the task that a call names, and turns
// what it says into answers. Owns all tasks and the channels.
//
// Thread-safe. Its locks are never held while a task is called.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "server/background.h"
#include "server/channel_hub.h"
#include "server/push_hub.h"
#include "server/stop_gate.h"
#include "server/task.h"

namespace outboxfs::server {

class UploadService {
 public:
  UploadService(const KnobStore& knobs, DirStore& store, Faults& faults, Recent& recent,
                PushHub& push);
  // Takes up the uploads that an earlier run left; call before the first client comes.
  void LoadSessions();

  grpc::Status Start(const clouddrive::StartRemoteUploadRequest& request,
                     clouddrive::RemoteUploadStarted* reply);
  std::shared_ptr<Stream<ChannelHub::Reply>> OpenChannel(const std::string& device);
  grpc::Status ReadData(const clouddrive::RemoteReadDataUpload& piece,
                        clouddrive::RemoteReadDataReply* reply);
  grpc::Status HashProgress(const clouddrive::RemoteHashProgressUpload& progress);
  grpc::Status Control(const clouddrive::RemoteUploadControlRequest& request);
  grpc::Status List(const clouddrive::GetUploadFileListRequest& request,
                    clouddrive::GetUploadFileListResult* reply);
  // Cancel, pause or resume by key; unknown keys are ignored.
  void ForKeys(const clouddrive::MultpleUploadFileKeyRequest& request, bool (Task::*action)());

  // Running uploads, for listings that show pending entries.
  std::vector<clouddrive::UploadFileInfo> Running() const;
  // The knobs have changed: lets every upload look at them.
  void Poke();
  ChannelHub& channels() { return channels_; }

  // In this order: ends waiting calls, ends streams, then (no call running) stops work and keeps or
  // forgets the uploads.
  void StopWaiting() { gate_.Stop(); }
  void Stop();

 private:
  std::shared_ptr<Task> Find(const std::string& id) const ABSL_LOCKS_EXCLUDED(mu_);
  std::vector<std::shared_ptr<Task>> All() const ABSL_LOCKS_EXCLUDED(mu_);
  std::shared_ptr<Task> Add(UploadOrder order) ABSL_LOCKS_EXCLUDED(mu_);
  grpc::Status UnknownId(bool* success) const;
  bool MayRun(const std::string& id) ABSL_LOCKS_EXCLUDED(running_mu_);
  void OnStatus(const std::shared_ptr<Task>& task) ABSL_LOCKS_EXCLUDED(mu_, running_mu_);
  void OnPublished(const Published& published);
  std::vector<clouddrive::UploadFileInfo> ListAll() const ABSL_LOCKS_EXCLUDED(mu_);

  const KnobStore& knobs_;
  DirStore& store_;
  Faults& faults_;
  PushHub& push_;
  StopGate gate_;
  ChannelHub channels_;
  Background background_;
  const TaskWorld world_;

  mutable Mutex mu_;
  uint64_t started_ ABSL_GUARDED_BY(mu_) = 0;
  // By id; ids sort by time of start.
  std::map<std::string, std::shared_ptr<Task>> tasks_ ABSL_GUARDED_BY(mu_);
  std::deque<clouddrive::UploadFileInfo> ended_ ABSL_GUARDED_BY(mu_);  // the newest at the back

  Mutex running_mu_;  // leaf: taken under a task's lock
  std::set<std::string> running_ ABSL_GUARDED_BY(running_mu_);
};

}  // namespace outboxfs::server
