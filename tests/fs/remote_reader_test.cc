#include "fs/remote_reader.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "support/fake_downloader.h"
#include "support/temp_dir.h"

namespace outboxfs::fs {
namespace {

constexpr uint64_t kBudget = 64 << 20;

class RemoteReaderTest : public ::testing::Test {
 protected:
  void SetUp() override { downloads_.Put("/file", content_); }

  std::string Read(RemoteReader& reader, uint64_t offset, size_t size) {
    std::string text(size, '\0');
    const auto out = std::as_writable_bytes(std::span(text));
    if (reader.TryRead("/file", out, offset)) return text;
    const auto status = reader.Read("/file", content_.size(), out, offset, {});
    EXPECT_TRUE(status) << status.error().text;
    return text;
  }

  // For what other threads do, which tell nobody.
  static bool Await(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
    return done();
  }

  const std::string content_ = test::Pattern(20 << 20);
  test::FakeDownloader downloads_;
  BlockPool memory_{kBudget};
  ReadAhead ahead_{2};
};

TEST_F(RemoteReaderTest, SequentialReadsAreFewFetches) {
  RemoteReader reader(downloads_, memory_, ahead_);
  constexpr size_t kPiece = 128 << 10;
  for (uint64_t at = 0; at < content_.size(); at += kPiece) {
    ASSERT_EQ(content_.substr(at, kPiece), Read(reader, at, kPiece));
  }
  EXPECT_LT(downloads_.fetches(), 10);
}

TEST_F(RemoteReaderTest, ASequentialReaderIsFetchedAheadOf) {
  RemoteReader reader(downloads_, memory_, ahead_);
  constexpr size_t kPiece = 128 << 10;
  constexpr uint64_t kBegun = 600 << 10;  // in the second window
  for (uint64_t at = 0; at < kBegun; at += kPiece) Read(reader, at, kPiece);
  ASSERT_TRUE(downloads_.AwaitFetches(5)) << "two for the reader, three ahead";
  EXPECT_EQ(content_.substr(kBegun, 1 << 20), Read(reader, kBegun, 1 << 20));
}

TEST_F(RemoteReaderTest, WhatCannotBeFetchedAheadIsFetchedByTheReader) {
  RemoteReader reader(downloads_, memory_, ahead_);
  ahead_.Stop();
  constexpr size_t kPiece = 128 << 10;
  for (uint64_t at = 0; at < content_.size(); at += kPiece) {
    ASSERT_EQ(content_.substr(at, kPiece), Read(reader, at, kPiece));
  }
}

TEST_F(RemoteReaderTest, WhatWasFetchedUnderAnotherNameIsNotShown) {
  downloads_.Put("/other", std::string(content_.size(), 'x'));
  RemoteReader reader(downloads_, memory_, ahead_);
  EXPECT_EQ(content_.substr(0, 10), Read(reader, 0, 10));
  std::string text(10, '\0');
  const auto out = std::as_writable_bytes(std::span(text));
  EXPECT_FALSE(reader.TryRead("/other", out, 0));
  EXPECT_TRUE(reader.Read("/other", content_.size(), out, 0, {}));
  EXPECT_EQ(std::string(10, 'x'), text);
}

TEST_F(RemoteReaderTest, WhatIsKeptIsNotFetchedAgain) {
  const test::TempDir dir;
  cache::ReadCache keep(dir / "read", {.bytes = UINT64_MAX / 2, .free_reserve = 0});
  constexpr size_t kPiece = 128 << 10;
  const auto kept = keep.Open("/file", {content_.size(), 0, "id", {}});
  const auto read_all = [&] {
    RemoteReader reader(downloads_, memory_, ahead_);
    reader.KeepIn(kept);
    for (uint64_t at = 0; at < content_.size(); at += kPiece) {
      ASSERT_EQ(content_.substr(at, kPiece), Read(reader, at, kPiece));
    }
  };
  {  // some of it first
    RemoteReader reader(downloads_, memory_, ahead_);
    reader.KeepIn(kept);
    Read(reader, 5'000'000, 1000);
  }
  read_all();
  const int fetches = downloads_.fetches();
  const ByteRange all{0, content_.size()};
  // Not keep.bytes(), which counts a piece before it is written.
  ASSERT_TRUE(Await([&] {
    const auto run = kept->FirstRun(all);
    return run.here && run.range == all;
  })) << keep.bytes();
  read_all();
  EXPECT_EQ(fetches, downloads_.fetches());
}

TEST_F(RemoteReaderTest, ReadersOfDistantPartsBothGetOn) {
  RemoteReader reader(downloads_, memory_, ahead_);
  std::vector<std::jthread> readers;
  for (const uint64_t begin : {uint64_t{0}, uint64_t{10 << 20}}) {
    readers.emplace_back([this, &reader, begin] {
      for (uint64_t at = begin; at < begin + (4U << 20); at += 100'000) {
        EXPECT_EQ(content_.substr(at, 100'000), Read(reader, at, 100'000));
      }
    });
  }
}

TEST_F(RemoteReaderTest, RandomReadsFetchLittle) {
  RemoteReader reader(downloads_, memory_, ahead_);
  for (const uint64_t at : {15'000'000, 3'000'000, 9'000'000, 1'000'000}) {
    ASSERT_EQ(content_.substr(at, 1000), Read(reader, at, 1000));
  }
  EXPECT_EQ(4, downloads_.fetches());
  EXPECT_EQ(0U, memory_.in_use());
}

TEST_F(RemoteReaderTest, AReadLargerThanTheWindowIsWhole) {
  RemoteReader reader(downloads_, memory_, ahead_);
  EXPECT_EQ(content_.substr(5, 3 << 20), Read(reader, 5, 3 << 20));
}

TEST_F(RemoteReaderTest, TheEndOfTheFileIsNotOverrun) {
  RemoteReader reader(downloads_, memory_, ahead_);
  EXPECT_EQ(content_.substr(content_.size() - 10), Read(reader, content_.size() - 10, 10));
}

TEST_F(RemoteReaderTest, WithoutMemoryWindowsStaySmall) {
  BlockPool none(0);
  RemoteReader reader(downloads_, none, ahead_);
  constexpr size_t kPiece = 128 << 10;
  for (uint64_t at = 0; at < (2U << 20); at += kPiece) Read(reader, at, kPiece);
  EXPECT_EQ(8, downloads_.fetches());
}

TEST_F(RemoteReaderTest, AFailureIsReportedAndTheNextReadTriesAgain) {
  RemoteReader reader(downloads_, memory_, ahead_);
  downloads_.FailNext({.code = EIO, .text = "lost"});
  std::string text(10, '\0');
  const auto out = std::as_writable_bytes(std::span(text));
  EXPECT_FALSE(reader.Read("/file", content_.size(), out, 0, {}));
  EXPECT_EQ(content_.substr(0, 10), Read(reader, 0, 10));
}

TEST_F(RemoteReaderTest, WhoNeedsTheSameBytesWaitsForOneFetch) {
  RemoteReader reader(downloads_, memory_, ahead_);
  downloads_.Hold();
  std::vector<std::jthread> readers;
  for (int i = 0; i < 4; ++i) {
    readers.emplace_back([this, &reader, i] {
      EXPECT_EQ(content_.substr(static_cast<size_t>(i) * 100, 100),
                Read(reader, static_cast<uint64_t>(i) * 100, 100));
    });
  }
  ASSERT_TRUE(downloads_.AwaitFetches(1));
  downloads_.Release();
  readers.clear();
  // Who began before the first byte may have asked for an earlier one.
  EXPECT_LE(downloads_.fetches(), 4);
}

TEST_F(RemoteReaderTest, AWaitEndsWithItsToken) {
  RemoteReader reader(downloads_, memory_, ahead_);
  downloads_.Hold();
  std::jthread first([&] {
    std::string text(10, '\0');
    EXPECT_TRUE(
        reader.Read("/file", content_.size(), std::as_writable_bytes(std::span(text)), 0, {}));
  });
  ASSERT_TRUE(downloads_.AwaitFetches(1));
  std::stop_source stop;
  std::jthread second([&] {
    std::string text(10, '\0');
    const auto status = reader.Read("/file", content_.size(),
                                    std::as_writable_bytes(std::span(text)), 0, stop.get_token());
    EXPECT_FALSE(status);
  });
  stop.request_stop();
  second.join();
  downloads_.Release();
}

}  // namespace
}  // namespace outboxfs::fs
