#include "cli/load_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "cli/options.h"
#include "support/temp_dir.h"

namespace outboxfs::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class LoadConfigTest : public ::testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const std::string path = dir_.path() + "/" + name;
    std::ofstream(path) << text;
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }
  Result<Config> Load(const Settings& flags, const Environment& environment = {},
                      const std::string& file = "") {
    return LoadConfig({flags, file, environment});
  }

  test::TempDir dir_;
};

TEST_F(LoadConfigTest, EveryDefaultThatTheHelpShowsIsValid) {
  for (const OptionSpec& option : Options()) {
    if (option.fallback.empty()) continue;
    Config config;
    EXPECT_TRUE(option.apply(config, {option.fallback})) << option.name;
  }
}

TEST_F(LoadConfigTest, NamesAreUsedOnce) {
  std::vector<std::string> names = OptionNames();
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

TEST_F(LoadConfigTest, DefaultsAreThoseOfTheTable) {
  const Result<Config> config = Load({});
  ASSERT_TRUE(config);
  EXPECT_EQ(config->upload.transfers, 4);
  EXPECT_EQ(config->upload.read_window, 16U << 20);
  EXPECT_EQ(config->upload.write_back, std::chrono::seconds(1));
  EXPECT_EQ(config->mount.dir_cache_time, std::chrono::minutes(5));
  EXPECT_EQ(config->drain_timeout, std::nullopt);
  EXPECT_TRUE(config->mount.passthrough);
  EXPECT_TRUE(config->connect.tls_verify);
}

TEST_F(LoadConfigTest, FlagsWinOverTheEnvironmentAndThatOverTheFile) {
  const std::string file =
      Write("config.toml", "transfers = 2\nbwlimit = \"1M\"\nwrite-back = \"9s\"\n");
  const Environment environment = {{"OUTBOXFS_TRANSFERS", "3"}, {"OUTBOXFS_BWLIMIT", "2M"}};
  const Result<Config> config = Load({{"transfers", {"5"}}}, environment, file);
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->upload.transfers, 5);
  EXPECT_EQ(config->upload.bwlimit, 2U << 20);
  EXPECT_EQ(config->upload.write_back, std::chrono::seconds(9));
}

TEST_F(LoadConfigTest, TheLastOfARepeatedFlagCounts) {
  EXPECT_EQ(Load({{"transfers", {"5", "6"}}})->upload.transfers, 6);
}

TEST_F(LoadConfigTest, ListsReplaceTheBuiltInOnes) {
  EXPECT_THAT(Load({{"hold-pattern", {"*.a", "*.b"}}})->upload.hold_patterns,
              ElementsAre("*.a", "*.b"));
  EXPECT_THAT(Load({}, {{"OUTBOXFS_HOLD_PATTERN", " *.c  *.d"}})->upload.hold_patterns,
              ElementsAre("*.c", "*.d"));
  const std::string file = Write("config.toml", "hold_pattern = [\"*.e\"]\n");
  EXPECT_THAT(Load({}, {}, file)->upload.hold_patterns, ElementsAre("*.e"));
  EXPECT_FALSE(Load({})->upload.hold_patterns.empty());
}

TEST_F(LoadConfigTest, ABadValueNamesItsPlace) {
  EXPECT_THAT(Load({{"transfers", {"many"}}}).error().text, HasSubstr("--transfers: 'many'"));
  EXPECT_THAT(Load({}, {{"OUTBOXFS_BWLIMIT", "x"}}).error().text, HasSubstr("OUTBOXFS_BWLIMIT: "));
  const std::string file = Write("config.toml", "umask = \"9\"\n");
  EXPECT_THAT(Load({}, {}, file).error().text, HasSubstr(file + ": umask: "));
}

TEST_F(LoadConfigTest, AnUnknownKeyNamesItsLineAndTheNearestKey) {
  const std::string file = Write("config.toml", "# mine\ntransfer = 2\n");
  const Result<Config> config = Load({}, {}, file);
  ASSERT_FALSE(config);
  EXPECT_EQ(config.error().text, file + ":2: unknown key 'transfer' (did you mean transfers?)");
}

