#include "upload/hasher.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/thread.h"
#include "upload/policy.h"

namespace outboxfs::upload {
namespace {

using remote::HashRequest;
using remote::HashType;

constexpr size_t kReadPiece = 1 << 20;
constexpr auto kForEver = std::chrono::hours(24);

// Only MD5 has blocks (docs/PROTOCOL.md, rule 6).
HashRequest Normalised(HashRequest request) {
  if (request.type != static_cast<uint32_t>(HashType::kMd5)) request.block_size = 0;
  return request;
}

}  // namespace

// One upload. Fields are guarded by Desks::mu but for the constant source and the atomics; the
// thread that set `busy` alone works on it.
struct Hasher::Desk {
  Desk(Source s, cache::Digests known) : source(std::move(s)), digests(std::move(known)) {}

  const Source source;
  std::stop_source stop;
  cache::Digests digests;
  std::map<uint32_t, std::vector<std::string>> blocks;  // by block size
  std::set<HashRequest> asked;                          // final message not delivered yet
  std::set<HashType> wanted;                            // for our own proof
  bool busy = false;
  bool sending = false;    // a final message is on its way
  bool tell_idle = false;  // OnIdle is owed when it has ended
  bool ended = false;
  bool tell_server = false;
  int failures = 0;
  SteadyTime not_before;
  std::atomic<uint64_t> hashed{0};

