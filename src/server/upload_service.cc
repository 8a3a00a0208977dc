#include "server/upload_service.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "common/log.h"
#include "server/auth.h"
#include "server/convert.h"
#include "server/path.h"
#include "server/session_file.h"

namespace outboxfs::server {
namespace {

constexpr int kWorkers = 2;
// Without events_before_start: what the answer of the start needs to reach the client.
constexpr Millis kAnswerTime{20};

using Info = clouddrive::UploadFileInfo;

}  // namespace

UploadService::UploadService(const KnobStore& knobs, DirStore& store, Faults& faults,
                             Recent& recent, PushHub& push)
    : knobs_(knobs),
      store_(store),
      faults_(faults),
      push_(push),
      channels_(knobs),
      background_(kWorkers),
      world_{knobs,
             store,
             channels_,
             background_,
             faults,
             recent,
             [this](const std::shared_ptr<Task>& task) { OnStatus(task); },
             [this](const Published& published) { OnPublished(published); },
             [this](const std::string& id) { return MayRun(id); }} {}

std::shared_ptr<Task> UploadService::Find(const std::string& id) const {
  MutexLock lock(mu_);
  const auto found = tasks_.find(id);
  return found == tasks_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Task>> UploadService::All() const {
  std::vector<std::shared_ptr<Task>> all;
  MutexLock lock(mu_);
  for (const auto& [id, task] : tasks_) all.push_back(task);
  return all;
}

std::shared_ptr<Task> UploadService::Add(UploadOrder order) {
  MutexLock lock(mu_);
  if (order.id.empty()) {
    const std::string number = std::to_string(++started_);
    order.id =
        std::string(12 - std::min<size_t>(12, number.size()), '0') + number + "-" + RandomHex();
  }
  auto task = std::make_shared<Task>(world_, std::move(order));
  tasks_[task->order().id] = task;
  return task;
}

grpc::Status UploadService::Start(const clouddrive::StartRemoteUploadRequest& request,
                                  clouddrive::RemoteUploadStarted* reply) {
  const Result<std::string> path = NormalizePath(request.file_path());
  if (!path || *path == "/" || request.file_size() > std::numeric_limits<int64_t>::max()) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "invalid file path or size"};
  }
  const auto knobs = knobs_.Get();
  if (IsRefused(*knobs, NameOf(*path))) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "the name has a character that is not allowed"};
  }
  UploadOrder order;
  order.path = *path;
  order.size = request.file_size();
  order.client_hashes = request.client_can_calculate_hashes();
  order.device = channels_.NewestDevice();
  if (order.device.empty() && knobs->binding == Binding::kStrict) {
    return {grpc::StatusCode::FAILED_PRECONDITION, "no remote upload channel"};
  }
  for (const auto& [type, hex] : request.known_hashes()) {
    if (type < 1 || type > 3) continue;  // a kind of a newer protocol
    if (!LooksLikeHash(HashType{type}, hex)) {
      return {grpc::StatusCode::INVALID_ARGUMENT, "malformed known hash"};
    }
    order.known_hashes[type] = hex;
  }
  const std::shared_ptr<Task> task = Add(std::move(order));
  reply->set_upload_id(task->order().id);
  if (knobs->events_before_start) {
    task->Advance(Task::Jobs::kHere);
    if (knobs->start_delay.count() > 0) gate_.SleepFor(knobs->start_delay);
  } else {
    background_.PostAt(RealClock().Now() + knobs->start_delay + kAnswerTime,
                       [task] { task->Advance(Task::Jobs::kHere); });
    if (knobs->start_delay.count() > 0) gate_.SleepFor(knobs->start_delay);
  }
  return grpc::Status::OK;
}

std::shared_ptr<Stream<ChannelHub::Reply>> UploadService::OpenChannel(const std::string& device) {
  faults_.Count(&Counters::channels_opened);
  const ChannelHub::Opened opened = channels_.Open(device);
  for (const auto& task : All()) task->OnChannel(device, opened.serial);
  return opened.stream;
}

grpc::Status UploadService::UnknownId(bool* success) const {
  const auto knobs = knobs_.Get();
  *success = knobs->unknown_id == UnknownId::kOk;
  if (knobs->unknown_id != UnknownId::kError) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(knobs->unknown_id_code), "Upload session not found"};
}

