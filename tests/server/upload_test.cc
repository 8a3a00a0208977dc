// Uploads as they should go: reads of every kind, what counts as an answer, and what appears.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "raw_client.h"

namespace outboxfs::test {
namespace {

using server::Knobs;

TEST(Upload, AFileArrivesWithTheBytesThatWereSent) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern((5 << 20) + 123);
  EXPECT_EQ(client.Upload("/file.bin", content).status(), UploadStatus::Finish);
  EXPECT_EQ(ReadWholeFile(server.Local("/file.bin")), content);
  EXPECT_EQ(server->counters().bytes_received, content.size());
}

}  // namespace
}  // namespace outboxfs::test
