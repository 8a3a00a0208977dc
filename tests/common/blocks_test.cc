#include "common/blocks.h"

#include <gtest/gtest.h>

#include <cstring>

namespace outboxfs {
namespace {

TEST(Blocks, AreAlignedAndOfTheSizeThatWasAsked) {
  BlockPool pool(1 << 20);
  const auto block = pool.TryTake(10'000);
  ASSERT_TRUE(block);
  EXPECT_EQ(10'000U, block->bytes().size());
  EXPECT_EQ(0U, reinterpret_cast<uintptr_t>(block->bytes().data()) % BlockPool::kAlignment);
  std::memset(block->bytes().data(), 1, block->bytes().size());
}

TEST(Blocks, AreBoundedAndGivenBack) {
  BlockPool pool(10'000);
  auto block = pool.TryTake(6'000);
  EXPECT_FALSE(pool.TryTake(6'000));
  EXPECT_TRUE(pool.TryTake(4'000));
  block.reset();
  EXPECT_TRUE(pool.TryTake(10'000));
  EXPECT_FALSE(pool.TryTake(10'001));
  EXPECT_EQ(0U, pool.in_use());
}

TEST(Blocks, AreUsedAgainWhileOthersAreOut) {
  BlockPool pool(1 << 20);
  const auto other = pool.TryTake(1);
  auto block = pool.TryTake(10'000);
  const auto* const at = block->bytes().data();
  block.reset();
  EXPECT_EQ(at, pool.TryTake(10'000)->bytes().data());
}

TEST(Blocks, IdleOnesMakeRoom) {
  BlockPool pool(10'000);
  const auto other = pool.TryTake(1'000);
  pool.TryTake(5'000).reset();
  EXPECT_TRUE(pool.TryTake(9'000));
}

TEST(Blocks, BesideTheCapacityAreNotCounted) {
  BlockPool pool(10);
  const Block block = BlockPool::Take(100);
  EXPECT_EQ(100U, block.bytes().size());
  EXPECT_EQ(0U, pool.in_use());
}

}  // namespace
}  // namespace outboxfs
