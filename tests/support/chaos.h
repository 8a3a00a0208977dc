// A server with moods: each Stir() changes how it behaves, by a seed. Calm() makes it a good one.
#pragma once

#include <array>
#include <string>
#include <utility>

#include "support/random.h"
#include "support/test_server.h"

namespace outboxfs::test {

class Chaos {
 public:
  // `lingering`: most uploads stay under way.
  Chaos(TestServer& server, uint64_t seed, bool lingering = false)
      : server_(server), random_(seed), lingering_(lingering) {}

  // What it did, for the report.
  std::string Stir() {
    switch (random_.Below(12)) {
      case 0:
        server_->DropChannels();
        return "channels dropped";
      case 1:
        return Restart();
      case 2:
      case 3:
      case 4:
        return Fail();
      case 5:
      case 6:
        return Delay();
      case 7:
        Calm();
        return "calm";
      default:
        return Knobs();
    }
  }
  void Calm() {
    server_->faults().Clear();
    server_->SetKnobs({});
  }

 private:
  static constexpr std::array<const char*, 11> kCalls = {
      "StartRemoteUpload",  "RemoteReadData",    "RemoteHashProgress", "RemoteUploadControl",
      "CreateFolder",       "RenameFile",        "MoveFile",           "DeleteFile",
      "GetDownloadUrlPath", "GetUploadFileList", "GetSubFiles"};

  std::string Restart() {
    // Uploads survive or not.
    const bool keep = random_.Percent(50);
    server_.Change([&](server::Knobs& knobs) { knobs.keep_sessions = keep; });
    server_.Restart();  // its faults are gone with it
    return keep ? "restarted, uploads kept" : "restarted";
  }
  std::string Fail() {
    const char* const call = kCalls[random_.Below(kCalls.size())];
    const auto count = static_cast<int>(random_.Between(1, 3));
    // success=false, UNKNOWN, INTERNAL, UNAVAILABLE.
    static constexpr std::array<int, 4> kCodes = {0, 2, 13, 14};
    const int code = kCodes[random_.Below(kCodes.size())];
    const bool after = random_.Percent(50);
    server_->faults().FailNext(call, count, code, "chaos",
                               after ? server::FailWhen::kAfter : server::FailWhen::kInstead);
    return std::string(call) + " fails " + std::to_string(count) + " times with " +
           std::to_string(code) + (after ? ", done all the same" : "");
  }
  std::string Delay() {
    const char* const call = kCalls[random_.Below(kCalls.size())];
    const auto delay = server::Millis(random_.Between(1, 100));
    server_->faults().Delay(call, delay);
    return std::string(call) + " answers after " + std::to_string(delay.count()) + " ms";
  }
  std::string Knobs() {
    server::Knobs knobs;
    if (random_.Percent(20)) {
      knobs.drop_channel_every = static_cast<uint32_t>(random_.Between(3, 30));
    }
    if (random_.Percent(30)) knobs.hashes = {{static_cast<uint32_t>(random_.Between(1, 3)), 0}};
    knobs.rapid_known = random_.Percent(50);
    knobs.rapid_after_hash = random_.Percent(50);
    knobs.hash_first = random_.Percent(50);
    knobs.events_before_start = random_.Percent(70);
    if (random_.Percent(30)) knobs.start_delay = server::Millis(random_.Between(1, 60));
    knobs.replay_terminal = random_.Percent(30);
    knobs.read_size = random_.Of<uint64_t>({64 << 10, 300'000, 1 << 20, 3 << 20});
    knobs.read_order = static_cast<server::ReadOrder>(random_.Below(4));
    knobs.lazy = static_cast<server::LazyReads>(random_.Below(3));
    knobs.empty_file = static_cast<server::EmptyFile>(random_.Below(4));
    if (random_.Percent(30)) knobs.listing_lag = server::Millis(random_.Between(1, 500));
    if (random_.Percent(20)) knobs.hash_lag = server::Millis(random_.Between(1, 500));
    if (random_.Percent(20)) knobs.download_lag = server::Millis(random_.Between(1, 500));
    knobs.pending_entries = random_.Percent(30);
    knobs.list_hashes = random_.Percent(80);
    if (random_.Percent(20)) knobs.outcome = server::Outcome::kError;
    if (random_.Percent(20)) knobs.outcome = server::Outcome::kErrorThenFinish;
    if (random_.Percent(10)) knobs.pause_midway = server::Millis(random_.Between(1, 200));
    if (random_.Percent(20)) knobs.max_running = 1;
    if (random_.Percent(lingering_ ? 70 : 20))
      knobs.hold = static_cast<server::Phase>(random_.Between(1, 4));
    knobs.push_changes = random_.Percent(80);
    if (random_.Percent(20)) knobs.reply_delay = server::Millis(random_.Between(1, 20));
    server_->SetKnobs(knobs);
    return std::string("knobs") + (knobs.hold != server::Phase::kNone ? ", uploads held" : "") +
           (knobs.outcome != server::Outcome::kFinish ? ", uploads fail" : "") +
           (knobs.listing_lag.count() > 0 ? ", listings lag" : "");
  }

  TestServer& server_;
  Random random_;
  const bool lingering_;
};

}  // namespace outboxfs::test
