#include "upload/read_server.h"

#include <algorithm>
#include <cerrno>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/thread.h"
#include "upload/policy.h"

namespace outboxfs::upload {
namespace {

constexpr uint64_t kMaxPiece = 1 << 20;
constexpr auto kForEver = std::chrono::hours(24);

// The range that a request means. nullopt: it names bytes that do not exist.
std::optional<ByteRange> Meant(const remote::ReadRequest& request, uint64_t size) {
  if (request.length == 0 && request.offset <= size) return ByteRange{request.offset, size};
  const auto range = ByteRange::FromOffset(request.offset, request.length);
  if (!range || range->end > size) return std::nullopt;
  return range;
}

Trouble ToTrouble(const Error& error) {
  if (error.code == ENOENT) return Trouble{Trouble::Kind::kUnknownUpload, error};
  return Trouble{Trouble::Kind::kRefused, error};
}

}  // namespace

// A part of a request, to be answered by one call.
struct ReadServer::Piece {
  remote::ReadRequest request;
  ByteRange range;
  int failures = 0;
  bool may_have_arrived = false;  // by a call whose answer did not come in time
};

// One upload. Fields are guarded by Lanes::mu but for the constant source and the atomics.
struct ReadServer::Lane {
  explicit Lane(Source s) : source(std::move(s)) {}

  struct Asked {
    uint64_t next = 0;  // first byte not handed out yet
    uint64_t end = 0;
    size_t handed_out = 0;  // pieces being sent or waiting to be sent again
  };

  const Source source;
  std::stop_source stop;
  std::map<remote::ReadRequest, Asked> asked;  // everything outstanding
  std::deque<remote::ReadRequest> order;       // requests with bytes not handed out yet
  std::deque<Piece> again;                     // pieces whose call failed
  SteadyTime not_before;                       // while backing off
  int running = 0;                             // pieces in a thread's hands
  bool ended = false;                          // serves nothing more
  bool tell_idle = false;                      // OnIdle is owed once nothing runs
  bool unsure = false;                         // see Progress
  std::atomic<uint64_t> served{0};

  bool HasWork(SteadyTime now) const {
    return !ended && not_before <= now && (!again.empty() || !order.empty());
  }
  bool IsBackingOff(SteadyTime now) const {
    return !ended && not_before > now && (!again.empty() || !order.empty());
  }
  Piece TakePiece();
  // `piece` was answered.
  void Done(const Piece& piece);
};

struct ReadServer::Lanes {
  Mutex mu;
  CondVar changed;
  std::map<RunKey, std::shared_ptr<Lane>> by_key ABSL_GUARDED_BY(mu);
  RunKey last_served ABSL_GUARDED_BY(mu) = 0;

  // The next upload in turn that has something to send.
  std::shared_ptr<Lane> PickLocked(SteadyTime now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    auto it = by_key.upper_bound(last_served);
    for (size_t i = 0; i < by_key.size(); ++i, ++it) {
      if (it == by_key.end()) it = by_key.begin();
      if (!it->second->HasWork(now)) continue;
      last_served = it->first;
      return it->second;
    }
    return nullptr;
  }
  SteadyTime WakeTimeLocked(SteadyTime now) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) {
    SteadyTime wake = now + kForEver;
    for (const auto& [key, lane] : by_key) {
      if (lane->IsBackingOff(now)) wake = std::min(wake, lane->not_before);
    }
    return wake;
  }
};

ReadServer::Piece ReadServer::Lane::TakePiece() {
  if (!again.empty()) {
    Piece piece = again.front();
    again.pop_front();
    return piece;
  }
  const remote::ReadRequest request = order.front();
  Asked& state = asked.at(request);
  Piece piece{request, {state.next, std::min(state.end, state.next + kMaxPiece)}, 0, false};
  state.next = piece.range.end;
  ++state.handed_out;
  if (state.next == state.end) order.pop_front();
  return piece;
}

void ReadServer::Lane::Done(const Piece& piece) {
  not_before = SteadyTime();
  const auto it = asked.find(piece.request);
  if (--it->second.handed_out == 0 && it->second.next == it->second.end) asked.erase(it);
}

