// The switches of the reference server: every behaviour of a real server that is unknown or that
// two sources tell differently (the protocol notes call them guesses), and faults that a client has
// to survive. A default is what was seen in the field, or the friendlier guess.
//
// Plain values: copy, change, hand back with ReferenceServer::SetKnobs. A running upload reads the
// knobs each time it takes a step, so a change is seen at the next step.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"

namespace outboxfs::server {

using Millis = std::chrono::milliseconds;

// How a channel ends that a newer one of the same device replaced.
enum class ChannelEnd { kAborted, kCancelled, kOk };
// Which channel hears of an upload: the newest at its start, all, or as newest but a start without
// any channel is refused.
enum class Binding { kNewest, kBroadcast, kStrict };
enum class ReadOrder { kSequential, kRandom, kOverlapping, kDuplicate };
enum class LazyReads { kNever, kAlways, kMixed };
// How an upload of zero bytes goes.
enum class EmptyFile { kFinish, kHash, kRead, kSkipped, kError };
// Answer to a call that names an upload that is not running.
enum class UnknownId { kError, kSuccessFalse, kOk };
// What an upload does to an existing file of its name.
enum class Existing { kReplace, kNewName, kSkip, kError };
// How uploads end once all their bytes are there. Only finish, error_then_finish and skipped leave
// a file.
enum class Outcome {
  kFinish,
  kErrorThenFinish,
  kSkipped,
  kIgnored,
  kError,
  kFatalError,
  kCancelled
};
// The steps of an upload; also where it can be held.
enum class Phase { kNone, kPreprocessing, kHashing, kTransferring, kFinishing };
// A server that says Finish and did something else.
enum class Lie { kNone, kNoFile, kWrongSize, kWrongBytes, kUnread };

// type: 1 MD5, 2 SHA-1, 3 PikPakSha1. block_size > 0 (MD5 only) asks for block hashes too.
struct HashAsk {
  uint32_t type = 0;
  uint32_t block_size = 0;
  bool operator==(const HashAsk&) const = default;
};

struct Knobs {
  // Channel (knobs 1-5 of the protocol notes).
  bool headers_at_once = true;
  ChannelEnd replaced_end = ChannelEnd::kAborted;
  bool replay = true;
  Binding binding = Binding::kNewest;
  bool events_before_start = true;  // false: the first event follows the answer of the start
  Millis start_delay{0};            // the answer of the start is held back so long; 20 ms would
                                    // halve the rate of small files, so tests switch it on
  bool replay_terminal = false;     // terminal statuses sent without a channel: kept, else lost
  uint32_t drop_channel_every = 0;  // the channel breaks after every n-th message; 0: never

  // Order of work (6).
  std::vector<HashAsk> hashes;  // asked over the channel
  bool hash_first = true;       // false: hashes and reads are asked together
  bool rapid_known = true;      // content known by known_hashes ends the upload inside its start
  bool rapid_after_hash = true;
  Millis hash_repeat{60'000};  // (10) asked again after so long without progress

  // Reads (7, 8).
  uint64_t read_size = 1 << 20;  // bytes per request
  ReadOrder read_order = ReadOrder::kSequential;
  uint32_t reads_in_flight = 8;  // per upload
  LazyReads lazy = LazyReads::kNever;
  bool check_last_chunk = false;     // is_last_chunk must mean end of file
  bool check_length = true;          // length must be the number of bytes sent
  bool no_waiter_as_status = false;  // "No pending read waiter" as gRPC error, else success=false

  EmptyFile empty_file = EmptyFile::kFinish;  // (9)
  uint64_t receive_limit = 4 << 20;           // (11) bytes of one message, at most 16 MiB
  UnknownId unknown_id = UnknownId::kError;   // (12)
  int unknown_id_code = 5;                    // gRPC code of kError; 5 is NOT_FOUND
  Existing existing = Existing::kReplace;     // (13)

  // After Finish (14): for so long the listing shows what was before, the entry lacks its hashes,
  // the download answers 502.
  Millis listing_lag{0};
  Millis hash_lag{0};
  Millis download_lag{0};
  bool pending_entries = false;  // an upload in progress is listed already, without hashes
  bool list_hashes = true;       // SHA-1 of uploaded files in listings

  // Statuses (15).
  Outcome outcome = Outcome::kFinish;
  std::string outcome_for;        // only uploads whose path contains this
  std::string outcome_text;       // error_message of a bad outcome; empty: a default
  bool unknown_status = false;    // status 99 is sent once on the way
  Millis pause_midway{0};         // the upload is paused at half its bytes for so long; 0: not
  uint32_t max_running = 0;       // uploads beyond this number wait as Inqueue; 0: no limit
  uint32_t finished_listed = 50;  // ended uploads still shown by GetUploadFileList

  bool keep_sessions = false;  // (16) running uploads survive an orderly stop of the server

  // Push stream (17).
  bool push_changes = true;
  bool push_modify = true;          // MODIFY for replaced files; false: CREATE, as older servers
  bool push_uploads = false;        // UPLOADER_COUNT messages
  bool push_upload_details = true;  // ... with uploadFileStatusChanges

  // The server as a whole.
  bool ignore_case = false;   // "A" and "a" are one name; the folder shows the first one
  std::string refused_chars;  // names with any of these are refused
  bool virtual_root = false;  // "/" holds cloud accounts only and is read-only
  bool system_ready = true;
  std::string token_root;          // folder that the tokens are restricted to; empty: they are not
  bool token_root_is_root = true;  // their paths start at that folder, else at "/"
  std::string denied_permissions;  // names of TokenPermissions fields, separated by commas
  Millis token_lifetime{24 * 3600'000};
  Millis link_lifetime{0};     // of download links; 0: for ever
  uint64_t download_rate = 0;  // bytes per second, over all downloads; 0: no limit
  uint32_t list_batch = 500;   // entries per message of GetSubFiles
  bool verify_hashes = true;   // received bytes are checked against every announced hash
  bool sync_files = false;     // fdatasync before Finish

  // Faults.
  Phase hold = Phase::kNone;  // uploads stop before this phase until the knob is reset
  Lie lie = Lie::kNone;
  Millis reply_delay{0};  // before every answer
};

struct KnobHelp {
  std::string key;
  std::string values;  // "on|off", "number", "replace|newname|...", ...
  std::string value;   // the default
  std::string help;
};

// All keys in the order of the struct.
std::vector<KnobHelp> KnobKeys();
// Sets one knob from "key=value". EINVAL with a clear text for an unknown key or a bad value; the
// knobs are unchanged then.
Status SetKnob(std::string_view assignment, Knobs* knobs);
// Default knobs with the assignments of `text`, separated by blanks or new lines.
Result<Knobs> KnobsFromText(std::string_view text);

// Names that the server does not take (Knobs::refused_chars).
inline bool IsRefused(const Knobs& knobs, std::string_view name) {
  return name.find_first_of(knobs.refused_chars) != std::string_view::npos;
}

}  // namespace outboxfs::server
