// Hash requests, rapid uploads, and bytes checked against what was announced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "raw_client.h"
#include "server/digests.h"
#include "server/received_file.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using server::Digest;
using server::HashAsk;
using server::HashType;
using server::Knobs;
using Stub = clouddrive::CloudDriveFileSrv::Stub;

struct Hashed {
  std::string whole;
  std::vector<std::string> blocks;
};

Hashed HashOf(const std::string& text, uint32_t type, uint32_t block = 0) {
  Digest digest(HashType{type}, text.size(), block);
  digest.Update(std::as_bytes(std::span(text)));
  Hashed hashed;
  hashed.whole = digest.Finish();
  hashed.blocks = digest.blocks();
  return hashed;
}

// Uploads and answers every hash request rightly. Returns the final status.
int UploadWithHashes(RawClient& client, const std::string& path, const std::string& content,
                     std::vector<HashAsk>* asked = nullptr) {
  const auto channel = client.Open();
  const std::string id = client.Start(path, content.size());
  const auto end = client.Serve(*channel, id, content, [&](const auto& ask) {
    if (asked != nullptr) asked->push_back({ask.hash_type(), ask.block_size()});
    const Hashed hashed = HashOf(content, ask.hash_type(), ask.block_size());
    EXPECT_TRUE(client.SendHash(id, ask.hash_type(), hashed.whole, hashed.blocks).ok());
  });
  return end.status();
}

TEST(Hashes, EveryTypeIsAskedForAndChecked) {
  Knobs knobs;
  knobs.hashes = {{1, 0}, {2, 0}, {3, 0}, {1, 100'000}};
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern((2 << 20) + 5);
  std::vector<HashAsk> asked;
  EXPECT_EQ(UploadWithHashes(client, "/f", content, &asked), UploadStatus::Finish);
  // The answer to MD5 with blocks may have answered plain MD5 as well, but not the other way round.
  EXPECT_THAT(asked, testing::UnorderedElementsAreArray(knobs.hashes));
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/f")), content));
}

TEST(Hashes, ReadsCanGoTogetherWithHashes) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  knobs.hash_first = false;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string content = "abc";
  const std::string id = client.Start("/f", content.size());
  // Both requests are there before either is answered.
  ASSERT_TRUE(channel->Await([](const std::vector<Event>& events) {
    const auto has = [&](auto test) { return std::any_of(events.begin(), events.end(), test); };
    return has([](const Event& e) { return e.has_hash_data(); }) &&
           has([](const Event& e) { return e.has_read_data(); });
  }));
  EXPECT_EQ(client
                .Serve(*channel, id, content,
                       [&](const auto&) { client.SendHash(id, 2, HashOf(content, 2).whole); })
                .status(),
            UploadStatus::Finish);
}

TEST(Hashes, ReadsWaitForTheHashesByDefault) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", 3);
  ASSERT_TRUE(channel->AwaitCount(2));
  EXPECT_EQ(server->counters().reads_asked, 0U);
  EXPECT_TRUE(client.SendHash(id, 2, HashOf("abc", 2).whole).ok());
  ASSERT_TRUE(channel->AwaitCount(4));  // Transfer, read
  EXPECT_EQ(server->counters().reads_asked, 1U);
}

TEST(Hashes, AClientThatCannotHashIsNotAsked) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  clouddrive::StartRemoteUploadRequest request;
  request.set_file_path("/f");
  request.set_file_size(3);
  clouddrive::RemoteUploadStarted started;
  ASSERT_TRUE(client.Call(&Stub::StartRemoteUpload, request, &started).ok());
  EXPECT_EQ(client.Serve(*channel, started.upload_id(), "abc").status(), UploadStatus::Finish);
  EXPECT_EQ(server->counters().hashes_asked, 0U);
}

TEST(Hashes, BytesThatDoNotHaveTheAnnouncedHashAreNotStored) {
  for (const HashAsk ask : {HashAsk{1, 0}, HashAsk{2, 0}, HashAsk{3, 0}, HashAsk{1, 1000}}) {
    Knobs knobs;
    knobs.hashes = {ask};
    TestServer server(knobs);
    RawClient client(server);
    const std::string content = Pattern(5000);
    const std::string other = Pattern(5000, 2);
    const auto channel = client.Open();
    const std::string id = client.Start("/f", content.size());
    const auto end = client.Serve(*channel, id, content, [&](const auto&) {
      // With blocks, only a block is wrong.
      const std::string whole = HashOf(ask.block_size > 0 ? content : other, ask.type).whole;
      client.SendHash(id, ask.type, whole, HashOf(other, ask.type, ask.block_size).blocks);
    });
    EXPECT_EQ(end.status(), UploadStatus::Error) << ask.type << " " << ask.block_size;
    EXPECT_THAT(end.error_message(), testing::HasSubstr("hash mismatch"));
    EXPECT_FALSE(std::filesystem::exists(server.Local("/f")));
  }
}

