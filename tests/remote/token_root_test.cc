#include "remote/token_root.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "remote/remote.h"
#include "support/test_server.h"

namespace outboxfs::remote {
namespace {

using test::TestServer;
using test::WriteFile;

TEST(PathForms, WithoutARestrictionThereIsOneForm) {
  const PathForms forms;
  for (const char* path : {"/", "/a", "/a/b"}) {
    EXPECT_EQ(forms.ToServer(path), path);
    EXPECT_EQ(forms.ToOurs(path), path);
  }
}

TEST(PathForms, FullPathsForAServerThatStartsAtTheTokensRoot) {
  const PathForms forms{.root = "/cloud/mine", .ours_full = true, .servers_full = false};
  EXPECT_EQ(forms.ToServer("/cloud/mine"), "/");
  EXPECT_EQ(forms.ToServer("/cloud/mine/a/b"), "/a/b");
  EXPECT_EQ(forms.ToServer("/cloud/minetoo"), "/cloud/minetoo");
  EXPECT_EQ(forms.ToOurs("/a"), "/cloud/mine/a");
  EXPECT_EQ(forms.ToOurs("/cloud/mine/a"), "/cloud/mine/a") << "as push messages have it";
}

TEST(PathForms, ShortPathsForAServerThatWantsFullOnes) {
  const PathForms forms{.root = "/cloud/mine", .ours_full = false, .servers_full = true};
  EXPECT_EQ(forms.ToServer("/"), "/cloud/mine");
  EXPECT_EQ(forms.ToServer("/a"), "/cloud/mine/a");
  EXPECT_EQ(forms.ToOurs("/cloud/mine/a"), "/a");
  EXPECT_EQ(forms.ToOurs("/cloud/mine"), "/");
}

TEST(PathForms, TheListingOfTheRootTellsWhichFormTheServerHas) {
  EXPECT_TRUE(ShowsWayTo("/cloud/mine", {"/cloud"}));
  EXPECT_FALSE(ShowsWayTo("/cloud/mine", {"/a", "/b"}));
  EXPECT_FALSE(ShowsWayTo("/cloud/mine", {"/cloud/mine/a"}));
  EXPECT_FALSE(ShowsWayTo("/cloud/mine", {"/cloud", "/other"}));
  EXPECT_FALSE(ShowsWayTo("/cloud/mine", {}));
}

TEST(TokenRoot, IsAskedAgainOnlyWhileTheServerDoesNotAnswer) {
  int asked = 0;
  Result<std::string> root = Fail(EIO, "unavailable");
  TokenRoot token_root(
      {.root =
           [&](const std::stop_token&) {
             ++asked;
             return root;
           },
       .list = [](const std::stop_token&) { return Result<std::vector<std::string>>({"/x"}); }},
      "/");
  EXPECT_EQ(token_root.Get({}).error().code, EIO);
  root = std::string("/cloud/");
  ASSERT_TRUE(token_root.Get({}));
  EXPECT_EQ(token_root.Get({}).value()->root, "/cloud");
  EXPECT_EQ(asked, 2);
}

TEST(TokenRoot, WhatIsNoApiTokenIsNotRestricted) {
  TokenRoot token_root({.root = [](const std::stop_token&) -> Result<std::string> {
                          return Fail(ENOENT, "no such token");
                        },
                        .list = {}},
                       "/");
  EXPECT_EQ(token_root.Get({}).value()->root, "/");
}

// Both kinds of server, and both ways to name the folder.
class RestrictedToken : public ::testing::TestWithParam<std::tuple<bool, const char*>> {};
INSTANTIATE_TEST_SUITE_P(Forms, RestrictedToken,
                         ::testing::Combine(::testing::Bool(),
                                            ::testing::Values("/cloud/mine/dir", "/dir")));

TEST_P(RestrictedToken, EveryCallReachesItsFolder) {
  const auto [is_root, folder_text] = GetParam();
  const std::string folder = folder_text;
  TestServer server({.token_root = "/cloud/mine", .token_root_is_root = is_root});
  std::filesystem::create_directories(server.Local("/cloud/mine/dir/sub"));
  std::filesystem::create_directories(server.Local("/cloud/others"));
  WriteFile(server.Local("/cloud/mine/dir/file"), "123");
  const auto spec = ParseRemote(server->endpoint());
  ASSERT_TRUE(spec);
  ConnectOptions options;
  options.endpoint = spec->endpoint;
  options.folder = folder;
  options.credentials.token = server->token();
  auto remote = Remote::Connect(options);
  ASSERT_TRUE(remote);
  NamespaceApi& names = (*remote)->names();
  const auto push = names.OpenPush({});
  ASSERT_TRUE(push) << push.error().text;

  const auto listed = names.List(folder, true, {});
  ASSERT_TRUE(listed) << listed.error().text;
  EXPECT_EQ(listed->entries.size(), 2U);
  const auto found = names.Find(folder + "/file", {});
  ASSERT_TRUE(found) << found.error().text;
  EXPECT_EQ(found->size, 3U);
  EXPECT_TRUE(names.GetDownloadLink(folder + "/file", {}));
  EXPECT_TRUE(names.MakeDir(folder, "made", {}));
  EXPECT_TRUE(names.Rename(folder + "/file", "renamed", {}));
  EXPECT_TRUE(names.Move(folder + "/renamed", folder + "/sub", {}));
  EXPECT_EQ(test::ReadWholeFile(server.Local("/cloud/mine/dir/sub/renamed")), "123");
  EXPECT_TRUE(names.Delete(folder + "/sub/renamed", {}));
  EXPECT_FALSE(std::filesystem::exists(server.Local("/cloud/mine/dir/sub/renamed")));

  const auto change = (*push)->Next();
  ASSERT_TRUE(change) << change.error().text;
  EXPECT_EQ(change->path, folder + "/made") << "as this side calls it";
  const auto id = (*remote)->uploads().Start({.path = folder + "/up", .size = 1}, {});
  ASSERT_TRUE(id) << id.error().text;
  const auto uploads = (*remote)->uploads().ListUploads({});
  ASSERT_TRUE(uploads);
  ASSERT_EQ(uploads->size(), 1U);
  EXPECT_EQ(uploads->front().path, folder + "/up");
  EXPECT_FALSE(names.Find("/cloud/others", {}));
}

}  // namespace
}  // namespace outboxfs::remote
