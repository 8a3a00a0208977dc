#include "server/received_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace outboxfs::server {
namespace {

constexpr size_t kHoleBlock = 64 << 10;   // zeros are looked for in blocks of this size
constexpr size_t kReadBlock = 256 << 10;  // when bytes are read back for hashing
constexpr uint64_t kFollowBudget = 4 << 20;

bool IsZero(std::span<const std::byte> data) {
  return data.empty() || (data[0] == std::byte{0} &&
                          std::memcmp(data.data(), data.data() + 1, data.size() - 1) == 0);
}

}  // namespace

Result<std::unique_ptr<ReceivedFile>> ReceivedFile::Create(DirStore* store, const std::string& name,
                                                           uint64_t size,
                                                           const std::vector<HashType>& follow) {
  auto file = store->OpenPrivate(name, size);
  if (!file) return Fail(file.error());
  std::unique_ptr<ReceivedFile> received(new ReceivedFile(store, name, size, std::move(*file)));
  for (HashType type : follow) received->digests_.emplace_back(type, size);
  return received;
}

Status ReceivedFile::Write(uint64_t offset, std::span<const std::byte> data) {
  const ByteRange range{offset, offset + data.size()};
  bool fresh = false;
  {
    MutexLock lock(mu_);
    fresh = !claimed_.Overlaps(range);
    claimed_.Add(range);
  }
  // Only untouched bytes are known to be a hole.
  Status written = fresh ? WriteNonZero(offset, data) : disk::WriteAt(file_.get(), data, offset);
  if (!written) return written;
  {
    MutexLock lock(mu_);
    present_.Add(range);
    if (digests_.empty() || following_) return {};
    following_ = true;
  }
  Follow(range, data, kFollowBudget);
  MutexLock lock(mu_);
  following_ = false;
  return {};
}

Status ReceivedFile::WriteNonZero(uint64_t offset, std::span<const std::byte> data) const {
  size_t begin = 0;  // of the run of blocks that are not zero
  size_t at = 0;
  while (at < data.size()) {
    const size_t block = std::min(kHoleBlock, data.size() - at);
    if (IsZero(data.subspan(at, block))) {
      if (Status ok = disk::WriteAt(file_.get(), data.subspan(begin, at - begin), offset + begin);
          !ok) {
        return ok;
      }
      begin = at + block;
    }
    at += block;
  }
  return disk::WriteAt(file_.get(), data.subspan(begin), offset + begin);
}

void ReceivedFile::Follow(ByteRange fresh, std::span<const std::byte> data, uint64_t budget) {
  std::vector<std::byte> buffer;
  while (true) {
    uint64_t run_end = 0;
    {
      MutexLock lock(mu_);
      run_end = present_.RunEnd(hashed_);
    }
    if (run_end <= hashed_) return;
    std::span<const std::byte> piece;
    if (fresh.begin <= hashed_ && hashed_ < fresh.end) {
      piece = data.subspan(hashed_ - fresh.begin);
    } else {
      if (budget < kReadBlock) return;
      budget -= kReadBlock;
      buffer.resize(std::min<uint64_t>(kReadBlock, run_end - hashed_));
      const Result<size_t> n = disk::ReadAt(file_.get(), buffer, hashed_);
      if (!n || *n < buffer.size()) return;  // Finish reads again and reports
      piece = buffer;
    }
    for (Digest& digest : digests_) digest.Update(piece);
    hashed_ += piece.size();
  }
}

void ReceivedFile::MarkPresent(const std::vector<ByteRange>& ranges) {
  MutexLock lock(mu_);
  for (const ByteRange& range : ranges) {
    claimed_.Add(range);
    present_.Add(range);
  }
}

uint64_t ReceivedFile::received() const {
  MutexLock lock(mu_);
  return present_.total();
}

std::vector<ByteRange> ReceivedFile::present() const {
  MutexLock lock(mu_);
  return present_.ranges();
}

std::vector<ByteRange> ReceivedFile::missing() const {
  MutexLock lock(mu_);
  return present_.Missing(size_);
}

Status ReceivedFile::HashRest(uint64_t from, std::vector<Digest>* digests) const {
  std::vector<std::byte> buffer(kReadBlock);
  while (!digests->empty() && from < size_) {
    const size_t wanted = std::min<uint64_t>(buffer.size(), size_ - from);
    const Result<size_t> n = disk::ReadAt(file_.get(), std::span(buffer).first(wanted), from);
    if (!n) return Fail(n.error());
    if (*n < wanted) return Fail(EIO, "the received file is shorter than it was");
    for (Digest& digest : *digests) digest.Update(std::span(buffer).first(wanted));
    from += wanted;
  }
  return {};
}

std::vector<Digest> ReceivedFile::DigestsToAdd(const AnnouncedHashes& announced) const {
  std::vector<Digest> more;
  for (const auto& [type, hex] : announced.whole) {
    const HashType wanted{type};
    const auto same = [wanted](const Digest& digest) { return digest.type() == wanted; };
    if (std::none_of(digests_.begin(), digests_.end(), same)) more.emplace_back(wanted, size_);
  }
  for (const auto& [block_size, blocks] : announced.md5_blocks) {
    more.emplace_back(HashType::kMd5, size_, block_size);
  }
  return more;
}

Status ReceivedFile::Finish(const AnnouncedHashes& announced, bool verify) {
  if (Status rest = HashRest(hashed_, &digests_); !rest) return rest;
  std::vector<Digest> digests = verify ? DigestsToAdd(announced) : std::vector<Digest>();
  if (Status rest = HashRest(0, &digests); !rest) return rest;
  std::move(digests_.begin(), digests_.end(), std::back_inserter(digests));
  Hashes computed;
  for (Digest& digest : digests) {
    computed[static_cast<uint32_t>(digest.type())] = digest.Finish();
    const auto blocks = announced.md5_blocks.find(digest.block_size());
    if (verify && blocks != announced.md5_blocks.end() && blocks->second != digest.blocks()) {
      return Fail(EBADMSG, "block hash mismatch");
    }
  }
  for (const auto& [type, hex] : announced.whole) {
    if (verify && !SameHash(computed[type], hex)) {
      return Fail(EBADMSG, "hash mismatch: announced " + hex + ", received " + computed[type]);
    }
  }
  store_->hash_memory().Remember(file_.get(), computed);
  return {};
}

}  // namespace outboxfs::server
