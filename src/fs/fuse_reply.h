// What the handlers share: the request as a Call, the file system behind it, the reply to a
// failure.
#pragma once

#include "fs/filesystem.h"
#include "fs/fuse_api.h"
#include "fs/interrupt.h"

namespace outboxfs::fs {

// A request of the kernel. Destroyed before the reply: libfuse frees the request then.
class FuseCall final : public Call {
 public:
  explicit FuseCall(fuse_req_t request)
      : Call(fuse_req_ctx(request)->uid, fuse_req_ctx(request)->gid), request_(request) {}
  ~FuseCall() override {
    if (registered_) fuse_req_interrupt_func(request_, nullptr, nullptr);
  }
  FuseCall(const FuseCall&) = delete;
  FuseCall& operator=(const FuseCall&) = delete;

  std::stop_token Interrupted() override {
    if (!std::exchange(registered_, true)) {
      // Runs on another worker, under libfuse's lock of the request: it may only ask for the stop.
      fuse_req_interrupt_func(
          request_,
          [](fuse_req_t request, void* self) {
            if (!GivesUp(fuse_req_ctx(request)->pid)) return;
            static_cast<FuseCall*>(self)->stop_.request_stop();
          },
          this);
    }
    return stop_.get_token();
  }

 private:
  const fuse_req_t request_;
  std::stop_source stop_;
  bool registered_ = false;
};

Filesystem& Fs(fuse_req_t req);
// Logs it, as a warning when a person should know.
void ReplyError(fuse_req_t req, const char* operation, fuse_ino_t ino, const Error& error);
void ReplyStatus(fuse_req_t req, const char* operation, fuse_ino_t ino, const Status& status);

// fuse_xattr.cc
void AddXattrHandlers(fuse_lowlevel_ops& operations);

}  // namespace outboxfs::fs
