#include "cache/sealed_reader.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "cache/bytes.h"
#include "cache/store_impl.h"
#include "cache/writer_probe.h"
#include "common/log.h"

namespace outboxfs::cache {
namespace {

class CheckedReader final : public SealedReader {
 public:
  CheckedReader(StoreImpl& store, Pin pin, Generation generation, const Mark& seal, BlockSums sums)
      : store_(store),
        pin_(std::move(pin)),
        generation_(generation),
        seal_(seal),
        sums_(std::move(sums)) {}

  Generation generation() const override { return generation_; }
  uint64_t size() const override { return seal_.size; }

  Status Read(std::span<std::byte> out, uint64_t offset) override {
    if (offset > size() || out.size() > size() - offset) {
      return Fail(EINVAL, "read past the end of the sealed file");
    }
    if (!store_.IsCurrent(pin_->id(), generation_)) return Fail(ESTALE, "this generation is over");
    std::vector<std::byte> scratch;
    while (!out.empty()) {
      const ByteRange block = BlockAt(offset);
      const size_t part = std::min<uint64_t>(out.size(), block.end - offset);
      if (auto read = ReadFromBlock(out.first(part), offset, block, scratch); !read) return read;
      out = out.subspan(part);
      offset += part;
    }
    return {};
  }

 private:
  ByteRange BlockAt(uint64_t offset) const {
    const uint64_t begin = offset / kBlockSize * kBlockSize;
    return {begin, std::min(begin + kBlockSize, size())};
  }

  // Whole blocks are read to where they are wanted; of others only a part is copied there.
  Status ReadFromBlock(std::span<std::byte> out, uint64_t offset, const ByteRange& block,
                       std::vector<std::byte>& scratch) {
    if (out.size() == block.size()) return ReadBlock(out, block);
    scratch.resize(block.size());
    if (auto read = ReadBlock(scratch, block); !read) return read;
    std::memcpy(out.data(), scratch.data() + (offset - block.begin), out.size());
    return {};
  }

  Status ReadBlock(std::span<std::byte> out, const ByteRange& block) {
    auto got = pin_->Read(out, block.begin);
    if (!got) return Fail(got.error());
    if (*got == out.size() && SumOf(out) == sums_.At(block.begin / kBlockSize)) return {};
    return Explain(block);
  }

  // Why the bytes are not those of the seal: somebody wrote, or the disk did.
  Status Explain(const ByteRange& block) {
    if (!store_.IsCurrent(pin_->id(), generation_)) return Fail(ESTALE, "this generation is over");
    const auto writer = HasForeignWriter(pin_->read_fd());
    const auto st = pin_->Stat();
    if (!st) return Fail(st.error());
    if ((writer && *writer) || Mark::Of(*st) != seal_) {
      store_.NoticeChanged(pin_->id(), generation_);
      return Fail(ESTALE, "changed after it was sealed");
    }
    return Fail(EILSEQ,
                fmt::format("staged bytes {} to {} are damaged on the cache disk: their checksum "
                            "differs and nobody wrote",
                            block.begin, block.end),
                Retry::kPark);
  }

  StoreImpl& store_;
  const Pin pin_;
  const Generation generation_;
  const Mark seal_;
  const BlockSums sums_;
};

}  // namespace

std::unique_ptr<SealedReader> MakeSealedReader(StoreImpl& store, Pin pin, Generation generation,
                                               const Mark& seal, BlockSums sums) {
  return std::make_unique<CheckedReader>(store, std::move(pin), generation, seal, std::move(sums));
}

}  // namespace outboxfs::cache
