// The HTTP side: links, ranges, signatures, and TLS.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include <filesystem>

#include "raw_client.h"
#include "support/key_pair.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using server::Knobs;
using Stub = clouddrive::CloudDriveFileSrv::Stub;

clouddrive::DownloadUrlPathInfo Link(RawClient& client, const std::string& path) {
  clouddrive::GetDownloadUrlPathRequest request;
  request.set_path(path);
  clouddrive::DownloadUrlPathInfo reply;
  const grpc::Status status = client.Call(&Stub::GetDownloadUrlPath, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

std::string Filled(std::string path, const std::string& endpoint) {
  for (const auto& [name, value] : std::map<std::string, std::string>{
           {"{SCHEME}", "http"}, {"{HOST}", endpoint}, {"{PREVIEW}", "false"}}) {
    const size_t at = path.find(name);
    EXPECT_NE(at, std::string::npos) << name;
    path.replace(at, name.size(), value);
  }
  return path;
}

class Download : public testing::Test {
 protected:
  // A GET of the link's path on the port of the RPCs.
  httplib::Result Get(const std::string& path, const httplib::Headers& headers = {}) {
    return http_.Get(Filled(Link(client_, path).downloadurlpath(), server_->endpoint()), headers);
  }
  httplib::Result GetRange(const std::string& path, const std::string& range) {
    return Get(path, {{"Range", "bytes=" + range}});
  }

  TestServer server_;
  RawClient client_{server_};
  httplib::Client http_{"http://" + server_->endpoint()};
};

TEST_F(Download, GoesNoFasterThanItMay) {
  server_.Change([](Knobs& knobs) { knobs.download_rate = 4 << 20; });
  WriteFile(server_.Local("/f"), Pattern(3 << 19));
  const auto begun = std::chrono::steady_clock::now();
  const auto response = Get("/f");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body.size(), 3U << 19);
  // All but the last piece of half a mebibyte have taken their time.
  EXPECT_GE(std::chrono::steady_clock::now() - begun, 250ms);
}

TEST_F(Download, GivesTheWholeFileOverTheSamePort) {
  const std::string content = Pattern((3 << 20) + 7);
  WriteFile(server_.Local("/f"), content);
  const auto response = Get("/f");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_EQ(response->get_header_value("Accept-Ranges"), "bytes");
  EXPECT_TRUE(SameBytes(response->body, content));
  EXPECT_EQ(server_->counters().bytes_downloaded, content.size());
}

TEST_F(Download, GivesRanges) {
  const std::string content = Pattern(1000);
  WriteFile(server_.Local("/f"), content);
  struct Case {
    std::string range;
    std::string header;
    std::string bytes;
  };
  for (const Case& c : {Case{"0-0", "bytes 0-0/1000", content.substr(0, 1)},
                        Case{"100-199", "bytes 100-199/1000", content.substr(100, 100)},
                        Case{"900-", "bytes 900-999/1000", content.substr(900)},
                        Case{"900-5000", "bytes 900-999/1000", content.substr(900)},
                        Case{"-10", "bytes 990-999/1000", content.substr(990)},
                        Case{"-5000", "bytes 0-999/1000", content}}) {
    const auto response = GetRange("/f", c.range);
    ASSERT_TRUE(response) << c.range;
    EXPECT_EQ(response->status, 206) << c.range;
    EXPECT_EQ(response->get_header_value("Content-Range"), c.header) << c.range;
    EXPECT_TRUE(SameBytes(response->body, c.bytes)) << c.range;
  }
}

TEST_F(Download, RefusesRangesBeyondTheEnd) {
  WriteFile(server_.Local("/f"), "abc");
  WriteFile(server_.Local("/empty"), "");
  for (const auto& [path, range] : std::vector<std::pair<std::string, std::string>>{
           {"/f", "3-"}, {"/f", "100-200"}, {"/empty", "0-0"}, {"/empty", "-5"}}) {
    const auto response = GetRange(path, range);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 416) << path << range;
    EXPECT_TRUE(response->body.empty());
  }
}

TEST_F(Download, AnEmptyFileIsEmpty) {
  WriteFile(server_.Local("/empty"), "");
  const auto response = Get("/empty");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 200);
  EXPECT_TRUE(response->body.empty());
}

TEST_F(Download, AnyNameWorks) {
  std::filesystem::create_directories(server_.Local("/目录 %20+&?#"));
  for (const std::string& name :
       {std::string("a b"), std::string("100%25.txt"), std::string("x?y=z&a#b"),
        std::string("+plus+"), std::string("中文\n\"'"), std::string("a%2Fb")}) {
    const std::string path = "/目录 %20+&?#/" + name;
    WriteFile(server_.Local(path), name);
    const auto response = Get(path);
    ASSERT_TRUE(response) << path;
    EXPECT_EQ(response->status, 200) << path;
    EXPECT_EQ(response->body, name);
  }
}

TEST_F(Download, NeedsTheRightSignature) {
  WriteFile(server_.Local("/f"), "abc");
  WriteFile(server_.Local("/g"), "abc");
  const std::string link = Filled(Link(client_, "/f").downloadurlpath(), server_->endpoint());
  const std::string unsigned_link = link.substr(0, link.find('?'));
  std::string other = link;
  other.replace(other.find("%2Ff"), 4, "%2Fg");
  std::string longer = link;
  longer.replace(longer.find("expires=0"), 9, "expires=99999999999999");
  for (const std::string& path : {unsigned_link, other, longer}) {
    const auto response = http_.Get(path);
    ASSERT_TRUE(response);
    EXPECT_EQ(response->status, 403) << path;
    EXPECT_EQ(response->body, "signed link required");
  }
}

