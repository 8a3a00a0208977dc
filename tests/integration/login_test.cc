// Accounts and tokens: right, wrong, and changed while files wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "support/program.h"
#include "support/served_dir.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Finished;
using test::ProgramMount;
using test::ReadWholeFile;
using test::ServedDir;
using test::TempDir;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;
using ::testing::Not;

void WriteSecret(const std::string& path, const std::string& text) {
  WriteFile(path, text + "\n");
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
}

class Login : public ::testing::Test {
 protected:
  std::vector<std::string> Flags(const std::string& password) {
    WriteSecret(dir_ / "password", password);
    return {"--user", TestServer::kUser, "--password-file", dir_ / "password"};
  }

  TestServer server_;
  TempDir dir_;
};

TEST_F(Login, WithTheRightPasswordFilesGoUp) {
  ProgramMount mount({.remote = server_->endpoint(), .flags = Flags(TestServer::kPassword)});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "first", "first");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0) << mount.Status(".items");
  EXPECT_EQ(ReadWholeFile(server_.Local("/first")), "first");
  // The server forgets its logins, as after a change of its own: one more login, and on.
  server_->RevokeLogins();
  WriteFile(mount / "second", "second");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0) << mount.Status(".items");
  EXPECT_EQ(ReadWholeFile(server_.Local("/second")), "second");
  EXPECT_THAT(mount.Log(), Not(HasSubstr(TestServer::kPassword)));
  EXPECT_EQ(mount.Unmount().exit_code, 0);
}

TEST_F(Login, AWrongPasswordIsSaidAtOnceAndNothingIsMounted) {
  ProgramMount mount({.remote = server_->endpoint(), .flags = Flags("not-the-password")});
  EXPECT_EQ(mount.mounted().exit_code, 1);
  EXPECT_THAT(mount.error(), HasSubstr("refuses"));
  EXPECT_EQ(std::count(mount.error().begin(), mount.error().end(), '\n'), 1) << mount.error();
  EXPECT_THAT(mount.error(), Not(HasSubstr("not-the-password")));
}

// Somebody makes a new token in the web page and the old one is gone.
TEST(Token, OneThatIsChangedAtTheServerStopsUploadsUntilTheFileHasTheNewOne) {
  TempDir dir;
  WriteSecret(dir / "mine", "the-first-token");
  ServedDir served;
  served.Stop();
  WriteSecret(served.token_file(), "the-first-token");
  served.StartAgain();
  ASSERT_TRUE(served.ok()) << served.output();
  ProgramMount mount({.remote = served.address(), .flags = {"--token-file", dir / "mine"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount / "before", "before");
  ASSERT_EQ(mount.WaitUploaded().exit_code, 0);

  EXPECT_EQ(served.Stop(), 0);
  WriteSecret(served.token_file(), "the-second-token");
  served.StartAgain();
  ASSERT_TRUE(served.ok()) << served.output();
  WriteFile(mount / "pending", "pending");
  EXPECT_TRUE(Eventually([&] {
    return mount.Outboxfs({"status", mount.path()}).out.find("token") != std::string::npos;
  })) << mount.Outboxfs({"status", mount.path()}).out;
  EXPECT_EQ(mount.Outboxfs({"wait", "--timeout", "100ms", mount.path()}).exit_code, 4);
  EXPECT_EQ(ReadWholeFile(mount / "pending"), "pending") << "nothing is lost";
  EXPECT_FALSE(fs::exists(served.Local("/pending")));

  WriteSecret(dir / "mine", "the-second-token");
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0) << mount.Status(".uploads");
  EXPECT_EQ(ReadWholeFile(served.Local("/pending")), "pending");
  EXPECT_EQ(ReadWholeFile(mount / "before"), "before");
  EXPECT_THAT(mount.Log(), Not(HasSubstr("the-second-token")));
  EXPECT_EQ(mount.Unmount().exit_code, 0);
}

}  // namespace
}  // namespace outboxfs
