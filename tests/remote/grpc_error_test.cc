#include "remote/grpc_error.h"

#include <grpcpp/support/status.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace outboxfs::remote {
namespace {

struct StatusCase {
  grpc::StatusCode status;
  std::string text;
  int code;
  Retry retry;
};

TEST(FromStatus, KnowsEveryCodeAndTheTextsSeenInTheField) {
  const StatusCase cases[] = {
      {grpc::CANCELLED, "", EIO, Retry::kBackoff},
      {grpc::UNKNOWN, "", EIO, Retry::kBackoff},
      {grpc::INVALID_ARGUMENT, "", EINVAL, Retry::kPark},
      {grpc::DEADLINE_EXCEEDED, "", ETIMEDOUT, Retry::kBackoff},
      {grpc::NOT_FOUND, "", ENOENT, Retry::kBackoff},
      {grpc::ALREADY_EXISTS, "", EEXIST, Retry::kBackoff},
      {grpc::PERMISSION_DENIED, "", EACCES, Retry::kPark},
      {grpc::RESOURCE_EXHAUSTED, "", EAGAIN, Retry::kPauseAll},
      {grpc::FAILED_PRECONDITION, "", EIO, Retry::kBackoff},
      {grpc::ABORTED, "", EIO, Retry::kBackoff},
      {grpc::OUT_OF_RANGE, "", EINVAL, Retry::kPark},
      {grpc::UNIMPLEMENTED, "", EOPNOTSUPP, Retry::kPark},
      {grpc::INTERNAL, "", EIO, Retry::kBackoff},
      {grpc::UNAVAILABLE, "", EIO, Retry::kBackoff},
      {grpc::DATA_LOSS, "", EIO, Retry::kBackoff},
      {grpc::UNAUTHENTICATED, "", EACCES, Retry::kPauseAll},

      {grpc::NOT_FOUND, "Upload session not found", ENOENT, Retry::kBackoff},
      {grpc::INTERNAL, "GeneralFailure Upload session not found", ENOENT, Retry::kBackoff},
      {grpc::UNAVAILABLE, "upload session not found", ENOENT, Retry::kBackoff},
      {grpc::INVALID_ARGUMENT, "No pending read waiter", ESTALE, Retry::kBackoff},
      {grpc::INVALID_ARGUMENT, "/a/f: not a folder", ENOTDIR, Retry::kPark},
      {grpc::INVALID_ARGUMENT, "not a directory", ENOTDIR, Retry::kPark},
      {grpc::UNKNOWN, "No pending read waiter for offset 0", ESTALE, Retry::kBackoff},
      {grpc::PERMISSION_DENIED, "invalid user plan", EACCES, Retry::kPauseAll},
      {grpc::UNIMPLEMENTED, "create_folder is not supported", EPERM, Retry::kPark},
      {grpc::UNIMPLEMENTED, "operation not supported by this cloud", EPERM, Retry::kPark},
      {grpc::INTERNAL, "HTTP status client error (429 Too Many Requests) for url", EAGAIN,
       Retry::kPauseAll},
      {grpc::INTERNAL, "upstream returned status code: 429", EAGAIN, Retry::kPauseAll},
      {grpc::UNAVAILABLE, "Received http2 header with status: 429", EAGAIN, Retry::kPauseAll},
      {grpc::INTERNAL, "wrote 429 of 500 bytes", EIO, Retry::kBackoff},
      {grpc::RESOURCE_EXHAUSTED, "Received message larger than max (4194318 vs. 4194304)", EMSGSIZE,
       Retry::kPark},
      {grpc::RESOURCE_EXHAUSTED, "storage quota exceeded", ENOSPC, Retry::kPauseAll},
      {grpc::UNKNOWN, "115: 空间不足", ENOSPC, Retry::kPauseAll},
      {grpc::INTERNAL, "操作过于频繁", EAGAIN, Retry::kPauseAll},
      // The code is believed more than a path in the text.
      {grpc::NOT_FOUND, "/cloud/too many requests/quota.txt", ENOENT, Retry::kBackoff},
      {grpc::ALREADY_EXISTS, "file not found in /x", EEXIST, Retry::kBackoff},
      {grpc::INTERNAL, "file already exists", EEXIST, Retry::kBackoff},
      {grpc::UNKNOWN, "path does not exist", ENOENT, Retry::kBackoff},
      {grpc::ABORTED, "channel replaced", EIO, Retry::kBackoff},
  };
  for (const StatusCase& c : cases) {
    const Error error = FromStatus(grpc::Status(c.status, c.text), "Call");
    EXPECT_EQ(error.code, c.code) << c.status << " " << c.text;
    EXPECT_EQ(error.retry, c.retry) << c.status << " " << c.text;
    EXPECT_TRUE(error.text.starts_with("Call: ")) << error.text;
    EXPECT_NE(error.text.find(c.text), std::string::npos) << error.text;
  }
}

struct TextCase {
  std::string text;
  int code;
  Retry retry;
};

TEST(FromServerText, NamesAndNumbersAreNoReason) {
  for (const std::string text : {
           "cannot move /docs/quota.xlsx",
           "cannot delete quota.xlsx",
           "wrote 429 of 500 bytes",
           "delete 'my quota.txt' failed",
           "rename \"no space/b\" failed",
           "throttle.log is locked",
           "hash 0429e1 differs from 4290",
           "the unthrottled line broke",
           "size 1429",
           "https://cloud/throttled failed",
           "cannot open D:\\storage\\quota",
       }) {
    EXPECT_EQ(FromServerText(text, "Call").code, EIO) << text;
    EXPECT_EQ(FromServerText(text, "Call").retry, Retry::kBackoff) << text;
  }
}

TEST(FromServerText, AReasonBesideANameIsOne) {
  for (const std::string text : {
           "/docs/plan.txt: quota exceeded",
           "upload of 'a b.txt': Storage quota exceeded.",
           "{\"reason\":\"storageQuotaExceeded\",\"file\":\"/a/b\"}",
           "QUOTA_EXCEEDED",
           "上传/a/b.txt失败：空间不足",
       }) {
    EXPECT_EQ(FromServerText(text, "Call").code, ENOSPC) << text;
  }
  for (const std::string text : {
           "{\"code\":429,\"url\":\"https://api/x\"}",
           "rateLimitExceeded",
           "TooManyRequests",
           "rate_limit_exceeded",
           "status: 429",
       }) {
    EXPECT_EQ(FromServerText(text, "Call").code, EAGAIN) << text;
  }
}

TEST(FromServerText, ReadsTheReasonOutOfTheWords) {
  const TextCase cases[] = {
      {"", EIO, Retry::kBackoff},
      {"something odd", EIO, Retry::kBackoff},
      {"Folder already exists", EEXIST, Retry::kBackoff},
      {"file EXIST", EEXIST, Retry::kBackoff},
      {"name already used", EEXIST, Retry::kBackoff},
      {"目标已存在", EEXIST, Retry::kBackoff},
      {"存在同名文件", EEXIST, Retry::kBackoff},
      {"File not found", ENOENT, Retry::kBackoff},
      {"it does not exist", ENOENT, Retry::kBackoff},
      {"it doesn't exist", ENOENT, Retry::kBackoff},
      {"No such file or directory", ENOENT, Retry::kBackoff},
      {"FileNotFound", ENOENT, Retry::kBackoff},
      {"文件不存在", ENOENT, Retry::kBackoff},
      {"already deleted", ENOENT, Retry::kBackoff},
      {"Upload session not found", ENOENT, Retry::kBackoff},
      {"No pending read waiter", ESTALE, Retry::kBackoff},
      {"Not a directory", ENOTDIR, Retry::kPark},
      {"Is a directory", EISDIR, Retry::kPark},
      {"Directory not empty", ENOTEMPTY, Retry::kBackoff},
      {"File name too long", ENAMETOOLONG, Retry::kPark},
      {"Invalid file name: a?b", EINVAL, Retry::kPark},
      {"name contains illegal characters", EINVAL, Retry::kPark},
      {"file is too large for this cloud", EFBIG, Retry::kPark},
      {"the cloud is read-only", EROFS, Retry::kPark},
      {"Permission denied", EACCES, Retry::kPark},
      {"403 Forbidden", EACCES, Retry::kPark},
      {"move is not supported", EPERM, Retry::kPark},
      {"user is not logged in", EACCES, Retry::kPauseAll},
      {"token expired", EACCES, Retry::kPauseAll},
      {"Quota exceeded", ENOSPC, Retry::kPauseAll},
      {"No space left on device", ENOSPC, Retry::kPauseAll},
      {"insufficient storage", ENOSPC, Retry::kPauseAll},
      {"容量不足", ENOSPC, Retry::kPauseAll},
      {"HTTP 429", EAGAIN, Retry::kPauseAll},
      {"rate-limit reached", EAGAIN, Retry::kPauseAll},
      {"request throttled", EAGAIN, Retry::kPauseAll},
      {"blocked by risk control", EAGAIN, Retry::kPauseAll},
      {"账号触发风控", EAGAIN, Retry::kPauseAll},
      {"request timed out", ETIMEDOUT, Retry::kBackoff},
  };
  for (const TextCase& c : cases) {
    const Error error = FromServerText(c.text, "Call");
    EXPECT_EQ(error.code, c.code) << c.text;
    EXPECT_EQ(error.retry, c.retry) << c.text;
    EXPECT_TRUE(error.text.starts_with("Call: "));
    EXPECT_GT(error.text.size(), std::string("Call: ").size());
  }
}

}  // namespace
}  // namespace outboxfs::remote
