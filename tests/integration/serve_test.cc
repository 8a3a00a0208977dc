// `outboxfs serve` in a process of its own, and mounts of it by every kind of address.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "support/key_pair.h"
#include "support/program.h"
#include "support/served_dir.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::SameBytes;
using test::ServedDir;
using test::TempDir;
using test::WriteFile;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kSize = (3 << 20) + 77;  // more than one answer and more than one block

// Copies in, waits, compares what the server has, reads back what is no longer staged, unmounts.
void RoundTrip(const std::string& remote, std::vector<std::string> flags,
               const std::string& local_root) {
  ProgramMount mount({.remote = remote, .flags = std::move(flags)});
  ASSERT_TRUE(mount.ok()) << mount.error();
  fs::create_directories(mount / "深/层 x");
  WriteFile(mount / "深/层 x/文件 1", Pattern(kSize));
  WriteFile(mount / "small", "small");
  WriteFile(mount / "empty", "");
  const Finished waited = mount.WaitUploaded();
  ASSERT_EQ(waited.exit_code, 0) << waited.err << mount.Status(".items");
  EXPECT_TRUE(SameBytes(ReadWholeFile(local_root + "/深/层 x/文件 1"), Pattern(kSize)));
  EXPECT_EQ(ReadWholeFile(local_root + "/small"), "small");
  EXPECT_TRUE(fs::is_empty(local_root + "/empty"));

  EXPECT_TRUE(Eventually([&] { return mount.StagedFiles() == 0; }));
  // Whatever the kernel still has goes with the mount.
  EXPECT_EQ(mount.Unmount().exit_code, 0);
  ASSERT_TRUE(mount.Mount()) << mount.error();
  EXPECT_TRUE(SameBytes(ReadWholeFile(mount / "深/层 x/文件 1"), Pattern(kSize)));
  EXPECT_EQ(ReadWholeFile(mount / "small"), "small");
  const Finished unmounted = mount.Unmount();
  EXPECT_EQ(unmounted.exit_code, 0) << unmounted.out << unmounted.err;
}

