// The five remote-upload calls of CloudDrive2 as plain types, without gRPC. The server drives: it
// sends events over one channel per process; everything else answers them. docs/PROTOCOL.md has the
// behaviour behind them.
//
// Every call is blocking, thread-safe, carries its own deadline and ends early when `stop` is
// requested (Error with code ECANCELED).
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <variant>
#include <vector>

#include "common/result.h"

namespace outboxfs::remote {

// Values are the wire's (CloudDriveFile.HashType).
enum class HashType : uint32_t { kUnknown = 0, kMd5 = 1, kSha1 = 2, kPikPakSha1 = 3 };

// Hash type -> hex text as the wire wants it (PikPakSha1 upper case, the others lower case).
using Hashes = std::map<HashType, std::string>;

// Values are the wire's (UploadFileInfo.Status). Unknown numbers are passed through as they are and
// count as not terminal.
enum class UploadStatus : int32_t {
  kWaitForPreprocessing = 0,
  kPreprocessing = 1,
  kCancelled = 2,
  kTransfer = 3,
  kPause = 4,
  kFinish = 5,
  kSkipped = 6,
  kInqueue = 7,
  kIgnored = 8,
  kError = 9,
  kFatalError = 10,
};
bool IsTerminal(UploadStatus status);
std::string ToString(UploadStatus status);

struct StartRequest {
  std::string path;  // full server path, file name included
  uint64_t size = 0;
  Hashes known_hashes;
};

// What the server asks or says on the channel.
struct ReadRequest {
  uint64_t offset = 0;
  uint64_t length = 0;
  bool lazy_read = false;                                // part of the server's key: echoed exactly
  auto operator<=>(const ReadRequest&) const = default;  // NOLINT(modernize-use-nullptr)
};
struct HashRequest {
  uint32_t type = 0;        // as on the wire: may be a type that we do not know
  uint32_t block_size = 0;  // bytes; 0: no block hashes wanted
  auto operator<=>(const HashRequest&) const = default;  // NOLINT(modernize-use-nullptr)
};
struct StatusChange {
  UploadStatus status = UploadStatus::kWaitForPreprocessing;
  std::string message;
};
struct ChannelEvent {
  std::string upload_id;
  std::variant<ReadRequest, HashRequest, StatusChange> what;
};

// One answer to (a part of) a ReadRequest; at most 1 MiB of data per call.
struct ReadAnswer {
  std::string upload_id;
  uint64_t offset = 0;
  bool lazy_read = false;
  bool is_last_chunk = false;  // offset + data.size() == file size
  std::span<const std::byte> data;
};

// Progress of one hash job; the message with `hash` is the final one. A cancelled job sends one
// last message without it.
struct HashReport {
  std::string upload_id;
  HashType type = HashType::kUnknown;
  uint64_t bytes_hashed = 0;
  uint64_t total_bytes = 0;
  std::optional<std::string> hash;
  std::vector<std::string> block_hashes;  // MD5 of consecutive blocks, lower-case hex
};

enum class Control { kCancel, kPause, kResume };

// An entry of the server's own upload queue.
struct QueuedUpload {
  std::string key;  // mostly the upload id
  std::string path;
  uint64_t size = 0;
  UploadStatus status = UploadStatus::kWaitForPreprocessing;
  std::string message;
};

// The open server stream. One thread calls Next(); any thread may call Cancel().
class UploadChannel {
 public:
  virtual ~UploadChannel() = default;
  // Blocks for the next event. An error ends the stream for good: EPIPE with the server's words
  // ("channel replaced" among them), ECANCELED after Cancel.
  virtual Result<ChannelEvent> Next() = 0;
  virtual void Cancel() = 0;
};

class UploadApi {
 public:
  virtual ~UploadApi() = default;

  // Returns when the server has sent the response headers: only then may Start be called
  // (a rapid upload can finish inside Start, and its status would be lost).
  virtual Result<std::unique_ptr<UploadChannel>> OpenChannel(const std::string& device_id,
                                                             const std::stop_token& stop) = 0;
  // Returns the upload id. Slow: the server may talk to the cloud (60 s).
  virtual Result<std::string> Start(const StartRequest& request, const std::stop_token& stop) = 0;
  // ENOENT: unknown upload id ("Upload session not found"). ESTALE: nobody waits for this read
  // ("No pending read waiter"), which is harmless for a repeated answer.
  virtual Status AnswerRead(const ReadAnswer& answer, const std::stop_token& stop) = 0;
  virtual Status ReportHash(const HashReport& report, const std::stop_token& stop) = 0;
  virtual Status ControlUpload(const std::string& upload_id, Control control,
                               const std::stop_token& stop) = 0;
  // All remote uploads that the server knows, by paging.
  virtual Result<std::vector<QueuedUpload>> ListUploads(const std::stop_token& stop) = 0;
};

}  // namespace outboxfs::remote