TEST(Hashes, KnownHashesAreCheckedAsWell) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(5000);
  EXPECT_EQ(client.Upload("/right", content, {{3, HashOf(content, 3).whole}}).status(),
            UploadStatus::Finish);
  EXPECT_EQ(client.Upload("/wrong", content, {{3, HashOf("other", 3).whole}}).status(),
            UploadStatus::Error);
  server.Change([](Knobs& k) { k.verify_hashes = false; });
  EXPECT_EQ(client.Upload("/wrong", content, {{3, HashOf("other", 3).whole}}).status(),
            UploadStatus::Finish);
}

TEST(Hashes, MalformedHashesAreRefusedAndTheRequestStays) {
  Knobs knobs;
  knobs.hashes = {{1, 1000}};
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(2500);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", content.size());
  const Hashed right = HashOf(content, 1, 1000);
  const auto invalid = grpc::StatusCode::INVALID_ARGUMENT;
  EXPECT_EQ(client.SendHash(id, 1, "abc", right.blocks).error_code(), invalid);
  EXPECT_EQ(client.SendHash(id, 1, right.whole, {right.blocks[0]}).error_code(), invalid);
  EXPECT_EQ(server->counters().reads_asked, 0U);
  EXPECT_TRUE(client.SendHash(id, 1, right.whole, right.blocks).ok());
  EXPECT_EQ(client.Serve(*channel, id, content).status(), UploadStatus::Finish);
}

TEST(Hashes, AnEmptyHashValueIsProgressOnly) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  const std::string id = client.Start("/f", 3);
  EXPECT_TRUE(client.SendHash(id, 2, "").ok());
  EXPECT_EQ(server->counters().reads_asked, 0U);
  EXPECT_TRUE(client.SendHash(id, 2, HashOf("abc", 2).whole).ok());
  EXPECT_TRUE(client.SendHash(id, 2, HashOf("abc", 2).whole).ok());  // repeated final message
  EXPECT_EQ(client.Serve(*channel, id, "abc").status(), UploadStatus::Finish);
}

TEST(Hashes, SilenceBringsTheRequestAgain) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  knobs.hash_repeat = 30ms;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  client.Start("/f", 3);
  EXPECT_TRUE(channel->Await([](const std::vector<Event>& events) {
    return std::count_if(events.begin(), events.end(),
                         [](const Event& e) { return e.has_hash_data(); }) >= 3;
  }));
}

// Whether the machine was quick enough to tell is measured, and else tried again.
TEST(Hashes, ProgressKeepsTheRequestFromComingAgain) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  knobs.hash_repeat = 400ms;
  TestServer server(knobs);
  RawClient client(server);
  using Clock = std::chrono::steady_clock;
  for (int attempt = 0; attempt < 10; ++attempt) {
    const auto channel = client.Open();
    const auto begun = Clock::now();
    const std::string id = client.Start("/f" + std::to_string(attempt), 3);
    Clock::duration longest{};
    for (auto last = begun; last < begun + 3 * knobs.hash_repeat;) {
      ASSERT_TRUE(client.SendHash(id, 2, "").ok());
      longest = std::max(longest, Clock::now() - last);
      last = Clock::now();
    }
    if (longest >= knobs.hash_repeat / 2) continue;
    const auto events = channel->events();
    EXPECT_EQ(std::count_if(events.begin(), events.end(),
                            [](const Event& e) { return e.has_hash_data(); }),
              1);
    return;
  }
  ADD_FAILURE() << "never were two progress messages less than " << knobs.hash_repeat.count() / 2
                << " ms apart";
}

TEST(Rapid, KnownContentEndsTheUploadInsideItsStart) {
  TestServer server;
  RawClient client(server);
  const std::string content = Pattern(3 << 20);
  client.Upload("/first", content);
  const uint64_t asked = server->counters().reads_asked;
  const auto channel = client.Open();
  const std::string id = client.Start("/second", content.size(), {{2, HashOf(content, 2).whole}});
  // When the start is answered, the file is there.
  EXPECT_TRUE(SameBytes(ReadWholeFile(server.Local("/second")), content));
  EXPECT_TRUE(channel->Await([&](const std::vector<Event>& events) {
    return !events.empty() && events.back().upload_id() == id &&
           events.back().status_changed().status() == UploadStatus::Finish;
  }));
  EXPECT_EQ(server->counters().reads_asked, asked);
  EXPECT_EQ(server->counters().rapid_uploads, 1U);
}

TEST(Rapid, KnownContentIsFoundAgainAfterARestart) {
  TestServer server;
  {
    RawClient client(server);
    client.Upload("/first", "some content");
  }
  server.Restart();
  RawClient client(server);
  client.Upload("/second", "some content", {{2, HashOf("some content", 2).whole}});
  EXPECT_EQ(server->counters().rapid_uploads, 1U);
  EXPECT_EQ(ReadWholeFile(server.Local("/second")), "some content");
}

