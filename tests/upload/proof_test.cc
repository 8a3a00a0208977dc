#include "upload/proof.h"

#include <gtest/gtest.h>

namespace outboxfs::upload {
namespace {

using remote::Entry;
using remote::HashType;
using remote::Listing;

constexpr auto kSha1 = static_cast<uint32_t>(HashType::kSha1);

Entry File(uint64_t size, remote::Hashes hashes = {}, int64_t mtime_s = 100) {
  Entry entry;
  entry.name = "f";
  entry.size = size;
  entry.hashes = std::move(hashes);
  entry.mtime_ns = mtime_s * 1'000'000'000;
  return entry;
}

Finding FindingOf(std::vector<Entry> entries, const Evidence& evidence) {
  return Judge(Listing::Of({}, {std::move(entries)}), "f", evidence).finding;
}

Evidence Served(uint64_t size) {
  Evidence evidence;
  evidence.size = size;
  evidence.served_whole = true;
  evidence.reported = true;
  return evidence;
}

TEST(Proof, AnEqualHashProves) {
  Evidence evidence;
  evidence.size = 5;
  evidence.digests = {{kSha1, "abcd"}};
  EXPECT_EQ(FindingOf({File(5, {{HashType::kSha1, "ABCD"}})}, evidence), Finding::kProven);
}

TEST(Proof, TheRightSizeAloneProvesNothing) {
  Evidence evidence;
  evidence.size = 5;
  EXPECT_EQ(FindingOf({File(5)}, evidence), Finding::kUnproven);
  evidence.accepted = true;
  EXPECT_EQ(FindingOf({File(5)}, evidence), Finding::kProven) << "a person vouches for it";
  EXPECT_EQ(FindingOf({File(6)}, evidence), Finding::kWrongSize);
}

TEST(Proof, ServedBytesOrAGivenHashProveTogetherWithTheSize) {
  EXPECT_EQ(FindingOf({File(5)}, Served(5)), Finding::kProven);
  Evidence given;
  given.size = 5;
  given.hash_given = given.reported = true;
  EXPECT_EQ(FindingOf({File(5)}, given), Finding::kProven);
}

TEST(Proof, AListedHashThatWeDoNotKnowMustBeComputedFirst) {
  const Judgement judgement =
      Judge(Listing::Of({}, {{File(5, {{HashType::kMd5, "aa"}})}}), "f", Served(5));
  EXPECT_EQ(judgement.finding, Finding::kNeedHash);
  EXPECT_EQ(judgement.missing, std::set{HashType::kMd5});
}

TEST(Proof, OneDifferentHashOutweighsAnEqualOne) {
  Evidence evidence = Served(5);
  evidence.digests = {{1, "aa"}, {kSha1, "bb"}};
  EXPECT_EQ(FindingOf({File(5, {{HashType::kMd5, "aa"}, {HashType::kSha1, "cc"}})}, evidence),
            Finding::kWrongHash);
}

TEST(Proof, AbsentPendingTwiceAndDirectories) {
  EXPECT_EQ(FindingOf({}, Served(5)), Finding::kAbsent);
  Entry pending = File(5);
  pending.pending = true;
  EXPECT_EQ(FindingOf({pending}, Served(5)), Finding::kPending);
  EXPECT_EQ(FindingOf({File(5), File(5)}, Served(5)), Finding::kTwice);
  Entry dir = File(5);
  dir.is_dir = true;
  EXPECT_EQ(FindingOf({dir}, Served(5)), Finding::kWrongKind);
  EXPECT_EQ(FindingOf({File(6)}, Served(5)), Finding::kWrongSize);
}

TEST(Proof, TheOldEntryProvesNothingUnlessItsHashIsOurs) {
  Evidence evidence = Served(5);
  evidence.replaced = IdentityOf(File(5));
  EXPECT_EQ(FindingOf({File(5)}, evidence), Finding::kOld);
  EXPECT_EQ(FindingOf({File(5, {}, 200)}, evidence), Finding::kProven);
  evidence.digests = {{kSha1, "aa"}};
  evidence.replaced = IdentityOf(File(5, {{HashType::kSha1, "aa"}}));
  EXPECT_EQ(FindingOf({File(5, {{HashType::kSha1, "aa"}})}, evidence), Finding::kProven);
}

TEST(Proof, WithoutAReportOnlyANewHashProves) {
  Evidence evidence = Served(5);
  evidence.reported = false;
  evidence.hash_given = true;
  EXPECT_EQ(FindingOf({File(5)}, evidence), Finding::kUnproven);
  evidence.digests = {{kSha1, "aa"}};
  const Entry hashed = File(5, {{HashType::kSha1, "aa"}});
  EXPECT_EQ(FindingOf({hashed}, evidence), Finding::kProven);
  evidence.replaced = IdentityOf(hashed);
  EXPECT_EQ(FindingOf({hashed}, evidence), Finding::kOld);
}

TEST(Proof, AnOldEntryOfAnotherSizeIsLagNotALie) {
  Evidence evidence = Served(5);
  evidence.replaced = IdentityOf(File(7));
  EXPECT_EQ(FindingOf({File(7)}, evidence), Finding::kOld);
  EXPECT_TRUE(MayBeLag(Finding::kOld));
  EXPECT_FALSE(MayBeLag(Finding::kWrongSize));
}

}  // namespace
}  // namespace outboxfs::upload
