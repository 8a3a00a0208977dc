#include "cache/block_sums.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "common/disk.h"

namespace outboxfs::cache {
namespace {

FileDescriptor MemoryFile() { return FileDescriptor(::memfd_create("sums", MFD_CLOEXEC)); }

std::vector<std::byte> Filled(size_t size, int value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

TEST(BlockSumsTest, EveryBlockHasTheSumOfItsBytes) {
  const FileDescriptor file = MemoryFile();
  const uint64_t size = 2 * kBlockSize + 100;
  ASSERT_TRUE(disk::WriteAt(file.get(), Filled(kBlockSize, 1), 0));
  ASSERT_TRUE(disk::WriteAt(file.get(), Filled(kBlockSize, 2), kBlockSize));
  ASSERT_TRUE(disk::WriteAt(file.get(), Filled(100, 3), 2 * kBlockSize));
  const auto sums = SumFile(file.get(), size, {});
  ASSERT_TRUE(sums);
  EXPECT_TRUE(sums->complete());
  EXPECT_EQ(3u, sums->blocks());
  EXPECT_EQ(SumOf(Filled(kBlockSize, 1)), sums->At(0));
  EXPECT_EQ(SumOf(Filled(kBlockSize, 2)), sums->At(1));
  EXPECT_EQ(SumOf(Filled(100, 3)), sums->At(2));
}

TEST(BlockSumsTest, AHoleHasTheSumOfZerosAndIsNotRead) {
  const FileDescriptor file = MemoryFile();
  const uint64_t size = (1ULL << 42) + 5;  // 4 TiB: reading it would take for ever
  ASSERT_TRUE(disk::Truncate(file.get(), size));
  ASSERT_TRUE(disk::WriteAt(file.get(), Filled(10, 9), 7 * kBlockSize + 20));
  const auto sums = SumFile(file.get(), size, {});
  ASSERT_TRUE(sums);
  EXPECT_TRUE(sums->complete());
  const uint64_t zeros = SumOf(Filled(kBlockSize, 0));
  EXPECT_EQ(zeros, sums->At(0));
  EXPECT_EQ(zeros, sums->At(6));
  EXPECT_NE(zeros, sums->At(7));
  EXPECT_EQ(zeros, sums->At(8));
  EXPECT_EQ(zeros, sums->At(sums->blocks() - 2));
  EXPECT_EQ(SumOf(Filled(5, 0)), sums->At(sums->blocks() - 1));
  EXPECT_LT(sums->Encode().size(), 100u);
}

TEST(BlockSumsTest, ASparseFileAndItsDenseTwinHaveTheSameSums) {
  const FileDescriptor sparse = MemoryFile();
  const FileDescriptor dense = MemoryFile();
  const uint64_t size = 5 * kBlockSize + 77;
  ASSERT_TRUE(disk::Truncate(sparse.get(), size));
  ASSERT_TRUE(disk::WriteAt(dense.get(), Filled(size, 0), 0));
  for (const int fd : {sparse.get(), dense.get()}) {
    ASSERT_TRUE(disk::WriteAt(fd, Filled(5000, 4), 2 * kBlockSize - 1));
  }
  EXPECT_EQ(*SumFile(dense.get(), size, {}), *SumFile(sparse.get(), size, {}));
}

TEST(BlockSumsTest, AFileThatBecameShorterIsChanging) {
  const FileDescriptor file = MemoryFile();
  ASSERT_TRUE(disk::WriteAt(file.get(), Filled(100, 1), 0));
  EXPECT_EQ(EAGAIN, SumFile(file.get(), 200, {}).error().code);
}

TEST(BlockSumsTest, AnEmptyFileHasNoBlocks) {
  const auto sums = SumFile(MemoryFile().get(), 0, {});
  ASSERT_TRUE(sums);
  EXPECT_TRUE(sums->complete());
  EXPECT_EQ(*sums, *BlockSums::Decode(sums->Encode()));
}

TEST(BlockSumsTest, StopEndsTheWork) {
  const FileDescriptor file = MemoryFile();
  ASSERT_TRUE(disk::WriteAt(file.get(), Filled(100, 1), 0));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(ECANCELED, SumFile(file.get(), 100, stop.get_token()).error().code);
}

TEST(BlockSumsTest, EveryDamageOfTheEncodedFormIsNoticed) {
  BlockSums sums(3 * kBlockSize);
  sums.Append(11, 2);
  sums.Append(22);
  const std::string blob = sums.Encode();
  ASSERT_EQ(sums, *BlockSums::Decode(blob));
  for (size_t at = 0; at < blob.size(); ++at) {
    std::string damaged = blob;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_FALSE(BlockSums::Decode(damaged)) << at;
    EXPECT_FALSE(BlockSums::Decode(blob.substr(0, at))) << at;
  }
}

}  // namespace
}  // namespace outboxfs::cache
