// Paths and secret files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "cli/paths.h"
#include "cli/secret_file.h"
#include "support/temp_dir.h"

namespace outboxfs::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(Paths, TheCacheDirectoryFollowsXdgAndTellsRemotesApart) {
  const Environment environment = {{"HOME", "/home/me"}};
  const std::string one = *DefaultCacheDir(environment, "nas:19798/a");
  EXPECT_THAT(one, StartsWith("/home/me/.cache/outboxfs/"));
  EXPECT_EQ(one, *DefaultCacheDir(environment, "nas:19798/a")) << "the same at the next start";
  EXPECT_NE(one, *DefaultCacheDir(environment, "nas:19798/b"));
  EXPECT_THAT(*DefaultCacheDir({{"HOME", "/h"}, {"XDG_CACHE_HOME", "/x"}}, "r"),
              StartsWith("/x/outboxfs/"));
  EXPECT_THAT(*DefaultCacheDir({{"HOME", "/h"}, {"XDG_CACHE_HOME", "relative"}}, "r"),
              StartsWith("/h/.cache/"));
}

TEST(Paths, ACanonicalPathNeedsOnlyItsDirectory) {
  const test::TempDir dir;
  std::filesystem::create_directory_symlink(dir.path(), dir / "link");
  const std::string real = std::filesystem::canonical(dir.path());
  EXPECT_EQ(*CanonicalPath(dir / "link/x/"), real + "/x");
  EXPECT_EQ(*CanonicalPath(dir / "link"), real);
  EXPECT_EQ(*CanonicalPath("/"), "/");
  EXPECT_EQ(CanonicalPath(dir / "missing/x").error().code, ENOENT);
}

TEST(Paths, SocketsAreNamedByTheMountpoint) {
  EXPECT_EQ(ControlSocketPath("/run/x", "/mnt/a"), ControlSocketPath("/run/x", "/mnt/a"));
  EXPECT_NE(ControlSocketPath("/run/x", "/mnt/a"), ControlSocketPath("/run/x", "/mnt/b"));
}

TEST(SecretFiles, AreWrittenForTheirOwnerOnlyAndReadBack) {
  const test::TempDir dir;
  const std::string path = dir / "token";
  const std::string secret = RandomToken();
  EXPECT_EQ(secret.size(), 64U);
  EXPECT_NE(secret, RandomToken());
  ASSERT_TRUE(WriteSecretFile(path, secret));
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
  EXPECT_EQ(*ReadSecretFile(path), secret);
  EXPECT_EQ(WriteSecretFile(path, "other").error().code, EEXIST);
}

TEST(SecretFiles, AreRefusedWhenOthersCanReadThem) {
  const test::TempDir dir;
  std::ofstream(dir / "token") << "abc";
  ASSERT_EQ(::chmod((dir / "token").c_str(), 0604), 0);
  const Result<std::string> token = ReadSecretFile(dir / "token");
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code, EACCES);
  EXPECT_THAT(token.error().text, HasSubstr("chmod 600"));
  EXPECT_FALSE(ReadSecretFile(dir / "missing"));
}

}  // namespace
}  // namespace outboxfs::cli
