// The downloader against a real HTTP server of this process.
#include <gtest/gtest.h>
#include <httplib.h>

#include <atomic>
#include <cerrno>
#include <future>
#include <numeric>
#include <thread>

#include "common/mutex.h"
#include "remote/remote.h"
#include "support/fake_namespace_api.h"

namespace outboxfs::remote {
namespace {

using std::chrono::seconds;
using test::FakeNamespaceApi;

constexpr size_t kSize = 300'000;

class DownloaderTest : public testing::Test {
 protected:
  DownloaderTest() {
    content_.resize(kSize);
    std::iota(content_.begin(), content_.end(), '\0');
    http_.Get(R"(/dl/(.*))", [this](const httplib::Request& request, httplib::Response& response) {
      Answer(request, response);
    });
    port_ = http_.bind_to_any_port("127.0.0.1");
    thread_ = std::jthread([this] { http_.listen_after_bind(); });
    // Its stop() does nothing before it serves.
    EXPECT_TRUE(httplib::Client("127.0.0.1", port_).Get("/hello"));
    ConnectOptions options;
    options.endpoint = {"127.0.0.1", port_, false};
    names_.SetLinkPrefix("/dl");
    downloader_ = MakeDownloader(names_, options);
  }
  ~DownloaderTest() override {
    Release();
    http_.stop();
  }

  void Answer(const httplib::Request& request, httplib::Response& response) {
    ++requests_;
    const std::string what = request.matches[1];
    if (fail_times_ > 0) {
      --fail_times_;
      response.status = fail_status_;
      response.set_content("no", "text/plain");
    } else if (what == "ignores-range") {
      const_cast<httplib::Request&>(request).ranges.clear();
      response.set_content(content_, "application/octet-stream");
    } else if (what == "other-range") {
      const_cast<httplib::Request&>(request).ranges = {{1000, 1099}};
      response.set_content(content_, "application/octet-stream");
    } else if (what == "stuck") {
      MutexLock lock(mu_);
      entered_ = true;
      changed_.NotifyAll();
      while (!released_) changed_.Wait(mu_, {});
    } else {
      response.set_content(content_, "application/octet-stream");
    }
  }
  void Release() {
    MutexLock lock(mu_);
    released_ = true;
    changed_.NotifyAll();
  }

  Status Fetch(const std::string& path, uint64_t offset, size_t size) {
    buffer_.assign(size, '\0');
    return downloader_->Fetch(path, offset, std::as_writable_bytes(std::span(buffer_)), {});
  }

