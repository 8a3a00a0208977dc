#include "cache/paths.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "cache/layout.h"

namespace outboxfs::cache {
namespace {

TEST(PathsTest, OnlyNormalisedAbsolutePathsAreNormal) {
  for (const char* good : {"/", "/a", "/a/b", "/...", "/a b/ü", "/.x/y."}) {
    EXPECT_TRUE(IsNormalPath(good)) << good;
  }
  for (const char* bad : {"", "a", "a/b", "//", "/a/", "/a//b", "/.", "/..", "/a/../b", "/a/."}) {
    EXPECT_FALSE(IsNormalPath(bad)) << bad;
  }
  EXPECT_FALSE(IsNormalPath(std::string_view("/a\0b", 4)));
}

TEST(PathsTest, ParentsAndNames) {
  EXPECT_EQ("/a", ParentOf("/a/b"));
  EXPECT_EQ("/", ParentOf("/a"));
  EXPECT_EQ("", ParentOf("/"));
  EXPECT_EQ("b", NameOf("/a/b"));
  EXPECT_EQ("", NameOf("/"));
}

TEST(PathsTest, WhatIsBeneathADirectoryIsOneRangeOfTheByteOrder) {
  const std::set<std::string> all = {"/a",     "/a!",     "/a!/x", "/a/", "/a/b",
                                     "/a/b/c", "/a/\xff", "/a0",   "/aa", "/b"};
  std::set<std::string> beneath(all.lower_bound(BeneathBegin("/a")),
                                all.lower_bound(BeneathEnd("/a")));
  EXPECT_EQ((std::set<std::string>{"/a/", "/a/b", "/a/b/c", "/a/\xff"}), beneath);
}

TEST(LayoutTest, OnlyNamesThatItMadeAreParsed) {
  const Layout layout("/cache");
  EXPECT_EQ("/cache/staged/02/0000000000000207", layout.StagedFile(0x207));
  EXPECT_EQ(0x207u, Layout::ParseStaged(2, "0000000000000207"));
  EXPECT_FALSE(Layout::ParseStaged(3, "0000000000000207"));  // in the wrong place
  EXPECT_FALSE(Layout::ParseStaged(2, "000000000000207"));
  EXPECT_FALSE(Layout::ParseStaged(2, "000000000000020G"));
  EXPECT_FALSE(Layout::ParseStaged(10, "0000000000000A07"));  // capitals
  EXPECT_FALSE(Layout::ParseStaged(2, "+000000000000207"));
  EXPECT_FALSE(Layout::ParseStaged(0, ".."));
}

}  // namespace
}  // namespace outboxfs::cache
