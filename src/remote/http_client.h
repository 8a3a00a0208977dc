// HTTP range requests with libcurl: a pool of easy handles, each with its own connections, so that
// the next request to the same server finds one open. Thread-safe.
#pragma once

#include <curl/curl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"

namespace outboxfs::remote {

struct HttpRequest {
  std::string url;
  std::string user_agent;
  std::vector<std::pair<std::string, std::string>> headers;
  bool local = true;    // our server: no proxy, its CA file; else as any program in the internet
  std::string ca_file;  // empty: the system's
  bool tls_verify = true;
  uint64_t offset = 0;
};

// What came of a request.
struct HttpReply {
  // The body was exactly the range that was asked for, and is in the buffer.
  bool complete = false;
  // 0: no answer at all, see `trouble`.
  int status = 0;
  // The answer as such is not what was asked for: another range, another length. Asking again will
  // not help.
  bool wrong = false;
  // In words, without the address (which may hold a secret). Also set for a wrong range or length.
  std::string trouble;
};

class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // Fetches out.size() (> 0) bytes from request.offset. Accepted are 206 with just this range, and
  // 200 when the range is the whole file. Ends within a second after `stop`.
  HttpReply GetRange(const HttpRequest& request, std::span<std::byte> out,
                     const std::stop_token& stop);

 private:
  struct EasyDeleter {
    void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
  };
  using Easy = std::unique_ptr<CURL, EasyDeleter>;

  Easy Take() ABSL_LOCKS_EXCLUDED(mu_);
  void GiveBack(Easy easy) ABSL_LOCKS_EXCLUDED(mu_);

  Mutex mu_;
  std::vector<Easy> idle_ ABSL_GUARDED_BY(mu_);
};

// "bytes 5-9/100" -> {5, 10}. False for anything else.
bool ParseContentRange(std::string_view value, uint64_t& begin, uint64_t& end);

}  // namespace outboxfs::remote
