#include "cache/read_cache.h"

#include <filesystem>

#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

constexpr uint64_t kLimit = 1000;

class ReadCacheTest : public ::testing::Test {
 protected:
  ReadCacheTest() : cache_(Directory(), {.bytes = kLimit, .free_reserve = 0}) {}
  std::string Directory() const { return directory_.path() + "/read"; }
  static Identity Version(uint64_t size) { return {size, 0, "id", {}}; }
  static std::string Read(const KeptFile& file, uint64_t offset, size_t size) {
    std::string text(size, '?');
    return file.Read(std::as_writable_bytes(std::span(text)), offset) ? text : "nothing";
  }
  size_t FilesOnDisk() const {
    const std::filesystem::directory_iterator files(Directory());
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }

  TempDir directory_;
  ReadCache cache_;
};

TEST_F(ReadCacheTest, WhatWasFilledIsReadAndNothingElse) {
  const auto file = cache_.Open("/f", Version(100));
  EXPECT_EQ("nothing", Read(*file, 0, 1));
  file->Fill(Bytes("abcdef"), 10);
  EXPECT_EQ("abcdef", Read(*file, 10, 6));
  EXPECT_EQ("cd", Read(*file, 12, 2));
  EXPECT_EQ("nothing", Read(*file, 9, 2));
  EXPECT_EQ("nothing", Read(*file, 15, 2));
  EXPECT_EQ(6U, cache_.bytes());
  file->Fill(Bytes("efgh"), 14);
  EXPECT_EQ(8U, cache_.bytes()) << "what overlaps counts once";
  EXPECT_EQ("abcdefgh", Read(*cache_.Open("/f", Version(100)), 10, 8));
}

TEST_F(ReadCacheTest, RunsAreWhollyHereOrWhollyMissing) {
  const auto file = cache_.Open("/f", Version(100));
  file->Fill(Bytes("abcdef"), 10);
  const auto run = [&](uint64_t begin, uint64_t end) { return file->FirstRun({begin, end}); };
  EXPECT_EQ((ByteRange{0, 10}), run(0, 50).range);
  EXPECT_FALSE(run(0, 50).here);
  EXPECT_EQ((ByteRange{10, 16}), run(10, 50).range);
  EXPECT_TRUE(run(10, 50).here);
  EXPECT_EQ((ByteRange{12, 14}), run(12, 14).range);
  EXPECT_EQ((ByteRange{16, 50}), run(16, 50).range);
}

TEST_F(ReadCacheTest, AnotherVersionStartsEmpty) {
  const auto old = cache_.Open("/f", Version(100));
  old->Fill(Bytes("old"), 0);
  const auto now = cache_.Open("/f", Version(101));
  EXPECT_EQ("nothing", Read(*now, 0, 3));
  EXPECT_EQ("nothing", Read(*old, 0, 3));
  EXPECT_EQ(0U, cache_.bytes());
  old->Fill(Bytes("old"), 0);
  EXPECT_EQ(0U, cache_.bytes());
  now->Fill(Bytes("new"), 0);
  EXPECT_EQ(1U, FilesOnDisk()) << "the old one goes with the next bytes";
}

TEST_F(ReadCacheTest, AVersionThatIsKnownByItsSizeAloneIsNotKept) {
  EXPECT_EQ(nullptr, cache_.Open("/f", {100, 0, "", {}}));
  EXPECT_NE(nullptr, cache_.Open("/f", {100, 1, "", {}}));
  EXPECT_NE(nullptr, cache_.Open("/f", {100, 0, "", {{1, "aa"}}}));
}

