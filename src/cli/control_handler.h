// What the daemon does for each command that comes over the control socket.
#pragma once

#include "cli/control_messages.h"
#include "cli/leaving.h"
#include "status/collect.h"

namespace outboxfs::cli {

// Thread-safe as the rooms are. All references must outlive it.
class ControlHandler {
 public:
  ControlHandler(cache::Store& store, upload::Uploader& uploader, const fs::MountSession& session,
                 Leaving& leaving, const Clock& clock, status::About about);

  // `stop` ends a wait early; the reply then says so.
  ControlReply Handle(const ControlRequest& request, const std::stop_token& stop);

 private:
  ControlReply ShowStatus(const ControlRequest& request) const;
  ControlReply Retry(const ControlRequest& request);
  uint64_t RetryRenames(const std::vector<std::string>& paths);
  ControlReply Unmount(const ControlRequest& request, const std::stop_token& stop);

  cache::Store& store_;
  upload::Uploader& uploader_;
  const fs::MountSession& session_;
  Leaving& leaving_;
  const Clock& clock_;
  const status::About about_;
};

}  // namespace outboxfs::cli
