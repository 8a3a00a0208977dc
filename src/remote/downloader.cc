#include "remote/downloader.h"

#include <cerrno>
#include <utility>

#include "remote/backoff.h"
#include "remote/http_client.h"
#include "remote/link_cache.h"

namespace outboxfs::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kFreshFileLimit{90};  // a cloud may not have a new file ready for so long
constexpr int kBrokenTransfers = 3;     // connections that may break before it is an error
constexpr milliseconds kFirstPause{300};
constexpr milliseconds kLongestPause{5000};
constexpr const char* kUserAgent = "outboxfs";

void ReplaceAll(std::string& text, std::string_view from, const std::string& to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string HostInUrl(const Endpoint& endpoint) {
  const bool v6 = endpoint.host.find(':') != std::string::npos;
  return v6 ? "[" + endpoint.host + "]" : endpoint.host;
}

// What to do after an answer that is not the bytes.
enum class Next { kNewLink, kWait, kRepeat, kFail };

Next NextStep(const HttpReply& reply) {
  if (reply.wrong) return Next::kFail;
  switch (reply.status) {
    case 401:
    case 403:
    case 404:
    case 410:
      return Next::kNewLink;
    case 429:
    case 502:
    case 503:
    case 504:
      return Next::kWait;
    case 0:    // no answer
    case 200:  // cut off
    case 206:
    case 500:
      return Next::kRepeat;
    default:
      return Next::kFail;
  }
}

Error ErrorOf(const HttpReply& reply) {
  int code = EIO;
  if (reply.status == 404 || reply.status == 410) code = ENOENT;
  if (reply.status == 401 || reply.status == 403) code = EACCES;
  return Error{code, Retry::kBackoff, "download: " + reply.trouble};
}

class CurlDownloader final : public Downloader {
 public:
  CurlDownloader(NamespaceApi& names, ConnectOptions options)
      : options_(std::move(options)), links_(names, RealClock()) {}

  Status Fetch(const std::string& path, uint64_t offset, std::span<std::byte> out,
               const std::stop_token& stop) override;
  void Forget(const std::string& path) override { links_.Forget(path); }

 private:
  HttpRequest RequestFor(const DownloadLink& link, uint64_t offset) const;

  const ConnectOptions options_;
  LinkCache links_;
  HttpClient http_;
};

HttpRequest CurlDownloader::RequestFor(const DownloadLink& link, uint64_t offset) const {
  HttpRequest request;
  request.url = CompleteUrl(link.url, options_.endpoint);
  request.user_agent = link.user_agent.empty() ? kUserAgent : link.user_agent;
  request.headers = link.headers;
  request.offset = offset;
  request.local = IsOwnHost(request.url, options_.endpoint);
  if (request.local) {
    request.ca_file = options_.ca_file;
    request.tls_verify = options_.tls_verify;
  }
  return request;
}

Status CurlDownloader::Fetch(const std::string& path, uint64_t offset, std::span<std::byte> out,
                             const std::stop_token& stop) {
  if (out.empty()) return {};
  if (out.size() > UINT64_MAX - offset) return Fail(EINVAL, "download: no such range");
  const auto wait_until = RealClock().Now() + kFreshFileLimit;
  Backoff backoff(kFirstPause, kLongestPause);
  bool renewed = false;
  int broken = 0;
  for (;;) {
    Result<std::shared_ptr<const DownloadLink>> link = links_.Get(path, stop);
    if (!link) return Fail(link.error());
    const HttpReply reply = http_.GetRange(RequestFor(**link, offset), out, stop);
    if (reply.complete) return {};
    if (stop.stop_requested()) return Fail(ECANCELED, "download: stopped");
    switch (NextStep(reply)) {
      case Next::kNewLink:
        links_.Forget(path);
        if (std::exchange(renewed, true)) return Fail(ErrorOf(reply));
        continue;
      case Next::kRepeat:
        if (++broken >= kBrokenTransfers) return Fail(ErrorOf(reply));
        break;
      case Next::kWait:
        if (RealClock().Now() >= wait_until) return Fail(ErrorOf(reply));
        break;
      case Next::kFail:
        return Fail(ErrorOf(reply));
    }
    if (!PauseFor(backoff.Next(), stop)) return Fail(ECANCELED, "download: stopped");
  }
}

}  // namespace

std::string CompleteUrl(std::string url, const Endpoint& endpoint) {
  const std::string scheme = endpoint.tls ? "https" : "http";
  const std::string host = HostInUrl(endpoint) + ":" + std::to_string(endpoint.port);
  ReplaceAll(url, "{SCHEME}", scheme);
  ReplaceAll(url, "{HOST}", host);
  ReplaceAll(url, "{PREVIEW}", "false");
  if (url.starts_with("http://") || url.starts_with("https://")) return url;
  if (!url.starts_with('/')) url.insert(0, "/");
  return scheme + "://" + host + url;
}

bool IsOwnHost(const std::string& url, const Endpoint& endpoint) {
  const size_t begin = url.find("://");
  if (begin == std::string::npos) return false;
  const std::string_view rest = std::string_view(url).substr(begin + 3);
  const std::string host = HostInUrl(endpoint);
  if (!rest.starts_with(host)) return false;
  const std::string_view after = rest.substr(host.size());
  return after.empty() || after.front() == ':' || after.front() == '/' || after.front() == '?';
}

std::unique_ptr<Downloader> MakeDownloader(NamespaceApi& names, const ConnectOptions& options) {
  return std::make_unique<CurlDownloader>(names, options);
}

}  // namespace outboxfs::remote
