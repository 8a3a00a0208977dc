// What people do with a mount: copying, renaming, overwriting, deleting, many files, huge files.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

// A mount of the embedded server, up and running.
class CopyTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(mount_.ok()) << mount_.error(); }

  void WaitUploaded(const std::string& timeout = "90s") {
    const Finished waited = mount_.WaitUploaded(timeout);
    ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_.Status(".items");
  }
  std::string Cloud(const std::string& name) const {
    return ReadWholeFile(mount_.cloud() + "/" + name);
  }
  // Files and directories below, as "path size"; what the mount and the cloud must agree on.
  // Without the embedded server's own directory.
  static std::string Tree(const std::string& root) {
    return RunProgram({"sh", "-c",
                       "cd \"$1\" && find . -mindepth 1 -name .outboxfs-server -prune -o \\( -type "
                       "d -printf '%p/\\n' -o -printf '%p %s\\n' "
                       "\\) | LC_ALL=C sort",
                       "sh", root})
        .out;
  }
  void ExpectSame(const std::string& source, const std::string& copy) {
    const Finished diff = RunProgram({"diff", "-r", source, copy});
    EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
  }
  // A small tree with what trees have.
  std::string MakeSource() {
    const std::string source = dir_ / "source";
    fs::create_directories(source + "/deep/er/and deeper");
    fs::create_directories(source + "/空の 目录");
    WriteFile(source + "/empty", "");
    WriteFile(source + "/small", "small");
    WriteFile(source + "/deep/er/中文 名字.txt", "text");
    WriteFile(source + "/deep/er/and deeper/big", Pattern(5 << 20));
    WriteFile(source + "/deep/odd", Pattern((1 << 20) + 17, 2));
    return source;
  }

  test::TempDir dir_;
  ProgramMount mount_;
};

TEST_F(CopyTest, ATreeIsCopiedUploadedAndEvicted) {
  const std::string source = MakeSource();
  ASSERT_EQ(RunProgram({"cp", "-r", source, mount_ / "copy"}).exit_code, 0);
  ExpectSame(source, mount_ / "copy");
  WaitUploaded();
  ExpectSame(source, mount_.cloud() + "/copy");
  EXPECT_EQ(Tree(mount_ / "copy"), Tree(source)) << "nothing vanishes from the mount";
  ExpectSame(source, mount_ / "copy");  // now read back from the server
  EXPECT_TRUE(Eventually([&] { return mount_.StagedFiles() == 0; })) << mount_.StagedFiles();
}

TEST_F(CopyTest, ASecondRsyncTransfersNothing) {
  const std::string source = MakeSource();
  ASSERT_EQ(RunProgram({"touch", "-d", "2001-02-03 04:05:06", source + "/small"}).exit_code, 0);
  const std::vector<std::string> rsync = {"rsync", "-a", "--itemize-changes", source + "/",
                                          mount_ / "synced"};
  const Finished first = RunProgram(rsync);
  ASSERT_EQ(first.exit_code, 0) << first.err;
  EXPECT_EQ(RunProgram(rsync).out, "") << "while it is staged";
  WaitUploaded();
  EXPECT_TRUE(Eventually([&] { return mount_.StagedFiles() == 0; }));
  EXPECT_EQ(RunProgram(rsync).out, "") << "after its bytes are gone";
  ASSERT_EQ(mount_.Unmount().exit_code, 0);
  ASSERT_TRUE(mount_.Mount()) << mount_.error();
  EXPECT_EQ(RunProgram(rsync).out, "") << "after a restart";
  ExpectSame(source, mount_.cloud() + "/synced");
}

