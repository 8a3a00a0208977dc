#include "upload/digests.h"

#include <openssl/evp.h>
#include <spdlog/fmt/fmt.h>
#include <strings.h>

#include <array>
#include <new>
#include <optional>
#include <utility>

namespace outboxfs::upload {
namespace {

using remote::HashType;

constexpr uint64_t kMiB = 1 << 20;

// One running OpenSSL digest. OpenSSL fails here only without memory.
class Evp {
 public:
  explicit Evp(const EVP_MD* md) : md_(md), context_(EVP_MD_CTX_new()) { Restart(); }
  void Update(std::span<const std::byte> data) {
    if (EVP_DigestUpdate(context_.get(), data.data(), data.size()) != 1) throw std::bad_alloc();
  }
  // The raw digest; the next one begins.
  std::vector<std::byte> Take() {
    std::vector<std::byte> raw(EVP_MAX_MD_SIZE);
    unsigned length = 0;
    auto* out = reinterpret_cast<unsigned char*>(raw.data());
    if (EVP_DigestFinal_ex(context_.get(), out, &length) != 1) throw std::bad_alloc();
    raw.resize(length);
    Restart();
    return raw;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  void Restart() {
    if (!context_ || EVP_DigestInit_ex(context_.get(), md_, nullptr) != 1) throw std::bad_alloc();
  }

  const EVP_MD* md_;
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

std::string Hex(std::span<const std::byte> raw, bool upper_case) {
  std::string text;
  for (const std::byte b : raw) {
    const auto value = std::to_integer<unsigned>(b);
    text += upper_case ? fmt::format("{:02X}", value) : fmt::format("{:02x}", value);
  }
  return text;
}

}  // namespace

// One digest of the plan.
class Digester::Part {
 public:
  Part() = default;
  virtual ~Part() = default;
  Part(const Part&) = delete;
  Part& operator=(const Part&) = delete;
  virtual void Update(std::span<const std::byte> data) = 0;
  virtual void Finish(DigestResult& result) = 0;

  class Plain;
  class Segments;
  class PikPak;
  class Blocks;
};

// MD5 and SHA-1 of the whole file.
class Digester::Part::Plain : public Part {
 public:
  Plain(HashType type, const EVP_MD* md) : type_(type), evp_(md) {}
  void Update(std::span<const std::byte> data) override { evp_.Update(data); }
  void Finish(DigestResult& result) override {
    result.digests[static_cast<uint32_t>(type_)] = Hex(evp_.Take(), false);
  }

 private:
  const HashType type_;
  Evp evp_;
};

// Cuts the stream into segments of equal length; the last may be shorter, none is empty.
class Digester::Part::Segments : public Part {
 public:
  Segments(const EVP_MD* md, uint64_t length) : evp_(md), length_(length) {}
  void Update(std::span<const std::byte> data) override {
    while (!data.empty()) {
      const auto step = static_cast<size_t>(std::min<uint64_t>(data.size(), length_ - filled_));
      evp_.Update(data.first(step));
      data = data.subspan(step);
      filled_ += step;
      if (filled_ == length_) EndSegment();
    }
  }
  void Finish(DigestResult& result) override {
    if (filled_ > 0) EndSegment();
    Store(result);
  }

 protected:
  virtual void OnSegment(std::span<const std::byte> raw) = 0;
  virtual void Store(DigestResult& result) = 0;

 private:
  void EndSegment() {
    OnSegment(evp_.Take());
    filled_ = 0;
  }

  Evp evp_;
  const uint64_t length_;
  uint64_t filled_ = 0;
};

// SHA-1 over the raw SHA-1 of every segment, upper-case hex.
class Digester::Part::PikPak : public Segments {
 public:
  explicit PikPak(uint64_t file_size)
      : Segments(EVP_sha1(), PikPakSegment(file_size)), outer_(EVP_sha1()) {}

 private:
  void OnSegment(std::span<const std::byte> raw) override { outer_.Update(raw); }
  void Store(DigestResult& result) override {
    result.digests[static_cast<uint32_t>(HashType::kPikPakSha1)] = Hex(outer_.Take(), true);
  }

  Evp outer_;
};

// The MD5 of every block.
class Digester::Part::Blocks : public Segments {
 public:
  explicit Blocks(uint32_t block) : Segments(EVP_md5(), block) {}

 private:
  void OnSegment(std::span<const std::byte> raw) override { blocks_.push_back(Hex(raw, false)); }
  void Store(DigestResult& result) override { result.md5_blocks = std::move(blocks_); }

  std::vector<std::string> blocks_;
};

Digester::Digester(const DigestPlan& plan, uint64_t file_size) {
  for (const HashType type : plan.types) {
    if (type == HashType::kMd5) parts_.push_back(std::make_unique<Part::Plain>(type, EVP_md5()));
    if (type == HashType::kSha1) parts_.push_back(std::make_unique<Part::Plain>(type, EVP_sha1()));
    if (type == HashType::kPikPakSha1) parts_.push_back(std::make_unique<Part::PikPak>(file_size));
  }
  if (plan.md5_block > 0) parts_.push_back(std::make_unique<Part::Blocks>(plan.md5_block));
}

Digester::~Digester() = default;

void Digester::Update(std::span<const std::byte> data) {
  for (const auto& part : parts_) part->Update(data);
}

DigestResult Digester::Finish() {
  DigestResult result;
  for (const auto& part : parts_) part->Finish(result);
  return result;
}

bool IsKnownHash(uint32_t type) {
  return type >= static_cast<uint32_t>(HashType::kMd5) &&
         type <= static_cast<uint32_t>(HashType::kPikPakSha1);
}

uint64_t PikPakSegment(uint64_t file_size) {
  if (file_size <= 128 * kMiB) return kMiB / 4;
  if (file_size <= 256 * kMiB) return kMiB / 2;
  if (file_size <= 512 * kMiB) return kMiB;
  return 2 * kMiB;
}

bool SameHex(const std::string& a, const std::string& b) {
  return a.size() == b.size() && strcasecmp(a.c_str(), b.c_str()) == 0;
}

remote::Hashes ToHashes(const cache::Digests& digests) {
  remote::Hashes hashes;
  for (const auto& [type, hex] : digests) {
    if (IsKnownHash(type)) hashes[static_cast<HashType>(type)] = hex;
  }
  return hashes;
}

cache::Digests ToDigests(const remote::Hashes& hashes) {
  cache::Digests digests;
  for (const auto& [type, hex] : hashes) digests[static_cast<uint32_t>(type)] = hex;
  return digests;
}

}  // namespace outboxfs::upload
