#include "server/download_http.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/disk.h"
#include "server/namespace_service.h"
#include "server/path.h"

namespace outboxfs::server {
namespace {

constexpr size_t kPiece = 512 << 10;  // bytes per read of the file
constexpr const char* kType = "application/octet-stream";

// A connected socket for httplib. Reads are buffered: httplib takes headers byte by byte.
class SocketStream : public httplib::Stream {
 public:
  explicit SocketStream(int fd) : fd_(fd) {}

  bool is_readable() const override { return true; }
  bool is_writable() const override { return true; }
  ssize_t read(char* out, size_t size) override {
    if (at_ == filled_) {
      const ssize_t n = ::recv(fd_, buffer_.data(), buffer_.size(), 0);
      if (n <= 0) return n;
      at_ = 0;
      filled_ = static_cast<size_t>(n);
    }
    const size_t count = std::min(size, filled_ - at_);
    std::copy_n(buffer_.data() + at_, count, out);
    at_ += count;
    return static_cast<ssize_t>(count);
  }
  ssize_t write(const char* data, size_t size) override {
    ssize_t n = 0;
    do {
      n = ::send(fd_, data, size, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n;
  }
  void get_remote_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  void get_local_ip_and_port(std::string& /*ip*/, int& /*port*/) const override {}
  socket_t socket() const override { return fd_; }
  bool has_more() const { return at_ < filled_; }

 private:
  const int fd_;
  std::array<char, 8192> buffer_{};
  size_t at_ = 0;
  size_t filled_ = 0;
};

// What follows "/static/A/B/C/"; empty for another form.
std::string PathOfLink(const std::string& target) {
  constexpr std::string_view kPrefix = "/static/";
  if (!target.starts_with(kPrefix)) return {};
  size_t at = kPrefix.size();
  for (int i = 0; i < 3; ++i) {
    at = target.find('/', at);
    if (at == std::string::npos) return {};
    ++at;
  }
  return target.substr(at);
}

// Whether httplib can serve these ranges of a file of `size` bytes.
bool RangesFit(const httplib::Ranges& ranges, uint64_t size) {
  return std::all_of(ranges.begin(), ranges.end(), [size](const httplib::Range& range) {
    const auto [first, last] = range;
    if (first < 0) return last > 0 && size > 0;  // the last bytes
    return static_cast<uint64_t>(first) < size && (last < 0 || last >= first);
  });
}

// httplib does not clip what reaches past the end.
httplib::Range Clip(httplib::Range range, uint64_t size) {
  const auto end = static_cast<ssize_t>(size);
  if (range.first < 0) return {std::max<ssize_t>(0, end - range.second), end - 1};
  if (range.second < 0 || range.second >= end) range.second = end - 1;
  return range;
}

}  // namespace

void DownloadHttp::Attach(httplib::Server* server) {
  server->set_pre_routing_handler(
      [this](const httplib::Request& request, httplib::Response& response) {
        Answer(request, &response);
        return httplib::Server::HandlerResponse::Handled;
      });
}

bool DownloadHttp::Admit(const httplib::Request& request, httplib::Response* response,
                         std::string* path) {
  const Result<std::string> clean = NormalizePath(PathOfLink(request.path));
  if ((request.method != "GET" && request.method != "HEAD") || !clean || *clean == "/") {
    response->status = 404;
    return false;
  }
  const std::string expiry = request.get_param_value("expires");
  int64_t expires = 0;
  std::from_chars(expiry.data(), expiry.data() + expiry.size(), expires);
  if (request.get_param_value("sign") != auth_.SignLink(LinkText(*clean, expires))) {
    response->status = 403;
    response->set_content("signed link required", "text/plain");
  } else if (expires != 0 && expires < RealClock().WallNs() / 1'000'000) {
    response->status = 410;
  } else if (recent_.DownloadBroken(*clean)) {
    response->status = 502;
  } else {
    *path = *clean;
    return true;
  }
  return false;
}

void DownloadHttp::Answer(const httplib::Request& request, httplib::Response* response) {
  faults_.Count(&Counters::downloads);
  std::string path;
  if (!Admit(request, response, &path)) return;
  auto opened = store_.OpenFile(path);
  const Result<struct stat> st = opened ? disk::Stat(opened->get()) : Fail(ENOENT, "no file");
  if (!st) {
    response->status = 404;
    return;
  }
  const auto size = static_cast<uint64_t>(st->st_size);
  response->set_header("Accept-Ranges", "bytes");
  if (!RangesFit(request.ranges, size)) {
    response->status = 416;
    response->set_header("Content-Range", "bytes */" + std::to_string(size));
    return;
  }
  for (const httplib::Range& range : request.ranges) {
    // The request is httplib's own object, made for this answer.
    const_cast<httplib::Range&>(range) = Clip(range, size);
  }
  if (size == 0) {
    response->set_content("", kType);
    return;
  }
  auto file = std::make_shared<FileDescriptor>(std::move(*opened));
  auto buffer = std::make_shared<std::vector<char>>();
  response->set_content_provider(
      size, kType, [this, file, buffer](size_t offset, size_t length, httplib::DataSink& sink) {
        buffer->resize(kPiece);
        const auto piece =
            std::as_writable_bytes(std::span(*buffer).first(std::min(length, kPiece)));
        const Result<size_t> n = disk::ReadAt(file->get(), piece, offset);
        if (!n || *n == 0) return false;
        faults_.Count(&Counters::bytes_downloaded, *n);
        Pace(*n);
        return sink.write(buffer->data(), *n);
      });
}

void DownloadHttp::Pace(uint64_t bytes) {
  const uint64_t rate = knobs_.Get()->download_rate;
  if (rate == 0) return;
  SteadyTime turn;
  {
    MutexLock lock(mu_);
    turn = std::max(free_at_, std::chrono::steady_clock::now());
    free_at_ = turn + std::chrono::nanoseconds(bytes * 1'000'000'000 / rate);
  }
  std::this_thread::sleep_until(turn);
}

bool HttpConnections::ServeWaiting(int fd) {
  SocketStream stream(fd);
  do {
    bool closed = false;
    if (!process_request(stream, false, closed, nullptr) || closed) return false;
  } while (stream.has_more());
  return true;
}

}  // namespace outboxfs::server