grpc::Status UploadService::ReadData(const clouddrive::RemoteReadDataUpload& piece,
                                     clouddrive::RemoteReadDataReply* reply) {
  const std::shared_ptr<Task> task = Find(piece.upload_id());
  const Task::Answer answer = task ? task->TakeRead(piece) : Task::Answer::kUnknownUpload;
  switch (answer) {
    case Task::Answer::kTaken:
      reply->set_success(true);
      reply->set_bytes_received(piece.data().size());
      reply->set_is_last_chunk(piece.is_last_chunk());
      return grpc::Status::OK;
    case Task::Answer::kUnknownUpload: {
      bool success = false;
      grpc::Status status = UnknownId(&success);
      reply->set_success(success);
      if (!success) reply->set_error_message("Upload session not found");
      return status;
    }
    case Task::Answer::kNobodyWaits:
      reply->set_error_message("No pending read waiter");
      if (!knobs_.Get()->no_waiter_as_status) return grpc::Status::OK;
      return {grpc::StatusCode::FAILED_PRECONDITION, "No pending read waiter"};
    case Task::Answer::kInvalid:
      return {grpc::StatusCode::INVALID_ARGUMENT, "length or is_last_chunk is wrong"};
    case Task::Answer::kDiskError:
      break;
  }
  reply->set_error_message("the server cannot store the data");
  return grpc::Status::OK;
}

grpc::Status UploadService::HashProgress(const clouddrive::RemoteHashProgressUpload& progress) {
  const std::shared_ptr<Task> task = Find(progress.upload_id());
  const Task::Answer answer = task ? task->TakeHash(progress) : Task::Answer::kUnknownUpload;
  if (answer == Task::Answer::kUnknownUpload) {
    bool ignored = false;
    return UnknownId(&ignored);
  }
  if (answer == Task::Answer::kInvalid) {
    return {grpc::StatusCode::INVALID_ARGUMENT, "malformed hash"};
  }
  return grpc::Status::OK;
}

grpc::Status UploadService::Control(const clouddrive::RemoteUploadControlRequest& request) {
  const std::shared_ptr<Task> task = Find(request.upload_id());
  bool known = false;
  switch (request.control_case()) {
    case clouddrive::RemoteUploadControlRequest::kCancel:
      known = task && task->Cancel();
      break;
    case clouddrive::RemoteUploadControlRequest::kPause:
      known = task && task->Pause();
      break;
    case clouddrive::RemoteUploadControlRequest::kResume:
      known = task && task->Resume();
      break;
    case clouddrive::RemoteUploadControlRequest::CONTROL_NOT_SET:
      return {grpc::StatusCode::INVALID_ARGUMENT, "no control given"};
  }
  bool ignored = false;
  return known ? grpc::Status::OK : UnknownId(&ignored);
}

void UploadService::ForKeys(const clouddrive::MultpleUploadFileKeyRequest& request,
                            bool (Task::*action)()) {
  for (const std::string& key : request.keys()) {
    if (const auto task = Find(key)) (task.get()->*action)();
  }
}

std::vector<Info> UploadService::Running() const {
  std::vector<Info> list;
  for (const auto& task : All()) {
    if (!task->ended()) list.push_back(task->Info());
  }
  return list;
}

std::vector<Info> UploadService::ListAll() const {
  std::vector<Info> list;
  std::vector<std::shared_ptr<Task>> tasks;
  {
    // Both at once: an upload that ends now is in exactly one of them.
    MutexLock lock(mu_);
    list.assign(ended_.begin(), ended_.end());
    for (const auto& [id, task] : tasks_) tasks.push_back(task);
  }
  for (const auto& task : tasks) list.push_back(task->Info());
  // In the order of their starts.
  std::sort(list.begin(), list.end(),
            [](const Info& a, const Info& b) { return a.key() < b.key(); });
  return list;
}