TEST_F(LoadConfigTest, BrokenTomlNamesItsLine) {
  const std::string file = Write("config.toml", "transfers = 2\nbwlimit = \n");
  EXPECT_THAT(Load({}, {}, file).error().text, HasSubstr(file + ":2: "));
  const std::string table = Write("table.toml", "[transfers]\nx = 1\n");
  EXPECT_THAT(Load({}, {}, table).error().text, HasSubstr("wrong type"));
}

TEST_F(LoadConfigTest, ANamedFileMustExistTheDefaultOneNeedNot) {
  EXPECT_FALSE(Load({}, {}, dir_.path() + "/missing.toml"));
  EXPECT_TRUE(Load({}, {{"XDG_CONFIG_HOME", dir_.path()}}));
  EXPECT_EQ(::mkdir((dir_.path() + "/outboxfs").c_str(), 0700), 0);
  Write("outboxfs/config.toml", "transfers = 7\n");
  EXPECT_EQ(Load({}, {{"XDG_CONFIG_HOME", dir_.path()}})->upload.transfers, 7);
}

TEST_F(LoadConfigTest, AFileWithATokenMustBePrivate) {
  const std::string file = Write("config.toml", "token = \"secret\"\n", 0644);
  EXPECT_THAT(Load({}, {}, file).error().text, HasSubstr("chmod 600"));
  EXPECT_TRUE(Load({}, {}, Write("public.toml", "transfers = 1\n", 0644)));
}

TEST_F(LoadConfigTest, TheUmaskIsTakenOffThePermissions) {
  const Result<Config> config = Load({{"umask", {"027"}}});
  EXPECT_EQ(config->mount.dir_mode, 0750U);
  EXPECT_EQ(config->mount.file_mode, 0640U);
}

TEST_F(LoadConfigTest, WordsOfMountAreSortedIntoFlagsAndLibfuse) {
  const Result<Config> config = Load({{"option", {"allow_other,noatime", "ro"}}});
  EXPECT_TRUE(config->mount.allow_other);
  EXPECT_TRUE(config->mount.read_only);
  EXPECT_THAT(config->mount.fuse_options, ElementsAre("noatime"));
}

TEST_F(LoadConfigTest, VerboseLowersTheLevelOnly) {
  EXPECT_EQ(Load({{"verbose", {"1"}}})->log.level, LogLevel::kInfo);
  EXPECT_EQ(Load({{"verbose", {"2"}}})->log.level, LogLevel::kDebug);
  EXPECT_EQ(Load({{"verbose", {"1"}}, {"log-level", {"debug"}}})->log.level, LogLevel::kDebug);
}

TEST_F(LoadConfigTest, AStrongerTokenOverrulesAWeakerAccount) {
  const std::string token = Write("token", "abc\n");
  const Environment environment = {{"OUTBOXFS_USER", "me"}, {"OUTBOXFS_PASSWORD", "pw"}};
  Result<Config> config = Load({{"token-file", {token}}}, environment);
  ASSERT_TRUE(config && LoadCredentials(*config));
  EXPECT_EQ(config->connect.credentials.token, "abc");
  EXPECT_EQ(config->connect.credentials.user, "");

  const std::string password = Write("password", "xyz");
  config = Load({{"user", {"you"}}, {"password-file", {password}}}, {{"OUTBOXFS_TOKEN", "t"}});
  ASSERT_TRUE(config && LoadCredentials(*config));
  EXPECT_EQ(config->connect.credentials.token, "");
  EXPECT_EQ(config->connect.credentials.user, "you");
  EXPECT_EQ(config->connect.credentials.password, "xyz");
}

TEST_F(LoadConfigTest, CredentialsThatAreMissingOrReadableByOthersAreRefused) {
  Result<Config> config = Load({});
  EXPECT_EQ(LoadCredentials(*config).error().code, ENOKEY);
  config = Load({{"user", {"me"}}});
  EXPECT_EQ(LoadCredentials(*config).error().code, ENOKEY);
  config = Load({{"token-file", {Write("token", "abc", 0640)}}});
  EXPECT_THAT(LoadCredentials(*config).error().text, HasSubstr("can be read by others"));
  config = Load({{"token-file", {Write("empty", "\n")}}});
  EXPECT_THAT(LoadCredentials(*config).error().text, HasSubstr("is empty"));
  config = Load({{"token-file", {Write("lines", "a\nb\n")}}});
  EXPECT_THAT(LoadCredentials(*config).error().text, HasSubstr("more than one line"));
}

}  // namespace
}  // namespace outboxfs::cli