  std::string content_;
  std::string buffer_;
  std::atomic<int> requests_ = 0;
  std::atomic<int> fail_times_ = 0;
  std::atomic<int> fail_status_ = 0;
  Mutex mu_;
  CondVar changed_;
  bool entered_ ABSL_GUARDED_BY(mu_) = false;
  bool released_ ABSL_GUARDED_BY(mu_) = false;
  httplib::Server http_;
  int port_ = 0;
  std::jthread thread_;
  FakeNamespaceApi names_;
  std::unique_ptr<Downloader> downloader_;
};

TEST_F(DownloaderTest, FetchesExactlyTheRange) {
  ASSERT_TRUE(Fetch("/f", 12'345, 70'000));
  EXPECT_EQ(buffer_, content_.substr(12'345, 70'000));
  ASSERT_TRUE(Fetch("/f", 0, kSize));
  EXPECT_EQ(buffer_, content_);
  ASSERT_TRUE(Fetch("/f", kSize - 1, 1));
  EXPECT_EQ(buffer_, content_.substr(kSize - 1));
  EXPECT_EQ(names_.Count("GetDownloadLink"), 1) << "the link is kept";
  EXPECT_TRUE(Fetch("/f", 5, 0));
}

TEST_F(DownloaderTest, ARangePastTheEndIsAnError) {
  EXPECT_EQ(Fetch("/f", kSize, 10).error().code, EIO);
  EXPECT_EQ(Fetch("/f", kSize - 5, 10).error().code, EIO) << "half of it is not enough";
  EXPECT_EQ(Fetch("/f", UINT64_MAX, 10).error().code, EINVAL);
}

TEST_F(DownloaderTest, AServerWithoutRangesServesWholeFilesOnly) {
  ASSERT_TRUE(Fetch("/ignores-range", 0, kSize));
  EXPECT_EQ(buffer_, content_);
  Status part = Fetch("/ignores-range", 10, 10);
  EXPECT_EQ(part.error().code, EIO);
  EXPECT_EQ(part.error().text, "download: the server ignored the range");
  EXPECT_EQ(Fetch("/ignores-range", 0, 10).error().text,
            "download: the server sent more than was asked for");
}

TEST_F(DownloaderTest, AnotherRangeThanAskedForIsRefused) {
  Status got = Fetch("/other-range", 0, 100);
  EXPECT_EQ(got.error().code, EIO);
  EXPECT_EQ(got.error().text, "download: the server sent another range");
}

TEST_F(DownloaderTest, AFreshFileIsWaitedFor) {
  fail_status_ = 502;
  fail_times_ = 2;
  EXPECT_TRUE(Fetch("/f", 0, 10));
  EXPECT_EQ(requests_, 3);
  EXPECT_EQ(names_.Count("GetDownloadLink"), 1);
}

TEST_F(DownloaderTest, AStaleLinkIsReplacedOnce) {
  for (const int status : {401, 403, 404, 410}) {
    fail_status_ = status;
    fail_times_ = 1;
    EXPECT_TRUE(Fetch("/f" + std::to_string(status), 0, 10)) << status;
    fail_times_ = 2;
    Status got = Fetch("/f" + std::to_string(status), 0, 10);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, status == 401 || status == 403 ? EACCES : ENOENT);
  }
  EXPECT_EQ(names_.Count("GetDownloadLink"), 4 * 3);
}

TEST_F(DownloaderTest, OtherFailuresAreErrorsAtOnce) {
  fail_status_ = 400;
  fail_times_ = 1;
  EXPECT_EQ(Fetch("/f", 0, 10).error().text, "download: HTTP status 400");
  EXPECT_EQ(requests_, 1);
}

TEST_F(DownloaderTest, ForgettingBringsANewLink) {
  ASSERT_TRUE(Fetch("/f", 0, 10));
  downloader_->Forget("/f");
  ASSERT_TRUE(Fetch("/f", 0, 10));
  EXPECT_EQ(names_.Count("GetDownloadLink"), 2);
}

TEST_F(DownloaderTest, ErrorsOfTheLinkAreHandedOn) {
  names_.FailNext("GetDownloadLink", Error{ENOENT, Retry::kBackoff, "gone"});
  EXPECT_EQ(Fetch("/f", 0, 10).error().code, ENOENT);
}

TEST_F(DownloaderTest, AStopTokenEndsAStuckTransfer) {
  std::stop_source stop;
  std::vector<std::byte> out(10);
  auto fetch = std::async(std::launch::async,
                          [&] { return downloader_->Fetch("/stuck", 0, out, stop.get_token()); });
  {
    MutexLock lock(mu_);
    while (!entered_) changed_.Wait(mu_, {});
  }
  stop.request_stop();
  ASSERT_EQ(fetch.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(fetch.get().error().code, ECANCELED);
}

TEST_F(DownloaderTest, AStopTokenEndsTheWaitForAFreshFile) {
  fail_status_ = 503;
  fail_times_ = 1'000'000;
  std::stop_source stop;
  std::vector<std::byte> out(10);
  auto fetch = std::async(std::launch::async,
                          [&] { return downloader_->Fetch("/f", 0, out, stop.get_token()); });
  ASSERT_TRUE(names_.AwaitCount("GetDownloadLink", 1));
  stop.request_stop();
  EXPECT_EQ(fetch.get().error().code, ECANCELED);
}

TEST_F(DownloaderTest, ManyThreadsFetchAtOnce) {
  std::vector<std::future<bool>> fetches;
  for (size_t i = 0; i < 8; ++i) {
    fetches.push_back(std::async(std::launch::async, [this, i] {
      for (size_t k = 0; k < 10; ++k) {
        std::string out(10'000, '\0');
        const size_t offset = (i * 10 + k) * 3'000;
        if (!downloader_->Fetch("/f", offset, std::as_writable_bytes(std::span(out)), {})) {
          return false;
        }
        if (out != content_.substr(offset, out.size())) return false;
      }
      return true;
    }));
  }
  for (auto& fetch : fetches) EXPECT_TRUE(fetch.get());
}

}  // namespace
}  // namespace outboxfs::remote
