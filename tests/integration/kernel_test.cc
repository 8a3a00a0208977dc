// What only the kernel can show: bytes that do not come by the daemon, other users, and a cache
// directory that cannot be written.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <future>

#include "support/program.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::SameBytes;
using test::WriteFile;
using ::testing::HasSubstr;

constexpr size_t kSize = 8 << 20;

// Writes through the mount and reads back, on a descriptor that is open already.
bool WriteAndRead(int fd, const std::string& content) {
  std::string back(content.size(), '\0');
  return ::pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()) &&
         ::pread(fd, back.data(), back.size(), 0) == static_cast<ssize_t>(back.size()) &&
         back == content;
}

// Whether that is done while the daemon stands still.
bool GoesOnWithoutTheDaemon(const ProgramMount& mount, std::chrono::milliseconds patience) {
  const pid_t pid = std::stoi(mount.Status(".pid"));
  const std::string content = Pattern(kSize);
  // Opened last: a program that is started meanwhile would close its copy of it.
  const int fd = ::open((mount / "file").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  EXPECT_GE(fd, 0);
  // The kernel asks for security.capability once, at the first write.
  EXPECT_EQ(::pwrite(fd, "x", 1, 0), 1);
  EXPECT_TRUE(test::Freeze(pid));
  auto done = std::async(std::launch::async, [&] { return WriteAndRead(fd, content); });
  const bool in_time = done.wait_for(patience) == std::future_status::ready;
  EXPECT_EQ(::kill(pid, SIGCONT), 0);
  EXPECT_TRUE(done.get());
  ::close(fd);
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0);
  EXPECT_TRUE(SameBytes(ReadWholeFile(mount.cloud() + "/file"), content));
  return in_time;
}