TEST(Serve, MakesATokenFileSaysItsAddressAndEndsWell) {
  ServedDir served;
  ASSERT_TRUE(served.ok()) << served.output();
  EXPECT_THAT(served.output(), HasSubstr("serving at " + served.address()));
  EXPECT_THAT(served.address(), ::testing::MatchesRegex("127\\.0\\.0\\.1:[0-9]+"));
  struct stat st {};
  ASSERT_EQ(::stat(served.token_file().c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600U);
  std::string token = ReadWholeFile(served.token_file());
  EXPECT_GT(token.size(), 20U);
  token.pop_back();
  EXPECT_THAT(served.output(), Not(HasSubstr(token)));
  EXPECT_EQ(served.Stop(), 0) << served.output();
}

TEST(Serve, RefusesWhatItDoesNotUnderstandInOneLine) {
  TempDir dir;
  for (const char* knob : {"read_sise=1", "read_size=many", "nonsense"}) {
    const Finished result = RunProgram({OUTBOXFS_PROGRAM, "serve", dir / "cloud", "--knob", knob});
    EXPECT_EQ(result.exit_code, 2) << knob;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  }
  const Finished help = RunProgram({OUTBOXFS_PROGRAM, "serve", dir / "cloud", "--knob", "help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("start_delay="));
  const Finished half =
      RunProgram({OUTBOXFS_PROGRAM, "serve", dir / "cloud", "--tls-cert", dir / "cert"});
  EXPECT_EQ(half.exit_code, 2);
  EXPECT_THAT(half.err, HasSubstr("--tls-key"));
}

TEST(Serve, OneDirectoryIsServedOnce) {
  ServedDir served;
  ASSERT_TRUE(served.ok()) << served.output();
  const Finished second =
      RunProgram({OUTBOXFS_PROGRAM, "serve", served.Local(""), "--listen", "127.0.0.1:0"});
  EXPECT_EQ(second.exit_code, 1);
  EXPECT_THAT(second.err, HasSubstr("already served"));
}

// Each with switches of the server under which an ordinary upload goes another way.
TEST(Serve, IsMountedByHostAndPort) {
  ServedDir served(
      {"--knob", "read_size=65536", "--knob", "read_order=random", "--knob", "start_delay=20"});
  ASSERT_TRUE(served.ok()) << served.output();
  RoundTrip(served.address(), {"--token-file", served.token_file()}, served.Local(""));
  EXPECT_EQ(served.Stop(), 0);
}

TEST(Serve, IsMountedByHttpUrl) {
  ServedDir served({"--knob", "hashes=md5:1048576+sha1+pikpak", "--knob", "lazy=mixed", "--knob",
                    "start_delay=20", "--knob", "drop_channel_every=7"});
  ASSERT_TRUE(served.ok()) << served.output();
  RoundTrip("http://" + served.address(), {"--token-file", served.token_file()}, served.Local(""));
}

TEST(Serve, AFolderInTheAddressIsTheRoot) {
  ServedDir served({"--knob", "virtual_root=on"});
  ASSERT_TRUE(served.ok()) << served.output();
  const std::string folder = "/115open/备份/日本語 フォルダ/d/e/e p";
  fs::create_directories(served.Local(folder));
  WriteFile(served.Local("/115open/outside"), "not in the mount");
  RoundTrip("http://" + served.address() + folder + "/", {"--token-file", served.token_file()},
            served.Local(folder));
  EXPECT_EQ(std::distance(fs::directory_iterator(served.Local("/115open")), {}), 2);
}

// A token that is restricted to a folder, at both kinds of server, mounted by both names.
TEST(Serve, ARestrictedTokenIsMountedByEitherNameOfItsFolder) {
  for (const char* is_root : {"on", "off"}) {
    for (const char* folder : {"/115open/mine/备份", "/备份", "/"}) {
      ServedDir served({"--knob", "token_root=/115open/mine", "--knob",
                        std::string("token_root_is_root=") + is_root});
      ASSERT_TRUE(served.ok()) << served.output();
      const std::string mine = served.Local("/115open/mine");
      fs::create_directories(mine + "/备份");
      RoundTrip(served.address() + folder, {"--token-file", served.token_file()},
                std::string(folder) == "/" ? mine : mine + "/备份");
    }
  }
}

TEST(Serve, HttpsToAPortWithoutTlsIsSaidPlainly) {
  ServedDir served;
  ASSERT_TRUE(served.ok()) << served.output();
  ProgramMount mount({.remote = "https://" + served.address(),
                      .flags = {"--token-file", served.token_file(), "--no-check-certificate"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  EXPECT_TRUE(Eventually([&] {
    return mount.Status(".uploads.connection_error").find("does not speak TLS") !=
           std::string::npos;
  })) << mount.Status(".uploads.connection_error");
  EXPECT_EQ(mount.Unmount({"--no-drain"}).exit_code, 0);
}

class ServeTls : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteFile(cert_, pair_.cert);
    WriteFile(key_, pair_.key);
    served_ = std::make_unique<ServedDir>(
        std::vector<std::string>{"--tls-cert", cert_, "--tls-key", key_});
    ASSERT_TRUE(served_->ok()) << served_->output();
    ASSERT_THAT(served_->address(), ::testing::StartsWith("https://"));
  }

  const test::KeyPair pair_ = test::MakeKeyPair();
  TempDir dir_;
  const std::string cert_ = dir_ / "cert.pem";
  const std::string key_ = dir_ / "key.pem";
  std::unique_ptr<ServedDir> served_;
};

TEST_F(ServeTls, IsMountedWithItsCaFile) {
  RoundTrip(served_->address(), {"--token-file", served_->token_file(), "--ca-file", cert_},
            served_->Local(""));
}

TEST_F(ServeTls, IsMountedWithoutACheck) {
  RoundTrip(served_->address(), {"--token-file", served_->token_file(), "--no-check-certificate"},
            served_->Local(""));
}

TEST_F(ServeTls, AWrongCaIsSaidInOneLineAndNothingIsSent) {
  WriteFile(dir_ / "other.pem", test::MakeKeyPair().cert);
  ProgramMount mount(
      {.remote = served_->address(),
       .flags = {"--token-file", served_->token_file(), "--ca-file", dir_ / "other.pem"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "file", "bytes");
  EXPECT_TRUE(Eventually([&] {
    return mount.Status(".uploads.connection_error").find("certificate") != std::string::npos;
  }));
  const std::string reason = mount.Status(".uploads.connection_error");
  EXPECT_THAT(reason, HasSubstr("certificate"));
  EXPECT_THAT(reason, HasSubstr("--ca-file"));
  EXPECT_LT(reason.size(), 200U);
  EXPECT_EQ(std::count(reason.begin(), reason.end(), '\n'), 0) << reason;
  const Finished status = mount.Outboxfs({"status", mount.path()});
  EXPECT_THAT(status.out, HasSubstr(reason));
  EXPECT_FALSE(fs::exists(served_->Local("/file")));
  EXPECT_EQ(mount.Unmount({"--no-drain"}).exit_code, 3);
}

}  // namespace
}  // namespace outboxfs
