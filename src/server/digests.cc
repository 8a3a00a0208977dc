#include "server/digests.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>

namespace outboxfs::server {

struct Digest::Context {
  explicit Context(HashType type) : evp(type == HashType::kMd5 ? EVP_md5() : EVP_sha1()) {
    EVP_DigestInit_ex(context, evp, nullptr);
  }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() { EVP_MD_CTX_free(context); }

  void Update(std::span<const std::byte> data) {
    EVP_DigestUpdate(context, data.data(), data.size());
  }
  // The digest so far; ready for new input afterwards.
  std::vector<unsigned char> Take() {
    std::vector<unsigned char> out(EVP_MAX_MD_SIZE);
    unsigned length = 0;
    EVP_DigestFinal_ex(context, out.data(), &length);
    out.resize(length);
    EVP_DigestInit_ex(context, evp, nullptr);
    return out;
  }

  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const EVP_MD* evp;
};

Digest::Digest(HashType type, uint64_t file_size, uint32_t block_size)
    : type_(type),
      block_size_(type == HashType::kMd5 ? block_size : 0),
      part_size_(type == HashType::kPikPakSha1 ? PikPakSegment(file_size) : block_size_),
      whole_(std::make_unique<Context>(type)),
      part_(part_size_ > 0 ? std::make_unique<Context>(type) : nullptr) {}

Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
Digest::~Digest() = default;

void Digest::Update(std::span<const std::byte> data) {
  if (type_ != HashType::kPikPakSha1) whole_->Update(data);
  if (part_) UpdateParts(data);
}

void Digest::UpdateParts(std::span<const std::byte> data) {
  while (!data.empty()) {
    const size_t piece = std::min<uint64_t>(data.size(), part_size_ - part_bytes_);
    part_->Update(data.first(piece));
    part_bytes_ += piece;
    if (part_bytes_ == part_size_) EndPart();
    data = data.subspan(piece);
  }
}

void Digest::EndPart() {
  const std::vector<unsigned char> raw = part_->Take();
  if (type_ == HashType::kPikPakSha1) {
    whole_->Update(std::as_bytes(std::span(raw)));
  } else {
    blocks_.push_back(Hex(raw));
  }
  part_bytes_ = 0;
}

std::string Digest::Finish() {
  if (part_bytes_ > 0) EndPart();
  return Hex(whole_->Take(), type_ == HashType::kPikPakSha1);
}

uint64_t PikPakSegment(uint64_t file_size) {
  constexpr uint64_t kMiB = 1 << 20;
  if (file_size <= 128 * kMiB) return kMiB / 4;
  if (file_size <= 256 * kMiB) return kMiB / 2;
  if (file_size <= 512 * kMiB) return kMiB;
  return 2 * kMiB;
}

bool LooksLikeHash(HashType type, const std::string& text) {
  const bool hex = std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
  });
  return hex && text.size() == (type == HashType::kMd5 ? 32U : 40U);
}

bool SameHash(const std::string& a, const std::string& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
    return std::tolower(x) == std::tolower(y);
  });
}

std::string Hex(std::span<const unsigned char> bytes, bool upper) {
  const char* digits = upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string text;
  text.reserve(bytes.size() * 2);
  for (unsigned char byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string HmacSha256Hex(const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &length);
  return Hex(std::span(out).first(length));
}

}  // namespace outboxfs::server
