#include "remote/grpc_error.h"

#include <grpcpp/support/status.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

namespace outboxfs::remote {
namespace {

// kText stands for a success=false answer. kAnyText also for the codes that servers use for
// "something failed, read the text": a cloud's failure is passed through in words.
constexpr int kText = grpc::StatusCode::OK;
constexpr int kAnyText = -1;
constexpr int kEvery = -2;

struct Row {
  int status;             // a grpc::StatusCode or one of the above
  std::string_view part;  // of the normalised text; empty: any text
  int code;
  Retry retry;
};

// The first row that fits decides. `part` is matched against the text as Normalised leaves it; a
// blank at its ends is the end of a word. Short words stand in names and numbers too.
constexpr Row kRows[] = {
    // The remote upload calls' own words, under whatever code.
    {kEvery, "upload session not found", ENOENT, Retry::kBackoff},
    {kEvery, "no pending read waiter", ESTALE, Retry::kBackoff},

    // The account and its token: nothing else will work either.
    {grpc::UNAUTHENTICATED, "", EACCES, Retry::kPauseAll},
    {grpc::PERMISSION_DENIED, "invalid user plan", EACCES, Retry::kPauseAll},
    {grpc::RESOURCE_EXHAUSTED, "message larger than max", EMSGSIZE, Retry::kPark},

    {grpc::INVALID_ARGUMENT, "not a directory", ENOTDIR, Retry::kPark},
    {grpc::INVALID_ARGUMENT, "not a folder", ENOTDIR, Retry::kPark},

    // Codes that say it all, before a path in the text can look like a reason.
    {grpc::NOT_FOUND, "", ENOENT, Retry::kBackoff},
    {grpc::ALREADY_EXISTS, "", EEXIST, Retry::kBackoff},
    {grpc::INVALID_ARGUMENT, "", EINVAL, Retry::kPark},
    {grpc::OUT_OF_RANGE, "", EINVAL, Retry::kPark},
    {grpc::DEADLINE_EXCEEDED, "", ETIMEDOUT, Retry::kBackoff},

    // Throttling and "risk control" by the cloud.
    {kEvery, " too many requests ", EAGAIN, Retry::kPauseAll},
    {kEvery, " status 429 ", EAGAIN, Retry::kPauseAll},
    {kEvery, " code 429 ", EAGAIN, Retry::kPauseAll},
    {kEvery, " http 429 ", EAGAIN, Retry::kPauseAll},
    {kEvery, " error 429 ", EAGAIN, Retry::kPauseAll},
    {kEvery, " rate limit", EAGAIN, Retry::kPauseAll},
    {kEvery, " throttl", EAGAIN, Retry::kPauseAll},
    {kEvery, " risk control ", EAGAIN, Retry::kPauseAll},
    {kEvery, " access limit", EAGAIN, Retry::kPauseAll},
    {kEvery, "风控", EAGAIN, Retry::kPauseAll},
    {kEvery, "频繁", EAGAIN, Retry::kPauseAll},
    {kEvery, "访问上限", EAGAIN, Retry::kPauseAll},

    // No room in the cloud.
    {kEvery, " quota ", ENOSPC, Retry::kPauseAll},
    {kEvery, " quotas ", ENOSPC, Retry::kPauseAll},
    {kEvery, " no space ", ENOSPC, Retry::kPauseAll},
    {kEvery, " not enough space ", ENOSPC, Retry::kPauseAll},
    {kEvery, " insufficient space ", ENOSPC, Retry::kPauseAll},
    {kEvery, " insufficient storage ", ENOSPC, Retry::kPauseAll},
    {kEvery, " storage full ", ENOSPC, Retry::kPauseAll},
    {kEvery, " storage is full ", ENOSPC, Retry::kPauseAll},
    {kEvery, " out of space ", ENOSPC, Retry::kPauseAll},
    {kEvery, " space is not enough ", ENOSPC, Retry::kPauseAll},
    {kEvery, "空间不足", ENOSPC, Retry::kPauseAll},
    {kEvery, "容量不足", ENOSPC, Retry::kPauseAll},

    // Codes whose texts may have said more.
    {grpc::PERMISSION_DENIED, "", EACCES, Retry::kPark},
    {grpc::UNAVAILABLE, "", EIO, Retry::kBackoff},
    {grpc::RESOURCE_EXHAUSTED, "", EAGAIN, Retry::kPauseAll},
    // CreateFolder in the virtual root, or on a cloud that cannot.
    {grpc::UNIMPLEMENTED, "create folder", EPERM, Retry::kPark},
    {grpc::UNIMPLEMENTED, "not supported", EPERM, Retry::kPark},
    {grpc::UNIMPLEMENTED, "", EOPNOTSUPP, Retry::kPark},

    // Words only. What is not there comes before "exist".
    {kAnyText, " user plan ", EACCES, Retry::kPauseAll},
    {kAnyText, "not logged in", EACCES, Retry::kPauseAll},
    {kAnyText, "not login", EACCES, Retry::kPauseAll},
    {kAnyText, "unauthorized", EACCES, Retry::kPauseAll},
    {kAnyText, "unauthenticated", EACCES, Retry::kPauseAll},
    {kAnyText, "token expired", EACCES, Retry::kPauseAll},
    {kAnyText, "invalid token", EACCES, Retry::kPauseAll},
    {kAnyText, "请重新登录", EACCES, Retry::kPauseAll},
    {kAnyText, "not exist", ENOENT, Retry::kBackoff},
    {kAnyText, "n t exist", ENOENT, Retry::kBackoff},  // doesn't
    {kAnyText, "no such file", ENOENT, Retry::kBackoff},
    {kAnyText, "not found", ENOENT, Retry::kBackoff},
    {kAnyText, "notfound", ENOENT, Retry::kBackoff},
    {kAnyText, "already deleted", ENOENT, Retry::kBackoff},
    {kAnyText, "不存在", ENOENT, Retry::kBackoff},
    {kAnyText, "already", EEXIST, Retry::kBackoff},
    {kAnyText, "exist", EEXIST, Retry::kBackoff},
    {kAnyText, "已存在", EEXIST, Retry::kBackoff},
    {kAnyText, "同名", EEXIST, Retry::kBackoff},
    {kAnyText, "not a directory", ENOTDIR, Retry::kPark},
    {kAnyText, "not a folder", ENOTDIR, Retry::kPark},
    {kAnyText, "is a directory", EISDIR, Retry::kPark},
    {kAnyText, "not empty", ENOTEMPTY, Retry::kBackoff},
    {kAnyText, "name too long", ENAMETOOLONG, Retry::kPark},
    {kAnyText, "name is too long", ENAMETOOLONG, Retry::kPark},
    {kAnyText, "invalid name", EINVAL, Retry::kPark},
    {kAnyText, "invalid file name", EINVAL, Retry::kPark},
    {kAnyText, "illegal character", EINVAL, Retry::kPark},
    {kAnyText, "invalid character", EINVAL, Retry::kPark},
    {kAnyText, "too large", EFBIG, Retry::kPark},
    {kAnyText, "too big", EFBIG, Retry::kPark},
    {kAnyText, "read only", EROFS, Retry::kPark},
    {kAnyText, "readonly", EROFS, Retry::kPark},
    {kAnyText, "permission denied", EACCES, Retry::kPark},
    {kAnyText, "no permission", EACCES, Retry::kPark},
    {kAnyText, "access denied", EACCES, Retry::kPark},
    {kAnyText, "forbidden", EACCES, Retry::kPark},
    {kAnyText, "not supported", EPERM, Retry::kPark},
    {kAnyText, "unsupported", EPERM, Retry::kPark},
    {kAnyText, "timed out", ETIMEDOUT, Retry::kBackoff},
    {kAnyText, "timeout", ETIMEDOUT, Retry::kBackoff},

    // CANCELLED too: whoever asked for it says ECANCELED himself, so this one was not us.
    {kEvery, "", EIO, Retry::kBackoff},
};

bool IsAlnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// A path, a URL, or a name with an extension.
bool LooksLikeName(std::string_view text) {
  constexpr size_t kMaxExtension = 5;
  if (text.find_first_of("/\\") != std::string_view::npos) return true;
  while (!text.empty() && !IsAlnum(text.back()) && static_cast<unsigned char>(text.back()) < 0x80) {
    text.remove_suffix(1);
  }
  const size_t dot = text.rfind('.');
  if (dot == std::string_view::npos || dot == 0 || dot + 1 == text.size()) return false;
  const std::string_view extension = text.substr(dot + 1);
  return extension.size() <= kMaxExtension &&
         std::all_of(extension.begin(), extension.end(), IsAlnum);
}

// The end of the quoted name that begins at `at`; npos: none does.
size_t EndOfQuoted(std::string_view text, size_t at) {
  const char quote = text[at];
  if (quote != '"' && quote != '\'' && quote != '`') return std::string_view::npos;
  if (quote == '\'' && at > 0 && IsAlnum(text[at - 1])) return std::string_view::npos;  // doesn't
  const size_t end = text.find(quote, at + 1);
  if (end == std::string_view::npos) return end;
  return LooksLikeName(text.substr(at + 1, end - at - 1)) ? end : std::string_view::npos;
}

// Names mean nothing: "quota.xlsx" is not a full cloud.
std::string WithoutNames(std::string_view text) {
  constexpr std::string_view kBetween = " \t\r\n\"`,;{}()[]";
  std::string out;
  for (size_t at = 0; at < text.size();) {
    if (const size_t end = EndOfQuoted(text, at); end != std::string_view::npos) {
      out += ' ';
      at = end + 1;
      continue;
    }
    const size_t end = std::min(text.find_first_of(kBetween, at), text.size());
    const std::string_view word = text.substr(at, end - at);
    if (!LooksLikeName(word)) out += word;
    out += ' ';
    at = end + 1;
  }
  return out;
}

// Lower case, a space at both ends and between all words; "quotaExceeded" is two of them.
std::string Normalised(std::string_view text) {
  std::string out = " ";
  out.reserve(text.size() + 2);
  char before = ' ';
  for (const char c : text) {
    const bool upper = c >= 'A' && c <= 'Z';
    if (upper && before >= 'a' && before <= 'z') out += ' ';
    if (upper) {
      out += static_cast<char>(c - 'A' + 'a');
    } else if (static_cast<unsigned char>(c) >= 0x80 || IsAlnum(c)) {
      out += c;
    } else if (out.back() != ' ') {
      out += ' ';
    }
    before = c;
  }
  if (out.back() != ' ') out += ' ';
  return out;
}

bool SaysOnlyWords(int status) {
  return status == kText || status == grpc::UNKNOWN || status == grpc::INTERNAL ||
         status == grpc::FAILED_PRECONDITION || status == grpc::ABORTED;
}

const Row& RowFor(int status, std::string_view text) {
  const std::string words = Normalised(WithoutNames(text));
  const std::string everything = Normalised(text);
  for (const Row& row : kRows) {
    const bool fits = row.status == kEvery || row.status == status ||
                      (row.status == kAnyText && SaysOnlyWords(status));
    // Other scripts set no blanks between a name and the reason.
    const bool ascii = row.part.empty() || static_cast<unsigned char>(row.part.front()) < 0x80;
    if (fits && (ascii ? words : everything).find(row.part) != std::string::npos) return row;
  }
  return kRows[std::size(kRows) - 1];
}

// gRPC tells the story of a failed connection in all its layers; these are what a person can act
// on.
std::string_view InPlainWords(const std::string& message) {
  constexpr std::pair<std::string_view, std::string_view> kKnown[] = {
      {"certificate verify failed",
       "the server's certificate is not trusted (--ca-file names whom to trust)"},
      {"is not in peer certificate", "the server's certificate is made for another name"},
      {"wrong version number", "the server does not speak TLS at this port (https://)"},
  };
  for (const auto& [part, words] : kKnown) {
    if (message.find(part) != std::string::npos) return words;
  }
  return message;
}

Error Make(const Row& row, std::string_view call, std::string_view text) {
  return Error{row.code, row.retry, std::string(call) + ": " + std::string(text)};
}

}  // namespace

Error FromStatus(const grpc::Status& status, std::string_view call) {
  static constexpr std::string_view kNames[] = {"ok",
                                                "cancelled",
                                                "unknown error",
                                                "invalid argument",
                                                "deadline exceeded",
                                                "not found",
                                                "already exists",
                                                "permission denied",
                                                "resource exhausted",
                                                "failed precondition",
                                                "aborted",
                                                "out of range",
                                                "not implemented",
                                                "internal error",
                                                "unavailable",
                                                "data loss",
                                                "unauthenticated"};
  const auto code = static_cast<size_t>(status.error_code());
  std::string text(code < std::size(kNames) ? kNames[code] : "unknown status");
  const std::string& message = status.error_message();
  const bool unavailable = status.error_code() == grpc::UNAVAILABLE;
  if (!message.empty()) {
    text += ": ";
    text += unavailable ? InPlainWords(message) : message;
  }
  // The name of the code is not matched: only what the server wrote.
  return Make(RowFor(status.error_code(), status.error_message()), call, text);
}

Error FromServerText(std::string_view text, std::string_view call) {
  return Make(RowFor(kText, text), call, text.empty() ? "failed without a reason" : text);
}

}  // namespace outboxfs::remote