ReadServer::ReadServer(remote::UploadApi& api, cache::Store& store, const Clock& clock,
                       ReadServerOptions options, ServeSink& sink)
    : api_(api),
      store_(store),
      clock_(clock),
      options_(options),
      sink_(sink),
      window_(options.window),
      bucket_(options.bwlimit),
      lanes_(std::make_unique<Lanes>()) {
  for (size_t i = 0; i < options_.threads; ++i) {
    threads_.push_back(StartThread("obx-read", [this](const std::stop_token& stop) { Run(stop); }));
  }
}

ReadServer::~ReadServer() {
  for (std::jthread& thread : threads_) thread.request_stop();
  MutexLock lock(lanes_->mu);
  for (const auto& [key, lane] : lanes_->by_key) lane->stop.request_stop();
}

void ReadServer::Open(Source source) {
  MutexLock lock(lanes_->mu);
  const RunKey key = source.key;
  lanes_->by_key[key] = std::make_shared<Lane>(std::move(source));
}

void ReadServer::Close(RunKey key) {
  std::shared_ptr<Lane> lane;
  {
    MutexLock lock(lanes_->mu);
    const auto it = lanes_->by_key.find(key);
    if (it == lanes_->by_key.end()) return;
    lane = std::move(it->second);
    lane->ended = true;
    lanes_->by_key.erase(it);
  }
  lane->stop.request_stop();
}

bool ReadServer::CloseGently(RunKey key) {
  std::shared_ptr<Lane> lane;
  std::deque<Piece> unsure;
  bool idle = false;
  {
    MutexLock lock(lanes_->mu);
    const auto it = lanes_->by_key.find(key);
    if (it == lanes_->by_key.end()) return true;
    lane = it->second;
    lane->ended = true;
    lane->tell_idle = lane->running > 0;
    idle = !lane->tell_idle;
    unsure.swap(lane->again);
    lane->unsure = std::any_of(unsure.begin(), unsure.end(),
                               [](const Piece& piece) { return !piece.may_have_arrived; });
  }
  // Sent, but the reply was lost: what the server had not got it would have waited for.
  for (const Piece& piece : unsure) {
    if (piece.may_have_arrived) CountServed(*lane, piece.range);
  }
  return idle;
}

ReadServer::Admission ReadServer::Add(RunKey key, const remote::ReadRequest& request) {
  {
    MutexLock lock(lanes_->mu);
    const auto it = lanes_->by_key.find(key);
    if (it == lanes_->by_key.end() || it->second->ended) return Admission::kClosed;
    Lane& lane = *it->second;
    if (lane.asked.contains(request)) return Admission::kDuplicate;
    const auto range = Meant(request, lane.source.reader->size());
    if (!range) return Admission::kPastEnd;
    if (lane.asked.size() >= options_.max_outstanding) return Admission::kTooMany;
    lane.asked[request] = Lane::Asked{range->begin, range->end, 0};
    lane.order.push_back(request);
  }
  lanes_->changed.NotifyOne();
  return Admission::kQueued;
}

ReadServer::Progress ReadServer::ProgressOf(RunKey key) const {
  MutexLock lock(lanes_->mu);
  const auto it = lanes_->by_key.find(key);
  if (it == lanes_->by_key.end()) return {};
  return Progress{it->second->served, !it->second->asked.empty(), it->second->unsure};
}

void ReadServer::Run(const std::stop_token& stop) {
  std::vector<std::byte> buffer;
  std::shared_ptr<Lane> lane;
  Piece piece;
  while (Next(stop, lane, piece)) {
    std::optional<Trouble> trouble;
    const Status outcome = Serve(*lane, piece, buffer, trouble);
    Finish(lane, piece, outcome, std::move(trouble));
  }
}

bool ReadServer::Next(const std::stop_token& stop, std::shared_ptr<Lane>& lane, Piece& piece) {
  lane.reset();  // an ended upload may not be kept open by an idle thread
  MutexLock lock(lanes_->mu);
  while (!stop.stop_requested()) {
    const SteadyTime now = clock_.Now();
    lane = lanes_->PickLocked(now);
    if (lane != nullptr) {
      piece = lane->TakePiece();
      ++lane->running;
      if (lane->HasWork(now)) lanes_->changed.NotifyOne();  // pieces of one request go side by side
      return true;
    }
    lanes_->changed.WaitUntil(lanes_->mu, stop, lanes_->WakeTimeLocked(now));
  }
  return false;
}

