// The HTTP side: answers GET and HEAD, with ranges, for the links of GetDownloadUrlPath. A link is
// /static/SCHEME/HOST/PREVIEW/PATH?expires=MS&sign=HEX; the middle three are not looked at. 403
// without a right signature, 410 once expired, 404 for a missing file, 502 while the knob
// download_lag says that the cloud is not ready.
//
// Thread-safe.
#pragma once

#include <httplib.h>

#include <string>

#include "common/clock.h"
#include "common/mutex.h"
#include "server/auth.h"
#include "server/dir_store.h"
#include "server/faults.h"
#include "server/knob_store.h"
#include "server/recent.h"

namespace outboxfs::server {

class DownloadHttp {
 public:
  DownloadHttp(const KnobStore& knobs, const DirStore& store, const Auth& auth,
               const Recent& recent, Faults& faults)
      : knobs_(knobs), store_(store), auth_(auth), recent_(recent), faults_(faults) {}

  // Makes `server` answer with this, whatever the path is. `this` must outlive the server.
  void Attach(httplib::Server* server);

 private:
  void Answer(const httplib::Request& request, httplib::Response* response);
  // Sets the status of a refusal and returns false, or fills in the server path.
  bool Admit(const httplib::Request& request, httplib::Response* response, std::string* path);

  // Waits until so many bytes may go out (Knobs::download_rate).
  void Pace(uint64_t bytes) ABSL_LOCKS_EXCLUDED(mu_);

  const KnobStore& knobs_;
  const DirStore& store_;
  const Auth& auth_;
  const Recent& recent_;
  Faults& faults_;
  Mutex mu_;
  SteadyTime free_at_ ABSL_GUARDED_BY(mu_);  // the next byte goes out then
};

// An httplib server without a listener of its own: it is given connections whose first bytes
// somebody else has looked at.
class HttpConnections : public httplib::Server {
 public:
  // httplib takes a server without a listening socket for one that is being stopped; nothing else
  // looks at the value.
  HttpConnections() { svr_sock_ = 0; }
  // Answers the requests that have arrived on `fd`. False when the connection is to be closed.
  bool ServeWaiting(int fd);
};

}  // namespace outboxfs::server
