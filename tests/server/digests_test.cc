#include "server/digests.h"

#include <gtest/gtest.h>

#include "support/temp_dir.h"

namespace outboxfs::server {
namespace {

using test::Pattern;

std::string Whole(HashType type, const std::string& text) {
  Digest digest(type, text.size());
  digest.Update(std::as_bytes(std::span(text)));
  return digest.Finish();
}

std::string Sha1OfSegments(const std::string& text, size_t segment) {
  std::string concatenated;
  for (size_t at = 0; at < text.size(); at += segment) {
    const std::string hex = Whole(HashType::kSha1, text.substr(at, segment));
    for (size_t i = 0; i < hex.size(); i += 2) {
      concatenated += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
  }
  std::string upper = Whole(HashType::kSha1, concatenated);
  for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return upper;
}

TEST(Digests, KnownAnswers) {
  EXPECT_EQ(Whole(HashType::kMd5, "abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(Whole(HashType::kSha1, "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(Whole(HashType::kMd5, ""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(Whole(HashType::kPikPakSha1, ""), "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
}

TEST(Digests, PikPakSegmentsGrowWithTheFileAtInclusiveBounds) {
  constexpr uint64_t kMiB = 1 << 20;
  EXPECT_EQ(PikPakSegment(0), 256U << 10);
  EXPECT_EQ(PikPakSegment(128 * kMiB), 256U << 10);
  EXPECT_EQ(PikPakSegment(128 * kMiB + 1), 512U << 10);
  EXPECT_EQ(PikPakSegment(256 * kMiB), 512U << 10);
  EXPECT_EQ(PikPakSegment(256 * kMiB + 1), 1024U << 10);
  EXPECT_EQ(PikPakSegment(512 * kMiB), 1024U << 10);
  EXPECT_EQ(PikPakSegment(512 * kMiB + 1), 2048U << 10);
}

TEST(Digests, PikPakHashesTheRawHashesOfItsSegments) {
  for (size_t size : {1U, 262143U, 262144U, 262145U, 600000U}) {
    const std::string text = Pattern(size);
    EXPECT_EQ(Whole(HashType::kPikPakSha1, text), Sha1OfSegments(text, 262144)) << size;
  }
}

TEST(Digests, Md5BlocksAreTheMd5OfEachBlockTheLastShorter) {
  const std::string text = Pattern(2500);
  Digest digest(HashType::kMd5, text.size(), 1000);
  // In pieces that do not match the blocks.
  digest.Update(std::as_bytes(std::span(text).first(1)));
  digest.Update(std::as_bytes(std::span(text).subspan(1, 1700)));
  digest.Update(std::as_bytes(std::span(text).subspan(1701)));
  EXPECT_EQ(digest.Finish(), Whole(HashType::kMd5, text));
  const std::vector<std::string> expected = {Whole(HashType::kMd5, text.substr(0, 1000)),
                                             Whole(HashType::kMd5, text.substr(1000, 1000)),
                                             Whole(HashType::kMd5, text.substr(2000))};
  EXPECT_EQ(digest.blocks(), expected);
}

TEST(Digests, AnEmptyFileHasNoBlocks) {
  Digest digest(HashType::kMd5, 0, 1000);
  digest.Finish();
  EXPECT_TRUE(digest.blocks().empty());
}

TEST(Digests, HashTextIsCheckedByLengthAndDigits) {
  EXPECT_TRUE(LooksLikeHash(HashType::kMd5, std::string(32, 'a')));
  EXPECT_FALSE(LooksLikeHash(HashType::kMd5, std::string(40, 'a')));
  EXPECT_TRUE(LooksLikeHash(HashType::kSha1, std::string(40, 'F')));
  EXPECT_FALSE(LooksLikeHash(HashType::kSha1, std::string(40, 'g')));
  EXPECT_TRUE(SameHash("aB", "Ab"));
  EXPECT_FALSE(SameHash("aB", "Abc"));
}

}  // namespace
}  // namespace outboxfs::server