Status ReadServer::Serve(Lane& lane, const Piece& piece, std::vector<std::byte>& buffer,
                         std::optional<Trouble>& trouble) {
  const std::stop_token stop = lane.stop.get_token();
  const auto length = static_cast<size_t>(piece.range.size());
  const auto permit = window_.Take(2 * length, stop, clock_.Now() + kForEver);
  if (!permit || stop.stop_requested()) return Fail(ECANCELED, "upload ended");
  if (Status paid = WaitForRate(lane, length); !paid) return paid;

  buffer.resize(length);
  cache::SealedReader& reader = *lane.source.reader;
  if (Status read = reader.Read(buffer, piece.range.begin); !read) {
    const bool changed = read.error().code == ESTALE;
    trouble = Trouble{changed ? Trouble::Kind::kChanged : Trouble::Kind::kUnreadable, read.error()};
    return read;
  }
  remote::ReadAnswer answer;
  answer.upload_id = lane.source.upload_id;
  answer.offset = piece.range.begin;
  answer.lazy_read = piece.request.lazy_read;
  answer.is_last_chunk = piece.range.end == reader.size();
  answer.data = buffer;
  return api_.AnswerRead(answer, stop);
}

Status ReadServer::WaitForRate(const Lane& lane, uint64_t bytes) {
  const auto pause = bucket_.Take(bytes, clock_.Now());
  if (pause.count() == 0) return {};
  const std::stop_token stop = lane.stop.get_token();
  const SteadyTime until = clock_.Now() + pause;
  Mutex mu;
  CondVar never;
  MutexLock lock(mu);
  while (!stop.stop_requested() && never.WaitUntil(mu, stop, until)) {
  }
  if (stop.stop_requested()) return Fail(ECANCELED, "upload ended");
  return {};
}

void ReadServer::Finish(const std::shared_ptr<Lane>& lane, Piece piece, const Status& outcome,
                        std::optional<Trouble> trouble) {
  const int code = outcome ? 0 : outcome.error().code;
  // "Nobody waits for this answer" is harmless. When an earlier call for it had failed, that one
  // has arrived all the same.
  const bool unwanted = code == ESTALE && !trouble;
  // Forgotten, or so the server says: what became of it is looked up, until then it is tried on.
  const bool unknown = code == ENOENT && !trouble;
  const bool again = unknown || (!outcome && !trouble && outcome.error().retry == Retry::kBackoff);
  if (again && code == ETIMEDOUT) piece.may_have_arrived = true;
  bool sent = outcome || (unwanted && piece.failures > 0);
  {
    MutexLock lock(lanes_->mu);
    if (lane->ended) {
      sent |= lane->tell_idle && again && piece.may_have_arrived;  // as in CloseGently
      lane->unsure |= again && !sent;
      trouble.reset();
    } else if (outcome || unwanted) {
      lane->Done(piece);
    } else if (again) {
      lane->not_before = clock_.Now() + Backoff(piece.failures++, options_.backoff_first,
                                                options_.backoff_max, Chance());
      lane->again.push_back(piece);
      if (unknown) trouble = ToTrouble(outcome.error());
    } else {
      lane->ended = true;
      if (!trouble) trouble = ToTrouble(outcome.error());
    }
  }
  if (sent) CountServed(*lane, piece.range);
  if (!outcome) {
    Log::Debug("upload {}: answer at {}: {}", lane->source.upload_id, piece.range.begin,
               outcome.error().text);
    lanes_->changed.NotifyOne();  // somebody has to wait until `not_before`
  }
  if (trouble) sink_.OnTrouble(lane->source.key, *std::move(trouble));
  Leave(*lane);
}

// Only after the piece was counted: who waits for idle looks at the sum.
void ReadServer::Leave(Lane& lane) {
  bool idle = false;
  {
    MutexLock lock(lanes_->mu);
    idle = --lane.running == 0 && std::exchange(lane.tell_idle, false);
  }
  if (idle) sink_.OnIdle(lane.source.key);
}

void ReadServer::CountServed(Lane& lane, const ByteRange& range) {
  lane.served += range.size();
  bytes_acknowledged_ += range.size();
  if (!range.empty()) store_.MarkServed(lane.source.item, lane.source.generation, range);
}

}  // namespace outboxfs::upload