TEST_F(CopyTest, ARenameAfterCloseEndsUnderTheNewNameOnly) {
  WriteFile(mount_ / "draft.part", Pattern(100'000));
  fs::rename(mount_ / "draft.part", mount_ / "final.txt");
  WaitUploaded();
  EXPECT_EQ(Cloud("final.txt"), Pattern(100'000));
  EXPECT_EQ(Tree(mount_.cloud()), "./final.txt 100000\n");
}

TEST_F(CopyTest, ARenameOfAnUploadedFileIsARenameAtTheServer) {
  fs::create_directory(mount_ / "dir");
  WriteFile(mount_ / "one", "content");
  WaitUploaded();
  fs::rename(mount_ / "one", mount_ / "dir/two");
  EXPECT_EQ(ReadWholeFile(mount_ / "dir/two"), "content");
  WaitUploaded();
  EXPECT_EQ(Tree(mount_.cloud()), "./dir/\n./dir/two 7\n");
}

TEST_F(CopyTest, ARenamedDirectoryTakesItsPendingFilesAlong) {
  fs::create_directories(mount_ / "a/b");
  WriteFile(mount_ / "a/b/file", "inside");
  fs::rename(mount_ / "a", mount_ / "z");
  WaitUploaded();
  EXPECT_EQ(Tree(mount_.cloud()), "./z/\n./z/b/\n./z/b/file 6\n");
}

TEST_F(CopyTest, AnOverwrittenFileEndsAsTheLastVersion) {
  WriteFile(mount_ / "file", "first version");
  WaitUploaded();
  WriteFile(mount_ / "file", "second");
  EXPECT_EQ(ReadWholeFile(mount_ / "file"), "second");
  WaitUploaded();
  EXPECT_EQ(Cloud("file"), "second");
  EXPECT_EQ(Tree(mount_.cloud()), "./file 6\n") << "no temporary name is left";
}

TEST_F(CopyTest, APartOfAnUploadedFileCanBeChanged) {
  std::string content = Pattern(3 << 20);
  WriteFile(mount_ / "file", content);
  WaitUploaded();
  EXPECT_TRUE(Eventually([&] { return mount_.StagedFiles() == 0; }));
  const int fd = ::open((mount_ / "file").c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::pwrite(fd, "changed", 7, 1'500'000), 7);
  ASSERT_EQ(::close(fd), 0);
  content.replace(1'500'000, 7, "changed");
  EXPECT_EQ(ReadWholeFile(mount_ / "file"), content);
  WaitUploaded();
  EXPECT_EQ(Cloud("file"), content);
}

TEST_F(CopyTest, ADeletedFileIsGoneOnBothSides) {
  WriteFile(mount_ / "pending", "never seen by the server");
  fs::remove(mount_ / "pending");
  WriteFile(mount_ / "uploaded", "seen");
  WaitUploaded();
  fs::remove(mount_ / "uploaded");
  EXPECT_FALSE(fs::exists(mount_ / "uploaded"));
  WaitUploaded();
  EXPECT_EQ(Tree(mount_.cloud()), "");
  EXPECT_EQ(Tree(mount_.path()), "");
}

TEST_F(CopyTest, EmptyFilesAndDirectoriesArriveToo) {
  WriteFile(mount_ / "empty", "");
  fs::create_directory(mount_ / "empty dir");
  WaitUploaded();
  EXPECT_EQ(Tree(mount_.cloud()), "./empty 0\n./empty dir/\n");
}

TEST_F(CopyTest, AThousandFilesInOneDirectory) {
  fs::create_directory(mount_ / "many");
  for (int i = 0; i < 1000; ++i) {
    WriteFile(mount_ / ("many/file " + std::to_string(i)), "content " + std::to_string(i));
  }
  EXPECT_EQ(std::distance(fs::directory_iterator(mount_ / "many"), fs::directory_iterator()), 1000);
  WaitUploaded();
  EXPECT_EQ(Tree(mount_.cloud()), Tree(mount_.path()));
  EXPECT_EQ(Cloud("many/file 999"), "content 999");
  EXPECT_TRUE(Eventually([&] { return mount_.StagedFiles() == 0; }));
}

TEST_F(CopyTest, ManyWritersAtOnce) {
  std::vector<std::jthread> writers;
  for (int writer = 0; writer < 8; ++writer) {
    writers.emplace_back([this, writer] {
      for (int i = 0; i < 10; ++i) {
        const std::string name = std::to_string(writer) + "-" + std::to_string(i);
        WriteFile(mount_ / name, Pattern(50'000 + 1000 * i, writer * 100 + i));
      }
    });
  }
  writers.clear();
  WaitUploaded();
  for (int writer = 0; writer < 8; ++writer) {
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(Cloud(std::to_string(writer) + "-" + std::to_string(i)),
                Pattern(50'000 + 1000 * i, writer * 100 + i));
    }
  }
}

TEST_F(CopyTest, WaitTakesPathsAndSaysWhatIsStuck) {
  fs::create_directory(mount_ / "dir");
  WriteFile(mount_ / "dir/file", "x");
  EXPECT_EQ(mount_.Outboxfs({"wait", mount_ / "dir"}).exit_code, 0);
  EXPECT_EQ(Cloud("dir/file"), "x");
}

TEST(ReadOnly, NothingCanBeChanged) {
  ProgramMount mount({.flags = {"--read-only"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount.cloud() + "/there", "there");
  EXPECT_EQ(ReadWholeFile(mount / "there"), "there");
  EXPECT_LT(::open((mount / "new").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644), 0);
  EXPECT_EQ(errno, EROFS);
}

TEST(Owner, UidGidAndUmaskApplyToFilesFromElsewhere) {
  ProgramMount mount({.flags = {"--uid", "12", "--gid", "34", "--umask", "027", "--allow-other"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  WriteFile(mount.cloud() + "/there", "there");
  struct stat info {};
  ASSERT_EQ(::stat((mount / "there").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 12U);
  EXPECT_EQ(info.st_gid, 34U);
  EXPECT_EQ(info.st_mode & 0777, 0640U);
}

TEST(Daemon, ThePathThroughTheDaemonBehavesTheSame) {
  ProgramMount mount({.flags = {"--no-passthrough"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  EXPECT_EQ(mount.Status(".mount.passthrough"), "false");
  const std::string bytes = Pattern(3 << 20);
  WriteFile(mount / "file", bytes);
  EXPECT_EQ(ReadWholeFile(mount / "file"), bytes);
  EXPECT_EQ(mount.WaitUploaded().exit_code, 0);
  EXPECT_EQ(ReadWholeFile(mount.cloud() + "/file"), bytes);
}

// From a server that asks for gigabytes at once.
TEST(Huge, AFileOfMoreThanFourGibibytes) {
  TestServer server({.read_size = uint64_t{3} << 30});
  ProgramMount mount({.remote = server->endpoint(), .token = server->token()});
  ASSERT_TRUE(mount.ok()) << mount.error();
  constexpr off_t kSize = (off_t{4} << 30) + 12'345;
  const int fd = ::open((mount / "huge").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(::ftruncate(fd, kSize), 0);
  ASSERT_EQ(::pwrite(fd, "behind", 6, (off_t{4} << 30) + 100), 6);
  ASSERT_EQ(::close(fd), 0);
  ASSERT_EQ(mount.WaitUploaded("9m").exit_code, 0)
      << mount.Status(".items");  // every byte goes over the wire
  struct stat info {};
  ASSERT_EQ(::stat(server.Local("/huge").c_str(), &info), 0);
  EXPECT_EQ(info.st_size, kSize);
  EXPECT_LT(info.st_blocks * 512, 64 << 20) << "holes stay holes at the server";
  const int remote = ::open(server.Local("/huge").c_str(), O_RDONLY | O_CLOEXEC);
  char bytes[6] = {};
  EXPECT_EQ(::pread(remote, bytes, 6, (off_t{4} << 30) + 100), 6);
  ::close(remote);
  EXPECT_EQ(std::string(bytes, 6), "behind");
}

TEST(Order, WithOneTransferFilesGoUpInTheOrderOfTheirClosing) {
  TestServer server;
  ProgramMount mount({.remote = server->endpoint(),
                      .token = server->token(),
                      .flags = {"--transfers", "1", "--write-back", "300ms"}});
  ASSERT_TRUE(mount.ok()) << mount.error();
  // Against the order of names, so that this cannot pass by sorting.
  const std::vector<std::string> names = {"e", "d", "c", "b", "a"};
  for (const std::string& name : names) WriteFile(mount / name, name);
  ASSERT_EQ(mount.WaitUploaded().exit_code, 0);
  std::vector<std::pair<int64_t, std::string>> arrived;
  for (const std::string& name : names) {
    struct stat info {};
    ASSERT_EQ(::stat(server.Local("/" + name).c_str(), &info), 0);
    arrived.emplace_back(info.st_ctim.tv_sec * 1'000'000'000LL + info.st_ctim.tv_nsec, name);
  }
  std::sort(arrived.begin(), arrived.end());
  std::vector<std::string> order;
  for (const auto& [when, name] : arrived) order.push_back(name);
  EXPECT_EQ(order, names);
}

}  // namespace
}  // namespace outboxfs
