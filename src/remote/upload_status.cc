#include "remote/upload_api.h"

namespace outboxfs::remote {

// docs/PROTOCOL.md, rule 7. Ignored is in no list of terminal states, but nothing follows it.
bool IsTerminal(UploadStatus status) {
  switch (status) {
    case UploadStatus::kCancelled:
    case UploadStatus::kFinish:
    case UploadStatus::kSkipped:
    case UploadStatus::kIgnored:
    case UploadStatus::kError:
    case UploadStatus::kFatalError:
      return true;
    case UploadStatus::kWaitForPreprocessing:
    case UploadStatus::kPreprocessing:
    case UploadStatus::kTransfer:
    case UploadStatus::kPause:
    case UploadStatus::kInqueue:
      return false;
  }
  return false;
}

std::string ToString(UploadStatus status) {
  switch (status) {
    case UploadStatus::kWaitForPreprocessing:
      return "WaitforPreprocessing";
    case UploadStatus::kPreprocessing:
      return "Preprocessing";
    case UploadStatus::kCancelled:
      return "Cancelled";
    case UploadStatus::kTransfer:
      return "Transfer";
    case UploadStatus::kPause:
      return "Pause";
    case UploadStatus::kFinish:
      return "Finish";
    case UploadStatus::kSkipped:
      return "Skipped";
    case UploadStatus::kInqueue:
      return "Inqueue";
    case UploadStatus::kIgnored:
      return "Ignored";
    case UploadStatus::kError:
      return "Error";
    case UploadStatus::kFatalError:
      return "FatalError";
  }
  return "status " + std::to_string(static_cast<int32_t>(status));
}

}  // namespace outboxfs::remote