grpc::Status UploadService::List(const clouddrive::GetUploadFileListRequest& request,
                                 clouddrive::GetUploadFileListResult* reply) {
  constexpr uint32_t kDefaultPage = 50;
  std::vector<Info> list = ListAll();
  reply->set_totalcount(static_cast<uint32_t>(list.size()));
  std::erase_if(list, [&](const Info& info) {
    return info.destpath().find(request.filter()) == std::string::npos ||
           (request.has_statusfilter() && request.statusfilter() != info.statusenum()) ||
           (request.has_operatortypefilter() &&
            request.operatortypefilter() != info.operatortype());
  });
  reply->set_totalcountfiltered(static_cast<uint32_t>(list.size()));
  for (const Info& info : list) {
    reply->set_totalbytes(reply->totalbytes() + info.size());
    reply->set_finishedbytes(reply->finishedbytes() + info.transferedbytes());
  }
  // getAll is not supported by newer servers; pages count from 0.
  const size_t page = request.itemsperpage() > 0 ? request.itemsperpage() : kDefaultPage;
  const size_t begin = std::min(list.size(), page * request.pagenumber());
  const size_t end = std::min(list.size(), begin + page);
  for (size_t i = begin; i < end; ++i) *reply->add_uploadfiles() = std::move(list[i]);
  return grpc::Status::OK;
}

bool UploadService::MayRun(const std::string& id) {
  const uint32_t most = knobs_.Get()->max_running;
  MutexLock lock(running_mu_);
  if (most > 0 && running_.size() >= most && !running_.contains(id)) return false;
  running_.insert(id);
  return true;
}

void UploadService::OnStatus(const std::shared_ptr<Task>& task) {
  const auto knobs = knobs_.Get();
  const Info info = task->Info();
  const bool ended = task->ended();
  if (ended) {
    {
      MutexLock lock(running_mu_);
      running_.erase(task->order().id);
    }
    MutexLock lock(mu_);
    if (tasks_.erase(task->order().id) > 0) ended_.push_back(info);
    while (ended_.size() > knobs->finished_listed) ended_.pop_front();
  }
  // Not from here: a poked task may end at once and come back to this place.
  if (ended && knobs->max_running > 0) background_.Post([this] { Poke(); });
  if (!knobs->push_uploads) return;
  clouddrive::CloudDrivePushMessage message;
  message.set_messagetype(clouddrive::CloudDrivePushMessage::UPLOADER_COUNT);
  auto* status = message.mutable_transfertaskstatus();
  status->set_uploadcount(static_cast<uint32_t>(All().size()));
  if (knobs->push_upload_details) *status->add_uploadfilestatuschanges() = info;
  push_.Send(message);
}

void UploadService::OnPublished(const Published& published) {
  const auto knobs = knobs_.Get();
  const Result<Entry> entry = store_.Find(published.path);
  if (!knobs->push_changes || !entry) return;
  const bool modify = published.replaced && knobs->push_modify;
  auto message = ChangeMessage(
      modify ? clouddrive::FileSystemChange::MODIFY : clouddrive::FileSystemChange::CREATE,
      published.path, false);
  *message.mutable_filesystemchange()->mutable_thefile() = ToFile(*entry, *knobs);
  push_.Send(message);
}

void UploadService::Poke() {
  for (const auto& task : All()) task->Advance();
}

void UploadService::LoadSessions() {
  for (UploadOrder& order : server::LoadSessions(&store_)) {
    const std::shared_ptr<Task> task = Add(std::move(order));
    {
      MutexLock lock(mu_);
      started_ = std::max<uint64_t>(started_, std::strtoull(task->order().id.c_str(), nullptr, 10));
    }
    task->Advance(Task::Jobs::kHere);
  }
}

void UploadService::Stop() {
  background_.Stop();
  std::vector<UploadOrder> orders;
  if (knobs_.Get()->keep_sessions) {
    for (const auto& task : All()) {
      if (std::optional<UploadOrder> order = task->Suspend()) orders.push_back(std::move(*order));
    }
  }
  if (Status saved = SaveSessions(&store_, orders); !saved) {
    Log::Warning("server: {}", saved.error().text);
  }
  std::map<std::string, std::shared_ptr<Task>> tasks;
  MutexLock lock(mu_);
  tasks_.swap(tasks);
}

}  // namespace outboxfs::server
