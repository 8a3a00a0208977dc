// One request as the operations see it: who asks, and what ends its waits.
#pragma once

#include <sys/types.h>

#include <stop_token>

namespace outboxfs::fs {

// Lives as long as its operation; used by one thread.
class Call {
 public:
  Call(uid_t caller_uid, gid_t caller_gid) : uid(caller_uid), gid(caller_gid) {}
  virtual ~Call() = default;
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const uid_t uid;
  const gid_t gid;

  // Stop is requested when the caller gives up (interrupt.h). Asked for only by what may wait long.
  virtual std::stop_token Interrupted() { return {}; }
};

}  // namespace outboxfs::fs