TEST_F(Download, ALinkCanExpire) {
  WriteFile(server_.Local("/f"), "abc");
  EXPECT_FALSE(Link(client_, "/f").has_expiresin());
  server_.Change([](Knobs& k) { k.link_lifetime = 1h; });
  EXPECT_EQ(Link(client_, "/f").expiresin(), 3600U);
  EXPECT_EQ(Get("/f")->status, 200);
  server_.Change([](Knobs& k) { k.link_lifetime = 1ms; });
  const std::string link = Filled(Link(client_, "/f").downloadurlpath(), server_->endpoint());
  int status = 200;
  for (int i = 0; i < 1000 && status == 200; ++i) status = http_.Get(link)->status;
  EXPECT_EQ(status, 410);
}

TEST_F(Download, IsNotReadyRightAfterAnUploadWhenTheKnobSaysSo) {
  server_.Change([](Knobs& k) { k.download_lag = 1h; });
  WriteFile(server_.Local("/old"), "abc");
  client_.Upload("/f", "abc");
  EXPECT_EQ(Get("/f")->status, 502);
  EXPECT_EQ(Get("/old")->status, 200);
  server_.Change([](Knobs& k) { k.download_lag = 0ms; });
  EXPECT_EQ(Get("/f")->status, 200);
}

TEST_F(Download, OfAFileThatHasGoneIsNotFound) {
  WriteFile(server_.Local("/f"), "abc");
  const std::string link = Filled(Link(client_, "/f").downloadurlpath(), server_->endpoint());
  std::filesystem::remove(server_.Local("/f"));
  EXPECT_EQ(http_.Get(link)->status, 404);
  EXPECT_EQ(http_.Get("/static/x")->status, 404);
  EXPECT_EQ(http_.Get("/")->status, 404);
  clouddrive::GetDownloadUrlPathRequest request;
  request.set_path("/f");
  clouddrive::DownloadUrlPathInfo reply;
  EXPECT_EQ(client_.Call(&Stub::GetDownloadUrlPath, request, &reply).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(Download, OneConnectionServesManyRequests) {
  const std::string content = Pattern(100'000);
  WriteFile(server_.Local("/f"), content);
  http_.set_keep_alive(true);
  for (size_t at = 0; at < content.size(); at += 10'000) {
    const auto response = GetRange("/f", std::to_string(at) + "-" + std::to_string(at + 9'999));
    ASSERT_TRUE(response);
    EXPECT_TRUE(SameBytes(response->body, content.substr(at, 10'000)));
  }
}

TEST_F(Download, MoreConnectionsThanThreadsAreServed) {
  WriteFile(server_.Local("/f"), Pattern(1 << 20));
  const std::string link = Filled(Link(client_, "/f").downloadurlpath(), server_->endpoint());
  // Idle connections, kept open, hold no thread.
  std::vector<std::unique_ptr<httplib::Client>> idle;
  for (int i = 0; i < 20; ++i) {
    idle.push_back(std::make_unique<httplib::Client>("http://" + server_->endpoint()));
    idle.back()->set_keep_alive(true);
    ASSERT_EQ(idle.back()->Get(link, {{"Range", "bytes=0-9"}})->status, 206);
  }
  for (auto& client : idle) EXPECT_EQ(client->Get(link)->body.size(), 1U << 20);
}

TEST(Tls, CallsUploadsAndDownloadsWork) {
  TempDir dir;
  const test::KeyPair pair = test::MakeKeyPair();
  WriteFile(dir / "key.pem", pair.key);
  WriteFile(dir / "cert.pem", pair.cert);
  server::ServerOptions options;
  options.tls_cert_file = dir / "cert.pem";
  options.tls_key_file = dir / "key.pem";
  TestServer server(options);
  WriteFile(server.Local("/f"), "secret bytes");
  grpc::SslCredentialsOptions ssl;
  ssl.pem_root_certs = pair.cert;
  const auto stub = clouddrive::CloudDriveFileSrv::NewStub(
      grpc::CreateChannel(server->endpoint(), grpc::SslCredentials(ssl)));
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer " + server->token());
  clouddrive::GetDownloadUrlPathRequest request;
  request.set_path("/f");
  clouddrive::DownloadUrlPathInfo link;
  const grpc::Status status = stub->GetDownloadUrlPath(&context, request, &link);
  ASSERT_TRUE(status.ok()) << status.error_message();
  const std::string& url = link.directurl();
  const size_t path = url.find('/', 8);
  httplib::Client http(url.substr(0, path));
  http.set_ca_cert_path((dir / "cert.pem").c_str());
  const auto response = http.Get(url.substr(path));
  ASSERT_TRUE(response) << httplib::to_string(response.error());
  EXPECT_EQ(response->body, "secret bytes");
}

TEST(Tls, AMissingCertificateIsRefused) {
  TempDir dir;
  server::ServerOptions options;
  options.directory = dir.path();
  options.tls_cert_file = dir / "missing.pem";
  options.tls_key_file = dir / "missing.pem";
  const auto started = server::ReferenceServer::Start(options);
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().text, testing::HasSubstr("missing.pem"));
}

}  // namespace
}  // namespace outboxfs::test