  bool HasResult(const HashRequest& request) const {
    return digests.contains(request.type) &&
           (request.block_size == 0 || blocks.contains(request.block_size));
  }
  bool HasWork() const { return !ended && !busy && (!asked.empty() || !wanted.empty()); }
  std::optional<HashRequest> Deliverable() const;
  DigestPlan Plan() const;
};

struct Hasher::Desks {
  Mutex mu;
  CondVar changed;
  std::map<RunKey, DeskPtr> by_key ABSL_GUARDED_BY(mu);
};

// A request whose final message can be sent now.
std::optional<HashRequest> Hasher::Desk::Deliverable() const {
  for (const HashRequest& request : asked) {
    if (HasResult(request)) return request;
  }
  return std::nullopt;
}

// Everything that is still to be computed, as far as one pass can.
DigestPlan Hasher::Desk::Plan() const {
  DigestPlan plan;
  const auto add = [this, &plan](HashType type) {
    if (!digests.contains(static_cast<uint32_t>(type))) plan.types.insert(type);
  };
  for (const HashType type : wanted) add(type);
  for (const HashRequest& request : asked) {
    add(static_cast<HashType>(request.type));
    if (plan.md5_block == 0 && !blocks.contains(request.block_size)) {
      plan.md5_block = request.block_size;
    }
  }
  return plan;
}

Hasher::Hasher(remote::UploadApi& api, cache::Store& store, const Clock& clock,
               HasherOptions options, ServeSink& sink)
    : api_(api),
      store_(store),
      clock_(clock),
      options_(options),
      sink_(sink),
      desks_(std::make_unique<Desks>()) {
  for (size_t i = 0; i < options_.threads; ++i) {
    threads_.push_back(
        StartThread("obx-hasher", [this](const std::stop_token& stop) { Run(stop); }));
  }
}

Hasher::~Hasher() {
  for (std::jthread& thread : threads_) thread.request_stop();
  MutexLock lock(desks_->mu);
  for (const auto& [key, desk] : desks_->by_key) desk->stop.request_stop();
}

void Hasher::Open(Source source, const cache::Digests& known) {
  MutexLock lock(desks_->mu);
  const RunKey key = source.key;
  desks_->by_key[key] = std::make_shared<Desk>(std::move(source), known);
}

void Hasher::Close(RunKey key, bool tell_server) {
  DeskPtr desk;
  {
    MutexLock lock(desks_->mu);
    const auto it = desks_->by_key.find(key);
    if (it == desks_->by_key.end()) return;
    desk = std::move(it->second);
    desk->ended = true;
    desk->tell_server = tell_server;
    desks_->by_key.erase(it);
  }
  desk->stop.request_stop();
}

bool Hasher::CloseGently(RunKey key) {
  {
    MutexLock lock(desks_->mu);
    const auto it = desks_->by_key.find(key);
    if (it == desks_->by_key.end()) return true;
    Desk& desk = *it->second;
    if (desk.sending) {
      desk.ended = desk.tell_idle = true;
      desks_->by_key.erase(it);
      return false;
    }
  }
  Close(key, false);
  return true;
}

Hasher::Admission Hasher::Ask(RunKey key, const HashRequest& request) {
  const HashRequest wanted = Normalised(request);
  if (!IsKnownHash(wanted.type)) return Admission::kUnknownType;
  {
    MutexLock lock(desks_->mu);
    const auto it = desks_->by_key.find(key);
    if (it == desks_->by_key.end() || it->second->ended) return Admission::kClosed;
    Desk& desk = *it->second;
    if (wanted.block_size > 0 &&
        desk.source.reader->size() / wanted.block_size > options_.max_blocks) {
      return Admission::kTooManyBlocks;
    }
    desk.asked.insert(wanted);
  }
  desks_->changed.NotifyOne();
  return Admission::kQueued;
}

void Hasher::Compute(RunKey key, const std::set<HashType>& types) {
  {
    MutexLock lock(desks_->mu);
    const auto it = desks_->by_key.find(key);
    if (it == desks_->by_key.end() || it->second->ended) return;
    it->second->wanted.insert(types.begin(), types.end());
  }
  desks_->changed.NotifyOne();
}

uint64_t Hasher::BytesHashed(RunKey key) const {
  MutexLock lock(desks_->mu);
  const auto it = desks_->by_key.find(key);
  return it == desks_->by_key.end() ? 0 : it->second->hashed.load();
}

void Hasher::Run(const std::stop_token& stop) {
  while (const DeskPtr desk = Next(stop)) {
    Work(*desk, stop);
    {
      MutexLock lock(desks_->mu);
      desk->busy = false;
    }
    desks_->changed.NotifyOne();
  }
}

Hasher::DeskPtr Hasher::Next(const std::stop_token& stop) {
  MutexLock lock(desks_->mu);
  while (!stop.stop_requested()) {
    const SteadyTime now = clock_.Now();
    SteadyTime wake = now + kForEver;
    for (const auto& [key, desk] : desks_->by_key) {
      if (!desk->HasWork()) continue;
      if (desk->not_before <= now) {
        desk->busy = true;
        return desk;
      }
      wake = std::min(wake, desk->not_before);
    }
    desks_->changed.WaitUntil(desks_->mu, stop, wake);
  }
  return nullptr;
}

// One step: a final message if one is ready, else a pass over the bytes.
void Hasher::Work(Desk& desk, const std::stop_token& pool_stop) {
  std::optional<HashRequest> ready;
  DigestPlan plan;
  {
    MutexLock lock(desks_->mu);
    ready = desk.Deliverable();
    plan = desk.Plan();
  }
  if (ready) {
    SendFinal(desk, *ready);
  } else if (!plan.types.empty() || plan.md5_block > 0) {
    ComputePass(desk, plan, pool_stop);
  } else {
    {
      MutexLock lock(desks_->mu);
      desk.wanted.clear();
    }
    sink_.OnComputed(desk.source.key);
  }
}

void Hasher::ComputePass(Desk& desk, const DigestPlan& plan, const std::stop_token& pool_stop) {
  Result<DigestResult> result = ReadAll(desk, plan);
  if (desk.stop.stop_requested()) {
    SendLastWords(desk, plan, pool_stop);
    return;
  }
  if (!result) {
    const bool changed = result.error().code == ESTALE;
    EndWithTrouble(desk, Trouble{changed ? Trouble::Kind::kChanged : Trouble::Kind::kUnreadable,
                                 result.error()});
    return;
  }
  if (const Status kept =
          store_.SetDigests(desk.source.item, desk.source.generation, result->digests);
      !kept) {
    Log::Info("item {}: digests not kept: {}", desk.source.item, kept.error().text);
  }
  MutexLock lock(desks_->mu);
  desk.digests.merge(result->digests);
  if (plan.md5_block > 0) desk.blocks[plan.md5_block] = std::move(result->md5_blocks);
}

Result<DigestResult> Hasher::ReadAll(Desk& desk, const DigestPlan& plan) {
  cache::SealedReader& reader = *desk.source.reader;
  Digester digester(plan, reader.size());
  std::vector<std::byte> buffer(std::min<uint64_t>(kReadPiece, reader.size()));
  SteadyTime next_report = clock_.Now() + options_.report_every;
  for (uint64_t at = 0; at < reader.size() && !desk.stop.stop_requested(); at += buffer.size()) {
    buffer.resize(std::min<uint64_t>(kReadPiece, reader.size() - at));
    if (const Status read = reader.Read(buffer, at); !read) return Fail(read.error());
    digester.Update(buffer);
    desk.hashed = at + buffer.size();
    if (clock_.Now() < next_report) continue;
    ReportProgress(desk, plan, desk.hashed);
    next_report = clock_.Now() + options_.report_every;
  }
  return digester.Finish();
}

void Hasher::ReportProgress(Desk& desk, const DigestPlan& plan, uint64_t hashed) {
  std::set<HashType> types;
  {
    MutexLock lock(desks_->mu);
    for (const HashRequest& request : desk.asked) {
      const auto type = static_cast<HashType>(request.type);
      if (plan.types.contains(type) || plan.md5_block > 0) types.insert(type);
    }
  }
  for (const HashType type : types) {
    remote::HashReport report;
    report.upload_id = desk.source.upload_id;
    report.type = type;
    report.bytes_hashed = hashed;
    report.total_bytes = desk.source.reader->size();
    // One lost progress message costs nothing: the next follows, and the final one is repeated.
    if (const Status sent = api_.ReportHash(report, desk.stop.get_token()); !sent) {
      Log::Debug("upload {}: hash progress: {}", report.upload_id, sent.error().text);
    }
  }
}

// The pass was cut short: one last message without value for what the server had asked for.
void Hasher::SendLastWords(Desk& desk, const DigestPlan& plan, const std::stop_token& pool_stop) {
  {
    MutexLock lock(desks_->mu);
    if (!desk.tell_server) return;
  }
  for (const HashType type : plan.types) {
    remote::HashReport report;
    report.upload_id = desk.source.upload_id;
    report.type = type;
    report.bytes_hashed = desk.hashed;
    report.total_bytes = desk.source.reader->size();
    if (const Status sent = api_.ReportHash(report, pool_stop); !sent) {
      Log::Debug("upload {}: last hash message: {}", report.upload_id, sent.error().text);
    }
  }
}

void Hasher::SendFinal(Desk& desk, const HashRequest& request) {
  remote::HashReport report;
  report.upload_id = desk.source.upload_id;
  report.type = static_cast<HashType>(request.type);
  report.bytes_hashed = report.total_bytes = desk.source.reader->size();
  {
    MutexLock lock(desks_->mu);
    if (desk.ended) return;
    desk.sending = true;
    desk.asked.erase(request);  // asked again from here on: sent again
    report.hash = desk.digests.at(request.type);
    if (request.block_size > 0) report.block_hashes = desk.blocks.at(request.block_size);
  }
  const Status sent = api_.ReportHash(report, desk.stop.get_token());
  bool idle = false;
  {
    MutexLock lock(desks_->mu);
    desk.sending = false;
    idle = desk.tell_idle;
    if (sent) {
      desk.failures = 0;
    } else {
      desk.asked.insert(request);
      desk.not_before = clock_.Now() + Backoff(desk.failures++, options_.backoff_first,
                                               options_.backoff_max, Chance());
    }
  }
  if (sent) sink_.OnHashGiven(desk.source.key);
  if (idle) sink_.OnIdle(desk.source.key);
  if (sent) return;
  if (sent.error().code == ENOENT) {
    // What became of it is looked up; until then it is tried on.
    sink_.OnTrouble(desk.source.key, Trouble{Trouble::Kind::kUnknownUpload, sent.error()});
  } else if (sent.error().retry != Retry::kBackoff) {
    EndWithTrouble(desk, Trouble{Trouble::Kind::kRefused, sent.error()});
  }
}

void Hasher::EndWithTrouble(Desk& desk, Trouble trouble) {
  {
    MutexLock lock(desks_->mu);
    if (desk.ended) return;
    desk.ended = true;
  }
  sink_.OnTrouble(desk.source.key, std::move(trouble));
}

}  // namespace outboxfs::upload