TEST_F(ReadCacheTest, AnUploadedFileIsAdoptedWithAllItsBytesForAWhile) {
  const std::string source = directory_.path() + "/staged";
  const SteadyTime until = SteadyTime() + std::chrono::seconds(10);
  const auto begun = cache_.Open("/f", Version(7));
  begun->Fill(Bytes("con"), 0);
  std::ofstream(source) << "content";
  ASSERT_TRUE(cache_.Adopt("/f", Version(7), source, until));
  EXPECT_FALSE(std::filesystem::exists(source));
  EXPECT_EQ("content", Read(*cache_.Open("/f", Version(7)), 0, 7));
  EXPECT_EQ(7U, cache_.bytes()) << "what had been fetched before is gone";
  EXPECT_EQ("nothing", Read(*begun, 0, 3));
  cache_.DropExpired(until - std::chrono::nanoseconds(1));
  EXPECT_EQ(7U, cache_.bytes());
  cache_.DropExpired(until);
  EXPECT_EQ(0U, cache_.bytes());
  EXPECT_EQ(0U, FilesOnDisk());
}

TEST_F(ReadCacheTest, WhatIsNotAdoptedStaysWhereItIs) {
  const std::string source = directory_.path() + "/staged";
  std::ofstream(source) << std::string(kLimit + 1, 'x');
  const auto never = SteadyTime::max();
  EXPECT_FALSE(cache_.Adopt("/large", Version(kLimit + 1), source, never));
  EXPECT_FALSE(cache_.Adopt("/weak", {kLimit, 0, "", {}}, source, never));
  EXPECT_FALSE(cache_.Adopt("/missing", Version(5), source + "?", never));
  EXPECT_TRUE(std::filesystem::exists(source));
  EXPECT_EQ(0U, cache_.bytes());
}

TEST_F(ReadCacheTest, BeyondTheLimitTheLeastRecentlyUsedGoes) {
  const std::string bytes(400, 'x');
  for (const char* path : {"/a", "/b"}) cache_.Open(path, Version(400))->Fill(Bytes(bytes), 0);
  EXPECT_EQ(bytes, Read(*cache_.Open("/a", Version(400)), 0, 400));
  const auto c = cache_.Open("/c", Version(400));
  c->Fill(Bytes(bytes), 0);
  EXPECT_EQ(800U, cache_.bytes());
  EXPECT_EQ(2U, FilesOnDisk());
  EXPECT_EQ("nothing", Read(*cache_.Open("/b", Version(400)), 0, 400));
  EXPECT_EQ(bytes, Read(*cache_.Open("/a", Version(400)), 0, 400));
  EXPECT_EQ(bytes, Read(*c, 0, 400));
}

TEST_F(ReadCacheTest, WhatIsLargerThanTheCacheIsNotKept) {
  const auto file = cache_.Open("/f", Version(5000));
  const std::string bytes(400, 'x');
  for (uint64_t at = 0; at < 4000; at += 400) file->Fill(Bytes(bytes), at);
  EXPECT_EQ(0U, cache_.bytes());
  EXPECT_EQ(0U, FilesOnDisk());
}

TEST_F(ReadCacheTest, ItStartsEmptyAndSwitchedOffLeavesNoDirectory) {
  cache_.Open("/f", Version(100))->Fill(Bytes("abc"), 0);
  ReadCache again(Directory(), {.bytes = kLimit, .free_reserve = 0});
  EXPECT_EQ(0U, FilesOnDisk());
  ReadCache off(Directory(), {.bytes = 0, .free_reserve = 0});
  EXPECT_EQ(nullptr, off.Open("/f", Version(100)));
  EXPECT_FALSE(std::filesystem::exists(Directory()));
}

TEST_F(ReadCacheTest, ADiskThatRefusesIsNoError) {
  const auto file = cache_.Open("/f", Version(100));
  std::filesystem::remove_all(Directory());
  file->Fill(Bytes("abc"), 0);
  EXPECT_EQ("nothing", Read(*file, 0, 3));
  EXPECT_EQ(0U, cache_.bytes());
}

TEST_F(ReadCacheTest, OnAFullDiskNothingIsKept) {
  ReadCache cache(Directory(), {.bytes = UINT64_MAX / 2, .free_reserve = UINT64_MAX});
  const std::string piece(1 << 20, 'x');
  const auto file = cache.Open("/f", Version(1 << 30));
  for (uint64_t i = 0; i < 70; ++i) file->Fill(Bytes(piece), i << 20);
  EXPECT_EQ(0U, cache.bytes());
}

}  // namespace
}  // namespace outboxfs::cache
