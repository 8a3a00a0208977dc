#include "upload/proof.h"

#include <spdlog/fmt/fmt.h>

#include "upload/digests.h"

namespace outboxfs::upload {
namespace {

using remote::HashType;

std::string_view NameOfHash(HashType type) {
  switch (type) {
    case HashType::kMd5:
      return "MD5";
    case HashType::kSha1:
      return "SHA-1";
    case HashType::kPikPakSha1:
      return "PikPakSha1";
    case HashType::kUnknown:
      break;
  }
  return "hash";
}

// What the listed hashes say.
struct HashVerdict {
  bool equal = false;
  std::set<HashType> missing;
  std::string difference;
};

HashVerdict CompareHashes(const remote::Entry& entry, const cache::Digests& ours) {
  HashVerdict verdict;
  for (const auto& [type, hex] : entry.hashes) {
    if (!IsKnownHash(static_cast<uint32_t>(type)) || hex.empty()) continue;
    const auto known = ours.find(static_cast<uint32_t>(type));
    if (known == ours.end()) {
      verdict.missing.insert(type);
    } else if (SameHex(known->second, hex)) {
      verdict.equal = true;
    } else {
      verdict.difference =
          fmt::format("{} is {} in the listing, ours is {}", NameOfHash(type), hex, known->second);
    }
  }
  return verdict;
}

Judgement WithText(Judgement judgement, Finding finding, std::string text) {
  judgement.finding = finding;
  judgement.text = std::move(text);
  return judgement;
}

Judgement JudgeFile(const remote::Entry& entry, const Evidence& evidence) {
  Judgement judgement;
  judgement.identity = IdentityOf(entry);
  const HashVerdict hashes = CompareHashes(entry, evidence.digests);
  const bool right_size = entry.size == evidence.size;
  const bool ours = right_size && hashes.equal && hashes.difference.empty();
  const bool was_there =
      evidence.replaced && cache::SameVersion(judgement.identity, *evidence.replaced);
  if (was_there && (!ours || !evidence.reported)) {
    return WithText(judgement, Finding::kOld, "the listing still shows the old file");
  }
  if (!right_size) {
    return WithText(
        judgement, Finding::kWrongSize,
        fmt::format("the listing shows {} bytes instead of {}", entry.size, evidence.size));
  }
  if (!hashes.difference.empty()) {
    return WithText(judgement, Finding::kWrongHash, hashes.difference);
  }
  if (!hashes.missing.empty()) {
    judgement.missing = hashes.missing;
    return WithText(judgement, Finding::kNeedHash, "a listed hash is still to be compared");
  }
  if (hashes.equal || evidence.accepted ||
      (evidence.reported && (evidence.served_whole || evidence.hash_given))) {
    judgement.finding = Finding::kProven;
    return judgement;
  }
  if (!evidence.reported) {
    return WithText(judgement, Finding::kUnproven,
                    "unproven: the server never reported success, and lists no hash");
  }
  return WithText(
      judgement, Finding::kUnproven,
      "unproven: the server reported success without reading all bytes or asking for a "
      "hash, and lists none; 'outboxfs retry' sends it again, 'outboxfs retry --accept' "
      "takes what the server shows");
}

}  // namespace

bool MayBeLag(Finding finding) {
  return finding == Finding::kAbsent || finding == Finding::kPending || finding == Finding::kOld;
}

cache::Identity IdentityOf(const remote::Entry& entry) {
  return cache::Identity{entry.size, entry.mtime_ns, entry.id, ToDigests(entry.hashes)};
}

Judgement Judge(const remote::Listing& listing, const std::string& name, const Evidence& evidence) {
  const remote::Entry* entry = listing.Find(name);
  if (entry == nullptr) {
    return WithText({}, Finding::kAbsent, "the listing does not show the file");
  }
  if (listing.Count(name) > 1) {
    return WithText({}, Finding::kTwice, "the listing shows several entries of this name");
  }
  if (entry->is_dir) return WithText({}, Finding::kWrongKind, "the listing shows a directory");
  if (entry->pending) {
    return WithText({}, Finding::kPending, "the listing shows the file as still uploading");
  }
  return JudgeFile(*entry, evidence);
}

}  // namespace outboxfs::upload
