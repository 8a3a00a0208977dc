// The half of Task that talks: requests, answers, controls and statuses.
#include <algorithm>
#include <utility>

#include "server/task.h"

namespace outboxfs::server {
namespace {

using Info = clouddrive::UploadFileInfo;
using Reply = clouddrive::RemoteUploadChannelReply;

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

}  // namespace

uint64_t Task::SendLocked(Reply reply, bool terminal) {
  if (device_.empty()) device_ = world_.channels.NewestDevice();
  reply.set_upload_id(order_.id);
  return world_.channels.Send(device_, reply, terminal);
}

void Task::AskHashLocked(PendingHash* pending) {
  Reply reply;
  reply.mutable_hash_data()->set_hash_type(pending->ask.type);
  if (pending->ask.block_size > 0) {
    reply.mutable_hash_data()->set_block_size(pending->ask.block_size);
  }
  world_.faults.Count(&Counters::hashes_asked);
  pending->serial = SendLocked(std::move(reply));
  pending->last_news = RealClock().Now();
  const Millis repeat = world_.knobs.Get()->hash_repeat;
  if (repeat.count() > 0 && !std::exchange(repeat_due_, true)) {
    After(repeat, [](Task* task) { task->RepeatHashes(); });
  }
}

void Task::RepeatHashes() {
  const auto knobs = world_.knobs.Get();
  const SteadyTime now = RealClock().Now();
  MutexLock lock(mu_);
  repeat_due_ = false;
  if (ended_) return;
  SteadyTime next = SteadyTime::max();
  for (PendingHash& pending : pending_hashes_) {
    if (pending.last_news + knobs->hash_repeat <= now && !paused_) AskHashLocked(&pending);
    next = std::min(next, pending.last_news + knobs->hash_repeat);
  }
  if (pending_hashes_.empty() || std::exchange(repeat_due_, true)) return;
  const auto wait = std::chrono::ceil<Millis>(next - now);
  After(std::max(wait, Millis(1)), [](Task* task) { task->RepeatHashes(); });
}

uint64_t Task::SendReadLocked(const ReadAsk& ask) {
  Reply reply;
  reply.mutable_read_data()->set_offset(ask.range.begin);
  reply.mutable_read_data()->set_length(ask.range.size());
  reply.mutable_read_data()->set_lazy_read(ask.lazy);
  world_.faults.Count(&Counters::reads_asked);
  return SendLocked(std::move(reply));
}

void Task::AskReadLocked(const ReadAsk& ask) {
  // Known as asked before it is sent: the answer comes under this lock only.
  waiters_.Ask(ask, SendReadLocked(ask));
}

Task::Answer Task::TakeRead(const clouddrive::RemoteReadDataUpload& piece) {
  const auto knobs = world_.knobs.Get();
  const std::optional<ByteRange> range = ByteRange::FromOffset(piece.offset(), piece.data().size());
  if (!range || (knobs->check_length && piece.length() != range->size())) return Answer::kInvalid;
  if (knobs->check_last_chunk && piece.is_last_chunk() != (range->end == order_.size)) {
    return Answer::kInvalid;
  }
  std::shared_ptr<ReceivedFile> file;
  {
    MutexLock lock(mu_);
    if (ended_) return Answer::kUnknownUpload;
    if (phase_ != Phase::kTransferring || !waiters_.Waits(*range, piece.lazy_read())) {
      return Answer::kNobodyWaits;
    }
    ++writing_;
    file = file_;
  }
  const Status written = file->Write(range->begin, std::as_bytes(std::span(piece.data())));
  {
    MutexLock lock(mu_);
    --writing_;
    if (ended_) return Answer::kUnknownUpload;
    if (written) {
      waiters_.Fill(*range, piece.lazy_read());
    } else {
      EndLocked(Info::Error, written.error().text);
    }
  }
  world_.faults.Count(&Counters::bytes_received, range->size());
  Advance();
  return written ? Answer::kTaken : Answer::kDiskError;
}

bool Task::AnswersLocked(const PendingHash& pending,
                         const clouddrive::RemoteHashProgressUpload& final) const {
  const uint32_t block = pending.ask.block_size;
  if (pending.ask.type != static_cast<uint32_t>(final.hash_type())) return false;
  return block == 0 ||
         (order_.size + block - 1) / block == static_cast<uint64_t>(final.block_hashes_size());
}

bool Task::TakeFinalHashLocked(const clouddrive::RemoteHashProgressUpload& final) {
  const uint32_t type = static_cast<uint32_t>(final.hash_type());
  if (type < 1 || type > 3 || !LooksLikeHash(HashType{type}, final.hash_value())) return false;
  bool asked = false;
  bool answered = false;
  for (auto pending = pending_hashes_.begin(); pending != pending_hashes_.end();) {
    asked = asked || pending->ask.type == type;
    if (!AnswersLocked(*pending, final)) {
      ++pending;
      continue;
    }
    answered = true;
    if (pending->ask.block_size > 0) {
      auto& blocks = announced_.md5_blocks[pending->ask.block_size];
      blocks.clear();
      for (const std::string& hex : final.block_hashes()) blocks.push_back(LowerCase(hex));
    }
    announced_.whole[type] = final.hash_value();
    pending = pending_hashes_.erase(pending);
  }
  // A repeated final message is nothing wrong, also while blocks of the same kind are still owed.
  const auto known = announced_.whole.find(type);
  const bool repeated = known != announced_.whole.end() && final.block_hashes().empty() &&
                        LowerCase(known->second) == LowerCase(final.hash_value());
  return answered || !asked || repeated;
}

Task::Answer Task::TakeHash(const clouddrive::RemoteHashProgressUpload& progress) {
  {
    MutexLock lock(mu_);
    if (ended_) return Answer::kUnknownUpload;
    for (PendingHash& pending : pending_hashes_) {
      if (pending.ask.type == static_cast<uint32_t>(progress.hash_type())) {
        pending.last_news = RealClock().Now();
      }
    }
    // Present but empty means absent.
    if (progress.hash_value().empty()) return Answer::kTaken;
    if (!TakeFinalHashLocked(progress)) return Answer::kInvalid;
  }
  Advance();
  return Answer::kTaken;
}

void Task::OnChannel(const std::string& device, uint64_t serial) {
  const auto knobs = world_.knobs.Get();
  MutexLock lock(mu_);
  if (ended_) return;
  if (device_.empty()) device_ = device;
  if (device_ != device && knobs->binding != Binding::kBroadcast) return;
  for (const ReadAsk& ask : waiters_.TakeUnsent(serial, !knobs->replay)) SendReadLocked(ask);
  for (PendingHash& pending : pending_hashes_) {
    const bool unseen = knobs->replay ? pending.serial < serial : pending.serial == 0;
    if (unseen) AskHashLocked(&pending);
  }
}

bool Task::Cancel() {
  {
    MutexLock lock(mu_);
    if (ended_) return false;
    if (placing_) return true;  // too late: it finishes
    EndLocked(Info::Cancelled);
  }
  ReportNews();
  return true;
}

bool Task::Pause() {
  {
    MutexLock lock(mu_);
    if (ended_) return false;
    if (!std::exchange(paused_, true)) StatusLocked(Info::Pause);
  }
  ReportNews();
  return true;
}

bool Task::Resume() {
  {
    MutexLock lock(mu_);
    if (ended_) return false;
    if (!std::exchange(paused_, false)) return true;
    StatusLocked(phase_ == Phase::kTransferring ? Info::Transfer : Info::Preprocessing);
    // A client may have dropped what it had to do when it was paused.
    for (const ReadAsk& ask : waiters_.all()) waiters_.Resent(ask, SendReadLocked(ask));
    for (PendingHash& pending : pending_hashes_) AskHashLocked(&pending);
  }
  Advance();
  return true;
}

void Task::StatusLocked(UploadStatus status, const std::string& text) {
  Reply reply;
  reply.mutable_status_changed()->set_status(status);
  reply.mutable_status_changed()->set_error_message(text);
  status_ = status;
  error_ = text;
  news_ = true;
  SendLocked(std::move(reply), ended_);
}

void Task::EndLocked(UploadStatus status, const std::string& text) {
  ended_ = true;
  pending_hashes_.clear();
  const bool good = status == Info::Finish || status == Info::Skipped;
  world_.faults.Count(good ? &Counters::uploads_finished : &Counters::uploads_failed);
  StatusLocked(status, text);
}

void Task::ReportNews() {
  {
    MutexLock lock(mu_);
    if (!std::exchange(news_, false)) return;
  }
  world_.on_status(shared_from_this());
}

void Task::After(Millis delay, std::function<void(Task*)> method) {
  world_.background.PostAt(RealClock().Now() + delay,
                           [weak = weak_from_this(), method = std::move(method)] {
                             if (const auto task = weak.lock()) method(task.get());
                           });
}

clouddrive::UploadFileInfo Task::Info() const {
  MutexLock lock(mu_);
  clouddrive::UploadFileInfo info;
  info.set_key(order_.id);
  info.set_destpath(order_.path);
  info.set_size(order_.size);
  info.set_transferedbytes(file_ ? file_->received() : 0);
  info.set_status(LowerCase(clouddrive::UploadFileInfo::Status_Name(status_)));
  info.set_statusenum(status_);
  info.set_errormessage(error_);
  info.set_operatortype(clouddrive::UploadFileInfo::RemoteUpload);
  return info;
}

bool Task::ended() const {
  MutexLock lock(mu_);
  return ended_;
}

std::optional<UploadOrder> Task::Suspend() {
  MutexLock lock(mu_);
  if (ended_) return std::nullopt;
  ended_ = true;
  suspended_ = true;
  UploadOrder order = order_;
  order.device = device_;
  if (file_) order.present = file_->present();
  return order;
}

}  // namespace outboxfs::server