// fs/mount_test fails where passthrough should be on and is not.
TEST(Passthrough, BytesDoNotComeByTheDaemon) {
  ProgramMount mount({.flags = {"--attr-timeout", "1h"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  if (mount.Status(".mount.passthrough") != "true") {
    GTEST_SKIP() << mount.Status(".mount.passthrough_reason");
  }
  EXPECT_TRUE(GoesOnWithoutTheDaemon(mount, 20s));
}

TEST(Passthrough, SwitchedOffTheyDo) {
  ProgramMount mount({.flags = {"--no-passthrough"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  EXPECT_EQ(mount.Status(".mount.passthrough"), "false");
  EXPECT_FALSE(GoesOnWithoutTheDaemon(mount, 200ms));
}

// Runs words as the user who owns nothing.
Finished AsNobody(std::vector<std::string> words, const test::Variables& variables = {}) {
  const std::vector<std::string> before = {"setpriv", "--reuid=65534", "--regid=65534",
                                           "--clear-groups"};
  words.insert(words.begin(), before.begin(), before.end());
  return RunProgram(words, variables);
}

class OtherUsers : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to be two users";
  }
  // In a directory that everybody can pass, with a private and a public file of root's.
  static std::unique_ptr<ProgramMount> Mount(std::vector<std::string> flags) {
    auto mount = std::make_unique<ProgramMount>(test::MountSpec{.flags = std::move(flags)});
    EXPECT_TRUE(mount->ok()) << mount->error();
    fs::permissions(mount->dir().path(), fs::perms(0755));
    WriteFile(*mount / "private", "secret");
    WriteFile(*mount / "public", "for all");
    EXPECT_EQ(::chmod((*mount / "private").c_str(), 0600), 0);
    EXPECT_EQ(::chmod((*mount / "public").c_str(), 0644), 0);
    return mount;
  }
};

TEST_F(OtherUsers, AreLetInByAllowOtherAsFarAsTheModesSay) {
  const auto mount = Mount({"--allow-other", "--umask", "022"});
  for (const bool uploaded : {false, true}) {  // the modes are remembered
    if (uploaded) {
      EXPECT_EQ(mount->WaitUploaded().exit_code, 0);
    }
    const Finished open = AsNobody({"cat", *mount / "public"});
    EXPECT_EQ(open.exit_code, 0) << open.err;
    EXPECT_EQ(open.out, "for all");
    const Finished closed = AsNobody({"cat", *mount / "private"});
    EXPECT_NE(closed.exit_code, 0);
    EXPECT_EQ(closed.out, "");
    EXPECT_THAT(closed.err, HasSubstr("Permission denied"));
    const Finished changed = AsNobody({"sh", "-c", "echo x >>\"$1\"", "sh", *mount / "public"});
    EXPECT_NE(changed.exit_code, 0);
    EXPECT_NE(AsNobody({"rm", "-f", *mount / "public"}).exit_code, 0);
    EXPECT_NE(AsNobody({"touch", *mount / "mine"}).exit_code, 0);
  }
  EXPECT_EQ(ReadWholeFile(*mount / "public"), "for all");
}

TEST_F(OtherUsers, MakeFilesOfTheirOwnWhereTheyMay) {
  const auto mount = Mount({"--allow-other"});
  ASSERT_EQ(::mkdir((*mount / "everybody").c_str(), 0777), 0);
  ASSERT_EQ(::chmod((*mount / "everybody").c_str(), 0777), 0);
  const Finished made = AsNobody({"sh", "-c", "echo mine >\"$1\"", "sh", *mount / "everybody/f"});
  EXPECT_EQ(made.exit_code, 0) << made.err;
  struct stat st {};
  ASSERT_EQ(::stat((*mount / "everybody/f").c_str(), &st), 0);
  EXPECT_EQ(st.st_uid, 65534U);
}

// As in /tmp: everybody may make files there, and only remove their own.
TEST_F(OtherUsers, KeepTheirFilesInAStickyDirectory) {
  const auto mount = Mount({"--allow-other"});
  const std::string dir = *mount / "tmp";
  ASSERT_EQ(::mkdir(dir.c_str(), 0777), 0);
  ASSERT_EQ(::chmod(dir.c_str(), 01777), 0);
  WriteFile(dir + "/root's", "of root");
  ASSERT_EQ(AsNobody({"sh", "-c", "echo mine >\"$1\"", "sh", dir + "/mine"}).exit_code, 0);
  for (const bool uploaded : {false, true}) {
    if (uploaded) {
      EXPECT_EQ(mount->WaitUploaded().exit_code, 0);
    }
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"rm", "-f", dir + "/root's"},
                                               {"mv", dir + "/root's", dir + "/taken"},
                                               {"mv", dir + "/mine", dir + "/root's"}}) {
      const Finished refused = AsNobody(words);
      EXPECT_NE(refused.exit_code, 0) << words[0];
      EXPECT_THAT(refused.err, HasSubstr("Operation not permitted"));
    }
    EXPECT_EQ(ReadWholeFile(dir + "/root's"), "of root");
  }
  EXPECT_EQ(AsNobody({"mv", dir + "/mine", dir + "/still mine"}).exit_code, 0);
  EXPECT_EQ(AsNobody({"rm", dir + "/still mine"}).exit_code, 0);
  EXPECT_FALSE(fs::exists(dir + "/still mine"));
}

TEST_F(OtherUsers, AreKeptOutWithoutIt) {
  const auto mount = Mount({});
  const Finished result = AsNobody({"cat", *mount / "public"});
  EXPECT_NE(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("Permission denied"));
  EXPECT_NE(AsNobody({"ls", mount->path()}).exit_code, 0);
}

class UnwritableCache : public OtherUsers {
 protected:
  void SetUp() override {
    OtherUsers::SetUp();
    fs::permissions(dir_.path(), fs::perms(0755));
    for (const char* name : {"cloud", "mnt", "cache"}) fs::create_directory(dir_ / name);
  }
  std::vector<std::string> MountWords(const std::string& cache) {
    return {OUTBOXFS_PROGRAM, "mount",       "embedded:" + dir_ / "cloud",
            dir_ / "mnt",     "--cache-dir", dir_ / cache};
  }
  test::Variables Home() { return {{"HOME", dir_.path()}, {"XDG_RUNTIME_DIR", dir_.path()}}; }
  void ExpectRefused(const Finished& result, const std::string& reason) {
    EXPECT_EQ(result.exit_code, 1);
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
    EXPECT_THAT(result.err, HasSubstr(dir_ / "cache"));
    EXPECT_THAT(result.err, HasSubstr(reason));
  }

  test::TempDir dir_;
};

TEST_F(UnwritableCache, OfAnotherUser) {
  if (AsNobody({"test", "-x", OUTBOXFS_PROGRAM}).exit_code != 0) {
    GTEST_SKIP() << "nobody cannot run " << OUTBOXFS_PROGRAM;
  }
  ExpectRefused(AsNobody(MountWords("cache"), Home()), "belongs to user 0");
  ExpectRefused(AsNobody(MountWords("cache/of/mine"), Home()), "Permission denied");
}

TEST_F(UnwritableCache, OnAReadOnlyDisk) {
  std::vector<std::string> words = {
      "unshare",
      "--mount",
      "sh",
      "-c",
      "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"",
      dir_ / "cache"};
  const std::vector<std::string> mount = MountWords("cache");
  words.insert(words.end(), mount.begin(), mount.end());
  ExpectRefused(RunProgram(words, Home()), "Read-only file system");
}

}  // namespace
}  // namespace outboxfs
