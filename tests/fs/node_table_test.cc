#include "fs/node_table.h"

#include <gtest/gtest.h>

namespace outboxfs::fs {
namespace {

using cache::ItemKind;

class NodeTableTest : public ::testing::Test {
 protected:
  NodePtr Dir(const NodePtr& parent, const std::string& name, cache::Ino ino) {
    return table_.LinkAndCount(parent, name, ino, ItemKind::kDir);
  }
  NodePtr File(const NodePtr& parent, const std::string& name, cache::Ino ino) {
    return table_.LinkAndCount(parent, name, ino, ItemKind::kFile);
  }
  NodeTable table_{1};
};

TEST_F(NodeTableTest, PathsFollowTheNames) {
  const NodePtr a = Dir(table_.root(), "a", 2);
  const NodePtr b = File(a, "b", 3);
  EXPECT_EQ("/", table_.PathOf(table_.root()));
  EXPECT_EQ("/a/b", table_.PathOf(b));
  EXPECT_EQ(b, table_.Find("/a/b"));
  EXPECT_EQ(table_.root(), table_.Find("/"));
  EXPECT_EQ(nullptr, table_.Find("/a/c"));
  EXPECT_EQ(a, table_.ParentOf(b));
}

TEST_F(NodeTableTest, ANodeGoesWithItsLastLookup) {
  File(table_.root(), "a", 2);
  File(table_.root(), "a", 2);
  table_.Forget(2, 1);
  EXPECT_NE(nullptr, table_.Get(2));
  table_.Forget(2, 1);
  EXPECT_EQ(nullptr, table_.Get(2));
  EXPECT_EQ(nullptr, table_.Child(table_.root(), "a"));
  EXPECT_EQ(1U, table_.size());
}

TEST_F(NodeTableTest, AForgottenDirectoryStaysWhileSomethingInItIsKnown) {
  const NodePtr a = Dir(table_.root(), "a", 2);
  const NodePtr b = File(a, "b", 3);
  table_.Forget(2, 1);
  EXPECT_EQ("/a/b", table_.PathOf(b));
  table_.Forget(3, 1);
  EXPECT_EQ(1U, table_.size());
}

TEST_F(NodeTableTest, AnUnlinkedNodeKeepsItsNumberButHasNoPath) {
  const NodePtr a = Dir(table_.root(), "a", 2);
  const NodePtr b = File(a, "b", 3);
  EXPECT_TRUE(table_.Unlink(a, "b"));
  EXPECT_FALSE(table_.Unlink(a, "b"));
  EXPECT_EQ(std::nullopt, table_.PathOf(b));
  EXPECT_EQ(b, table_.Get(3));
  // Something new under the old name is another node.
  EXPECT_NE(b, File(a, "b", 4));
  table_.Forget(3, 1);
  EXPECT_EQ(nullptr, table_.Get(3));
  EXPECT_EQ("/a/b", table_.PathOf(table_.Get(4)));
}

TEST_F(NodeTableTest, WhatIsInsideSomethingUnlinkedHasNoPath) {
  const NodePtr a = Dir(table_.root(), "a", 2);
  const NodePtr b = File(a, "b", 3);
  table_.Unlink(table_.root(), "a");
  EXPECT_EQ(std::nullopt, table_.PathOf(b));
}

TEST_F(NodeTableTest, MovedDirectoriesTakeEverythingAlong) {
  const NodePtr a = Dir(table_.root(), "a", 2);
  const NodePtr b = File(a, "b", 3);
  const NodePtr c = Dir(table_.root(), "c", 4);
  table_.Move(table_.root(), "a", c, "new");
  EXPECT_EQ("/c/new/b", table_.PathOf(b));
  EXPECT_EQ(nullptr, table_.Child(table_.root(), "a"));
}

TEST_F(NodeTableTest, AMoveOntoANameTakesItFromItsNode) {
  const NodePtr a = File(table_.root(), "a", 2);
  const NodePtr b = File(table_.root(), "b", 3);
  table_.Move(table_.root(), "a", table_.root(), "b");
  EXPECT_EQ("/b", table_.PathOf(a));
  EXPECT_EQ(std::nullopt, table_.PathOf(b));
  // A source that nobody ever looked up takes the name away all the same.
  table_.Move(table_.root(), "unknown", table_.root(), "b");
  EXPECT_EQ(std::nullopt, table_.PathOf(a));
}

TEST_F(NodeTableTest, AProposedNumberGivesWayToTheOneInUse) {
  const NodePtr a = File(table_.root(), "a", 2);
  EXPECT_EQ(a, table_.LinkAndCount(table_.root(), "a", 9, ItemKind::kFile, true));
  EXPECT_NE(a, table_.LinkAndCount(table_.root(), "a", 9, ItemKind::kDir, true));
  EXPECT_EQ(std::nullopt, table_.PathOf(a));
}

TEST_F(NodeTableTest, ForgettingTooOftenIsFatal) {
  File(table_.root(), "a", 2);
  EXPECT_DEATH(table_.Forget(2, 2), "");
}

TEST_F(NodeTableTest, TheRootIsNeverForgotten) {
  table_.Forget(1, 1);
  EXPECT_EQ(table_.root(), table_.Get(1));
}

}  // namespace
}  // namespace outboxfs::fs
