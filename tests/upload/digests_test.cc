#include "upload/digests.h"

#include <gtest/gtest.h>
#include <openssl/sha.h>

#include "support/temp_dir.h"

namespace outboxfs::upload {
namespace {

using remote::HashType;
using test::Pattern;

constexpr uint64_t kMiB = 1 << 20;
constexpr auto kMd5 = static_cast<uint32_t>(HashType::kMd5);
constexpr auto kSha1 = static_cast<uint32_t>(HashType::kSha1);
constexpr auto kPikPak = static_cast<uint32_t>(HashType::kPikPakSha1);

std::span<const std::byte> Bytes(const std::string& text) { return std::as_bytes(std::span(text)); }

DigestResult DigestOf(const std::string& content, DigestPlan plan, size_t cut = 1 << 30) {
  Digester digester(plan, content.size());
  for (size_t at = 0; at < content.size(); at += cut) {
    digester.Update(Bytes(content).subspan(at, std::min(cut, content.size() - at)));
  }
  return digester.Finish();
}

const DigestPlan kAll{{HashType::kMd5, HashType::kSha1, HashType::kPikPakSha1}, 0};

TEST(Digests, KnownAnswersOfAbc) {
  DigestPlan plan = kAll;
  plan.md5_block = 2;
  const DigestResult result = DigestOf("abc", plan);
  EXPECT_EQ(result.digests.at(kMd5), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(result.digests.at(kSha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
  EXPECT_EQ(result.md5_blocks,
            (std::vector<std::string>{"187ef4436122d1cc2f40dc2b92f0eba0",     // "ab"
                                      "4a8a08f09d37b73795649038408b5f33"}));  // "c"
}

TEST(Digests, AnEmptyFileHasTheDigestOfNothingAndNoBlocks) {
  DigestPlan plan = kAll;
  plan.md5_block = 4096;
  const DigestResult result = DigestOf("", plan);
  EXPECT_EQ(result.digests.at(kMd5), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(result.digests.at(kSha1), "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  EXPECT_EQ(result.digests.at(kPikPak), "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
  EXPECT_TRUE(result.md5_blocks.empty());
}

TEST(Digests, PikPakSegmentsGrowWithTheFileSize) {
  EXPECT_EQ(PikPakSegment(0), 256U << 10);
  EXPECT_EQ(PikPakSegment(134217728), 262144U);
  EXPECT_EQ(PikPakSegment(134217729), 524288U);
  EXPECT_EQ(PikPakSegment(256 * kMiB), 524288U);
  EXPECT_EQ(PikPakSegment(256 * kMiB + 1), kMiB);
  EXPECT_EQ(PikPakSegment(512 * kMiB), kMiB);
  EXPECT_EQ(PikPakSegment(512 * kMiB + 1), 2 * kMiB);
}

TEST(Digests, PikPakIsTheSha1OfTheSegmentsSha1) {
  const std::string content = Pattern(600'000);
  std::string concatenated;
  for (size_t at = 0; at < content.size(); at += 262144) {
    const std::string segment = content.substr(at, 262144);
    unsigned char raw[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(segment.data()), segment.size(), raw);
    concatenated.append(reinterpret_cast<const char*>(raw), sizeof raw);
  }
  std::string expected = DigestOf(concatenated, {{HashType::kSha1}, 0}).digests.at(kSha1);
  const std::string got = DigestOf(content, {{HashType::kPikPakSha1}, 0}).digests.at(kPikPak);
  EXPECT_TRUE(SameHex(expected, got));
  EXPECT_EQ(got.find_first_of("abcdef"), std::string::npos) << "must be upper case";
}

TEST(Digests, TheCutOfTheStreamDoesNotMatter) {
  const std::string content = Pattern(1'000'003);
  DigestPlan plan = kAll;
  plan.md5_block = 4096;
  const DigestResult whole = DigestOf(content, plan);
  for (const size_t cut : {1000U, 4096U, 262144U, 999'983U}) {
    const DigestResult other = DigestOf(content, plan, cut);
    EXPECT_EQ(other.digests, whole.digests) << cut;
    EXPECT_EQ(other.md5_blocks, whole.md5_blocks) << cut;
  }
  EXPECT_EQ(whole.md5_blocks.size(), 245U);
}

TEST(Digests, OnlyThreeTypesAreKnown) {
  EXPECT_FALSE(IsKnownHash(0));
  EXPECT_TRUE(IsKnownHash(1));
  EXPECT_TRUE(IsKnownHash(3));
  EXPECT_FALSE(IsKnownHash(4));
}

}  // namespace
}  // namespace outboxfs::upload
