// Computes and reports the hashes that the server asks for (docs/PROTOCOL.md, rule 6): one job per
// (upload, kind), several kinds of one upload in one pass over its bytes; a repeated request joins
// the running pass or gets the final message again. Results are remembered in the store: a retry
// never hashes again.
//
// Thread-safe. Locks: one leaf; nothing is called under it.
#pragma once

#include <chrono>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "cache/store.h"
#include "common/clock.h"
#include "remote/upload_api.h"
#include "upload/digests.h"
#include "upload/source.h"

namespace outboxfs::upload {

struct HasherOptions {
  size_t threads = 2;
  std::chrono::nanoseconds report_every = std::chrono::milliseconds(250);
  uint64_t max_blocks = 1'000'000;  // of one MD5 block list (34 bytes each, one message)
  std::chrono::nanoseconds backoff_first = std::chrono::milliseconds(250);
  std::chrono::nanoseconds backoff_max = std::chrono::seconds(15);
};

class Hasher {
 public:
  // References must outlive it.
  Hasher(remote::UploadApi& api, cache::Store& store, const Clock& clock, HasherOptions options,
         ServeSink& sink);
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  // `known`: the digests of this generation so far.
  void Open(Source source, const cache::Digests& known);
  // Ends running work; a job that the server asked for gets one last message without value when
  // `tell_server`.
  void Close(RunKey key, bool tell_server);

  // After success: as Close, but a final message on its way is let through: it is part of the
  // proof. True when there is none; else OnIdle follows.
  bool CloseGently(RunKey key);

  enum class Admission { kQueued, kUnknownType, kTooManyBlocks, kClosed };
  Admission Ask(RunKey key, const remote::HashRequest& request);
  // For our own proof; nothing is sent.
  void Compute(RunKey key, const std::set<remote::HashType>& types);

  uint64_t BytesHashed(RunKey key) const;

 private:
  struct Desk;
  struct Desks;
  using DeskPtr = std::shared_ptr<Desk>;

  void Run(const std::stop_token& stop);
  DeskPtr Next(const std::stop_token& stop);
  void Work(Desk& desk, const std::stop_token& pool_stop);
  void ComputePass(Desk& desk, const DigestPlan& plan, const std::stop_token& pool_stop);
  Result<DigestResult> ReadAll(Desk& desk, const DigestPlan& plan);
  void ReportProgress(Desk& desk, const DigestPlan& plan, uint64_t hashed);
  void SendLastWords(Desk& desk, const DigestPlan& plan, const std::stop_token& pool_stop);
  void SendFinal(Desk& desk, const remote::HashRequest& request);
  void EndWithTrouble(Desk& desk, Trouble trouble);

  remote::UploadApi& api_;
  cache::Store& store_;
  const Clock& clock_;
  const HasherOptions options_;
  ServeSink& sink_;
  const std::unique_ptr<Desks> desks_;
  std::vector<std::jthread> threads_;  // last: joined before anything above goes
};

}  // namespace outboxfs::upload
