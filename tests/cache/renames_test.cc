#include "cache/renames.h"

#include <gtest/gtest.h>

namespace outboxfs::cache {
namespace {

// Renamed here from where the server has it to where it is shown.
Intent Deferred(const std::string& remote, const std::string& shown) {
  static uint64_t id = 0;
  return {.id = ++id,
          .kind = Intent::Kind::kRename,
          .what = ItemKind::kDir,
          .folder = "/",
          .from = remote,
          .to = shown,
          .remote_from = remote,
          .deferred = true};
}

TEST(Renames, WithoutAnyBothPathsAreOne) {
  EXPECT_EQ("/a/b", RemotePathOf({}, "/a/b"));
  EXPECT_EQ("/a/b", MountPathOf({}, "/a/b"));
  EXPECT_FALSE(AwaitsRename({}, "/a/b"));
}

TEST(Renames, WhatIsInTheDirectoryGoesWithIt) {
  const std::vector<Intent> one{Deferred("/old", "/d/new")};
  EXPECT_EQ("/old", RemotePathOf(one, "/d/new"));
  EXPECT_EQ("/old/x/y", RemotePathOf(one, "/d/new/x/y"));
  EXPECT_EQ("/d/new/x", MountPathOf(one, "/old/x"));
  EXPECT_EQ("/older", RemotePathOf(one, "/older"));
  EXPECT_EQ("/d/newer", MountPathOf(one, "/d/newer"));
  EXPECT_TRUE(AwaitsRename(one, "/d/new/x"));
  EXPECT_FALSE(AwaitsRename(one, "/d/newer"));
}

TEST(Renames, TheOldNameIsNowhereOnTheServer) {
  const std::vector<Intent> one{Deferred("/old", "/new")};
  EXPECT_EQ("", RemotePathOf(one, "/old"));
  EXPECT_EQ("", RemotePathOf(one, "/old/x"));
  EXPECT_TRUE(AwaitsRename(one, "/old/x"));
  // What the server has at the new name is not shown.
  EXPECT_EQ("", MountPathOf(one, "/new"));
  EXPECT_EQ("", MountPathOf(one, "/new/x"));
}

TEST(Renames, OneWithinAnother) {
  // /x is shown as /y, and in it what is /x/d on the server as /y/e.
  const std::vector<Intent> two{Deferred("/x", "/y"), Deferred("/x/d", "/y/e")};
  EXPECT_EQ("/x/d/f", RemotePathOf(two, "/y/e/f"));
  EXPECT_EQ("/x/g", RemotePathOf(two, "/y/g"));
  EXPECT_EQ("", RemotePathOf(two, "/y/d"));
  EXPECT_EQ("/y/e/f", MountPathOf(two, "/x/d/f"));
  EXPECT_EQ("", MountPathOf(two, "/x/e"));
}

TEST(Renames, ARemovedDirectoryIsNotShownAndItsNameIsNowhere) {
  Intent removal = Deferred("/x", "");
  removal.kind = Intent::Kind::kRemove;
  const std::vector<Intent> two{removal, Deferred("/x/d", "/e")};
  EXPECT_EQ("", MountPathOf(two, "/x"));
  EXPECT_EQ("", MountPathOf(two, "/x/f"));
  EXPECT_EQ("", RemotePathOf(two, "/x"));
  EXPECT_EQ("", RemotePathOf(two, "/x/f"));
  EXPECT_TRUE(AwaitsRename(two, "/x/f"));
  EXPECT_EQ("/x/d/f", RemotePathOf(two, "/e/f"));
  EXPECT_EQ("/y", RemotePathOf(two, "/y"));
}

TEST(Renames, OneThatTookTheNameOfAnother) {
  // a became b, and b became a.
  const std::vector<Intent> swapped{Deferred("/a", "/b"), Deferred("/b", "/a")};
  EXPECT_EQ("/b/x", RemotePathOf(swapped, "/a/x"));
  EXPECT_EQ("/a/x", RemotePathOf(swapped, "/b/x"));
  EXPECT_EQ("/b/x", MountPathOf(swapped, "/a/x"));
  EXPECT_EQ("/a/x", MountPathOf(swapped, "/b/x"));
}

}  // namespace
}  // namespace outboxfs::cache
