// The whole room against the embedded server over real gRPC.
#include <gtest/gtest.h>

#include <filesystem>

#include "remote/remote.h"
#include "support/test_server.h"
#include "support/upload_room.h"

namespace outboxfs::test {
namespace {

using server::Knobs;

std::unique_ptr<remote::Remote> ConnectTo(TestServer& server) {
  const auto spec = remote::ParseRemote(server->endpoint());
  EXPECT_TRUE(spec);
  remote::ConnectOptions options;
  options.endpoint = spec->endpoint;
  options.credentials.token = server->token();
  auto remote = remote::Remote::Connect(options);
  EXPECT_TRUE(remote);
  return std::move(*remote);
}

class UploadWithServer : public ::testing::Test {
 protected:
  explicit UploadWithServer(Knobs knobs = {}) : server_(std::move(knobs)) {}

  UploadRoom& room() {
    if (!room_)
      room_ = std::make_unique<UploadRoom>(remote_->uploads(), remote_->names(), options_);
    return *room_;
  }
  std::string Remote(const std::string& path) { return ReadWholeFile(server_.Local(path)); }
  // Of content: compared, not printed.
  bool HasContent(const std::string& path, const std::string& content) {
    return Remote(path) == content;
  }
  bool Exists(const std::string& path) { return std::filesystem::exists(server_.Local(path)); }

  TestServer server_;
  std::unique_ptr<remote::Remote> remote_ = ConnectTo(server_);
  upload::UploadOptions options_ = QuickOptions();
  std::unique_ptr<UploadRoom> room_;
};

TEST_F(UploadWithServer, AClosedFileIsUploadedVerifiedAndEvicted) {
  const std::string content = Pattern(3 << 20);
  const auto id = room().Write("/file.bin", content);
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/file.bin", content));
  EXPECT_EQ(room().store().Lookup("/file.bin").kind, cache::Overlay::Kind::kUploaded);
  EXPECT_TRUE(room().AwaitStatus([](const auto& status) { return status.uploads_done == 1; }));
}

TEST_F(UploadWithServer, DirectoriesAreMadeBeforeWhatIsInThem) {
  const auto a = room().MakeDir("/a");
  const auto b = room().MakeDir("/a/b");
  const auto file = room().Write("/a/b/f", "deep");
  ASSERT_TRUE(room().AwaitGone(file));
  ASSERT_TRUE(room().AwaitGone(a));
  ASSERT_TRUE(room().AwaitGone(b));
  EXPECT_EQ(Remote("/a/b/f"), "deep");
}

TEST_F(UploadWithServer, ManySmallFilesGoSideBySide) {
  std::vector<cache::ItemId> ids;
  for (int i = 0; i < 200; ++i) {
    ids.push_back(room().Write("/f" + std::to_string(i), Pattern(4096, i)));
  }
  for (const auto id : ids) ASSERT_TRUE(room().AwaitGone(id));
  for (int i = 0; i < 200; ++i) {
    EXPECT_TRUE(HasContent("/f" + std::to_string(i), Pattern(4096, i)));
  }
}

}  // namespace
}  // namespace outboxfs::test
