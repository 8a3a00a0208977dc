#include "remote/http_client.h"

#include <charconv>
#include <cstring>
#include <mutex>
#include <string_view>

namespace outboxfs::remote {
namespace {

constexpr size_t kMaxIdle = 8;
constexpr long kConnectTimeoutS = 10;
constexpr long kStalledS = 30;                // no byte for so long: given up
constexpr uint64_t kMaxErrorBody = 64 << 10;  // read to keep the connection, not kept

// One transfer under way.
struct Transfer {
  CURL* easy = nullptr;
  uint64_t offset = 0;
  std::span<std::byte> out;
  const std::stop_token* stop = nullptr;
  uint64_t range_begin = 0;  // of the answer's Content-Range
  uint64_t range_end = 0;
  bool has_range = false;
  uint64_t received = 0;
  std::string trouble;

  int status() const {
    long code = 0;
    curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }
  // Whether the body that now begins is what was asked for.
  bool IsWanted() {
    if (status() == 200) return offset == 0;
    if (status() != 206) return false;
    const bool right = has_range && range_begin == offset && range_end == offset + out.size();
    if (!right) trouble = "the server sent another range";
    return right;
  }
};

bool TakeNumber(std::string_view& text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return true;
}

size_t OnHeader(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const std::string_view line(data, size);
  constexpr std::string_view kName = "content-range:";
  if (line.starts_with("HTTP/")) {  // a new answer: after a redirect, or 100
    transfer.has_range = false;
  } else if (size > kName.size() && strncasecmp(data, kName.data(), kName.size()) == 0) {
    transfer.has_range =
        ParseContentRange(line.substr(kName.size()), transfer.range_begin, transfer.range_end);
  }
  return size;
}

size_t OnBody(char* data, size_t, size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  const uint64_t at = transfer.received;
  if (at == 0 && !transfer.IsWanted() && transfer.status() < 300) {
    if (transfer.trouble.empty()) transfer.trouble = "the server ignored the range";
    return CURL_WRITEFUNC_ERROR;
  }
  transfer.received += size;
  if (transfer.status() >= 300) return at > kMaxErrorBody ? CURL_WRITEFUNC_ERROR : size;
  if (transfer.received > transfer.out.size()) {
    transfer.trouble = "the server sent more than was asked for";
    return CURL_WRITEFUNC_ERROR;
  }
  std::memcpy(transfer.out.data() + at, data, size);
  return size;
}

int OnProgress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(user)->stop->stop_requested() ? 1 : 0;
}

using HeaderList = std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)>;

HeaderList MakeHeaders(const HttpRequest& request) {
  curl_slist* list = nullptr;
  for (const auto& [name, value] : request.headers) {
    std::string line = name;
    line.append(": ").append(value);
    if (line.find_first_of("\r\n") != std::string::npos) continue;
    curl_slist* longer = curl_slist_append(list, line.c_str());
    if (longer != nullptr) list = longer;
  }
  return {list, &curl_slist_free_all};
}

void SetUp(CURL* easy, const HttpRequest& request, Transfer& transfer, const HeaderList& headers) {
  curl_easy_reset(easy);  // keeps the connections
  curl_easy_setopt(easy, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, kConnectTimeoutS);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, kStalledS);
  curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, 256L << 10);
  curl_easy_setopt(easy, CURLOPT_USERAGENT, request.user_agent.c_str());
  if (headers) curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.get());
  if (request.local) curl_easy_setopt(easy, CURLOPT_PROXY, "");
  if (!request.ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, request.ca_file.c_str());
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, request.tls_verify ? 1L : 0L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, request.tls_verify ? 2L : 0L);
  const std::string range = std::to_string(request.offset) + "-" +
                            std::to_string(request.offset + transfer.out.size() - 1);
  curl_easy_setopt(easy, CURLOPT_RANGE, range.c_str());  // curl copies strings
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, &OnProgress);
  curl_easy_setopt(easy, CURLOPT_XFERINFODATA, &transfer);
  curl_easy_setopt(easy, CURLOPT_NOPROGRESS, 0L);
}

HttpReply ReplyOf(Transfer& transfer, CURLcode code) {
  HttpReply reply;
  reply.status = transfer.status();
  reply.wrong = !transfer.trouble.empty();
  reply.trouble = std::move(transfer.trouble);
  if (code != CURLE_OK) {
    if (reply.trouble.empty()) reply.trouble = curl_easy_strerror(code);
    return reply;
  }
  if (reply.status >= 300 || reply.status < 200) {
    reply.trouble = "HTTP status " + std::to_string(reply.status);
    return reply;
  }
  reply.complete = transfer.IsWanted() && transfer.received == transfer.out.size();
  if (!reply.complete) {
    reply.wrong = true;
    reply.trouble = "the answer is not the range";
  }
  return reply;
}

}  // namespace

bool ParseContentRange(std::string_view value, uint64_t& begin, uint64_t& end) {
  while (value.starts_with(' ')) value.remove_prefix(1);
  constexpr std::string_view kUnit = "bytes ";
  if (!value.starts_with(kUnit)) return false;
  value.remove_prefix(kUnit.size());
  uint64_t last = 0;
  if (!TakeNumber(value, begin) || !value.starts_with('-')) return false;
  value.remove_prefix(1);
  if (!TakeNumber(value, last) || !value.starts_with('/')) return false;
  if (last < begin || last == UINT64_MAX) return false;
  end = last + 1;
  return true;
}

HttpClient::HttpClient() {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
}

HttpClient::~HttpClient() = default;

HttpClient::Easy HttpClient::Take() {
  {
    MutexLock lock(mu_);
    if (!idle_.empty()) {
      Easy easy = std::move(idle_.back());
      idle_.pop_back();
      return easy;
    }
  }
  return Easy(curl_easy_init());
}

void HttpClient::GiveBack(Easy easy) {
  MutexLock lock(mu_);
  if (idle_.size() < kMaxIdle) idle_.push_back(std::move(easy));
}

HttpReply HttpClient::GetRange(const HttpRequest& request, std::span<std::byte> out,
                               const std::stop_token& stop) {
  Easy easy = Take();
  if (!easy) return {.trouble = "no memory for a transfer"};
  Transfer transfer;
  transfer.easy = easy.get();
  transfer.offset = request.offset;
  transfer.out = out;
  transfer.stop = &stop;
  const HeaderList headers = MakeHeaders(request);
  SetUp(easy.get(), request, transfer, headers);
  const CURLcode code = curl_easy_perform(easy.get());
  HttpReply reply = ReplyOf(transfer, code);
  curl_easy_reset(easy.get());  // nothing of this call stays behind in it
  GiveBack(std::move(easy));
  return reply;
}

}  // namespace outboxfs::remote
