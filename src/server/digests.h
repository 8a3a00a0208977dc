// The digests of the protocol, computed incrementally. Hex text: MD5 and SHA-1 in lower case,
// PikPakSha1 in upper case.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace outboxfs::server {

enum class HashType : uint32_t { kMd5 = 1, kSha1 = 2, kPikPakSha1 = 3 };

// One digest over bytes that come in order. Not thread-safe.
class Digest {
 public:
  // `file_size` decides the segment size of PikPakSha1. block_size > 0: MD5 of blocks too.
  Digest(HashType type, uint64_t file_size, uint32_t block_size = 0);
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;
  Digest(const Digest&) = delete;
  Digest& operator=(const Digest&) = delete;
  ~Digest();

  void Update(std::span<const std::byte> data);
  // The result; the digest is used up.
  std::string Finish();
  // MD5 of every block, the last may be shorter. After Finish.
  const std::vector<std::string>& blocks() const { return blocks_; }
  HashType type() const { return type_; }
  uint32_t block_size() const { return block_size_; }

 private:
  struct Context;
  void UpdateParts(std::span<const std::byte> data);
  void EndPart();

  HashType type_;
  uint32_t block_size_;
  uint64_t part_size_;       // PikPakSha1 segment or MD5 block; 0: none
  uint64_t part_bytes_ = 0;  // in the current part
  std::unique_ptr<Context> whole_;
  std::unique_ptr<Context> part_;
  std::vector<std::string> blocks_;
};

// Segment size in bytes, by file size.
uint64_t PikPakSegment(uint64_t file_size);
// Whether `text` has the length and the digits of such a hash.
bool LooksLikeHash(HashType type, const std::string& text);
// Hex is compared without regard to case.
bool SameHash(const std::string& a, const std::string& b);
std::string Hex(std::span<const unsigned char> bytes, bool upper = false);
std::string HmacSha256Hex(const std::string& key, const std::string& text);

}  // namespace outboxfs::server
