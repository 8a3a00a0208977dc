// The hashes of the protocol (docs/PROTOCOL.md, rule 6), computed in one pass. Pure: bytes in, hex
// out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "cache/item.h"
#include "remote/upload_api.h"

namespace outboxfs::upload {

// False for type numbers that this program cannot compute.
bool IsKnownHash(uint32_t type);
// Length of one PikPakSha1 segment of a file of `file_size` bytes.
uint64_t PikPakSegment(uint64_t file_size);
// Hex digests compare without regard to case.
bool SameHex(const std::string& a, const std::string& b);

remote::Hashes ToHashes(const cache::Digests& digests);
cache::Digests ToDigests(const remote::Hashes& hashes);

struct DigestPlan {
  std::set<remote::HashType> types;
  uint32_t md5_block = 0;  // bytes; 0: no block hashes
};

struct DigestResult {
  cache::Digests digests;               // one per asked type
  std::vector<std::string> md5_blocks;  // MD5 of consecutive blocks, the last may be shorter
};

// Several digests of one stream of bytes. Not thread-safe.
class Digester {
 public:
  Digester(const DigestPlan& plan, uint64_t file_size);
  ~Digester();
  Digester(const Digester&) = delete;
  Digester& operator=(const Digester&) = delete;

  // The bytes of the file in order, cut anywhere.
  void Update(std::span<const std::byte> data);
  // Once, after all bytes.
  DigestResult Finish();

 private:
  class Part;
  std::vector<std::unique_ptr<Part>> parts_;
};

}  // namespace outboxfs::upload