TEST(Rapid, AnsweredHashesWorkToo) {
  Knobs knobs;
  knobs.hashes = {{2, 0}};
  TestServer server(knobs);
  RawClient client(server);
  const std::string content = Pattern(3000);
  UploadWithHashes(client, "/first", content);
  const uint64_t asked = server->counters().reads_asked;
  EXPECT_EQ(UploadWithHashes(client, "/second", content), UploadStatus::Finish);
  EXPECT_EQ(server->counters().reads_asked, asked);
  server.Change([](Knobs& k) { k.rapid_after_hash = false; });
  EXPECT_EQ(UploadWithHashes(client, "/third", content), UploadStatus::Finish);
  EXPECT_EQ(server->counters().reads_asked, asked + 1);
}

TEST(Rapid, DoesNotHappenForOtherContentOrWithTheKnobOffOrForAChangedSource) {
  TestServer server;
  RawClient client(server);
  client.Upload("/first", "some content");
  const std::string sha1 = HashOf("some content", 2).whole;
  EXPECT_EQ(
      client.Upload("/other", "same length!", {{2, HashOf("same length!", 2).whole}}).status(),
      UploadStatus::Finish);
  server.Change([](Knobs& k) { k.rapid_known = false; });
  client.Upload("/off", "some content", {{2, sha1}});
  server.Change([](Knobs& k) { k.rapid_known = true; });
  std::filesystem::remove(server.Local("/off"));
  WriteFile(server.Local("/first"), "SOME CONTENT");
  client.Upload("/changed", "some content", {{2, sha1}});
  EXPECT_EQ(ReadWholeFile(server.Local("/changed")), "some content");
  EXPECT_EQ(server->counters().rapid_uploads, 0U);
}

TEST(Rapid, AWrongHashOfAnotherTypeIsNotRemembered) {
  TestServer server;
  RawClient client(server);
  client.Upload("/first", "some content");
  // The server knows the SHA-1 only; the MD5 is a lie.
  const std::string lie = HashOf("lie", 1).whole;
  client.Upload("/second", "some content", {{2, HashOf("some content", 2).whole}, {1, lie}});
  EXPECT_EQ(client.Entry("/", "second").filehashes().count(1), 0U);
}

TEST(Listing, ShowsTheSha1OfUploadedFilesInWhateverOrderTheBytesCame) {
  for (server::ReadOrder order : {server::ReadOrder::kSequential, server::ReadOrder::kRandom,
                                  server::ReadOrder::kOverlapping}) {
    Knobs knobs;
    knobs.read_order = order;
    TestServer server(knobs);
    RawClient client(server);
    const std::string content = Pattern((7 << 20) + 1);
    client.Upload("/f", content);
    EXPECT_EQ(client.Entry("/", "f").filehashes().at(2), HashOf(content, 2).whole);
    server.Change([](Knobs& k) { k.list_hashes = false; });
    EXPECT_TRUE(client.Entry("/", "f").filehashes().empty());
  }
}

TEST(Listing, ForgetsTheHashOfAFileThatWasChangedBySomebodyElse) {
  TestServer server;
  RawClient client(server);
  client.Upload("/f", "abc");
  EXPECT_EQ(client.Entry("/", "f").filehashes().size(), 1U);
  WriteFile(server.Local("/f"), "abcd");
  EXPECT_TRUE(client.Entry("/", "f").filehashes().empty());
}

TEST(ReceivedFile, FourGibibytesAndMoreCostNothingButTheirData) {
  constexpr uint64_t kSize = (5ULL << 30) + 3;
  TempDir dir;
  auto store = server::DirStore::Open(dir.path());
  ASSERT_TRUE(store);
  auto file = server::ReceivedFile::Create(store->get(), "big", kSize, {});
  ASSERT_TRUE(file);
  const std::string zeros(1 << 20, '\0');
  const std::string data = Pattern(1 << 20);
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  EXPECT_TRUE((*file)->Write(4ULL << 30, bytes(zeros)));
  EXPECT_TRUE((*file)->Write(kSize - data.size(), bytes(data)));
  EXPECT_EQ((*file)->received(), 2U << 20);
  EXPECT_FALSE((*file)->complete());
  (*file)->MarkPresent({{0, kSize}});
  EXPECT_TRUE((*file)->complete());
  struct stat st {};
  ASSERT_EQ(::fstat((*file)->fd(), &st), 0);
  EXPECT_EQ(static_cast<uint64_t>(st.st_size), kSize);
  EXPECT_LT(st.st_blocks * 512, 2 << 20);
}

TEST(ReceivedFile, ZerosOverOtherBytesAreWritten) {
  TempDir dir;
  auto store = server::DirStore::Open(dir.path());
  ASSERT_TRUE(store);
  auto file = server::ReceivedFile::Create(store->get(), "f", 100, {});
  ASSERT_TRUE(file);
  const std::string data = Pattern(100);
  const std::string zeros(100, '\0');
  EXPECT_TRUE((*file)->Write(0, std::as_bytes(std::span(data))));
  EXPECT_TRUE((*file)->Write(0, std::as_bytes(std::span(zeros))));
  EXPECT_TRUE(SameBytes(ReadWholeFile((*store)->PrivatePath("f")), zeros));
}

}  // namespace
}  // namespace outboxfs::test
