// Through the kernel: a real mount over a real store, with a remote in memory and no uploader.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "support/fake_downloader.h"
#include "support/fake_namespace_api.h"
#include "support/temp_dir.h"
#include "support/temp_mount.h"

namespace outboxfs::fs {
namespace {

using test::FakeDownloader;
using test::FakeNamespaceApi;
using test::ReadWholeFile;
using test::TempMount;
using test::WriteFile;

std::vector<std::string> Names(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

struct stat Stat(const std::string& path) {
  struct stat st = {};
  EXPECT_EQ(0, ::stat(path.c_str(), &st)) << path;
  return st;
}

bool HasSysAdmin() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kKey = "CapEff:";
    if (line.starts_with(kKey))
      return (std::stoull(line.substr(kKey.size()), nullptr, 16) >> 21) & 1;
  }
  return false;
}

// "Linux 6.9 with the privilege, over a file system of its own": no excuse is left but the library.
bool KernelAllowsPassthrough() {
  utsname name{};
  int major = 0;
  int minor = 0;
  if (::uname(&name) != 0 || std::sscanf(name.release, "%d.%d", &major, &minor) != 2) return false;
  constexpr decltype(statfs::f_type) kOverlay = 0x794c7630;
  struct statfs disk {};
  if (::statfs(std::filesystem::temp_directory_path().c_str(), &disk) != 0) return false;
  return std::pair(major, minor) >= std::pair(6, 9) && HasSysAdmin() && disk.f_type != kOverlay;
}

// Every test once in passthrough mode (where the kernel lets us) and once through the daemon.
class MountTest : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (::access("/dev/fuse", R_OK | W_OK) != 0) GTEST_SKIP() << "no /dev/fuse";
    MountOptions options;
    options.passthrough = GetParam();
    options.uid = ::getuid();
    options.gid = ::getgid();
    Mount(options);
  }
  void Mount(const MountOptions& options) {
    mount_.reset();
    mount_ = std::make_unique<TempMount>(
        test::TempMountParts{.names = &names_, .downloads = &downloads_, .options = options});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
  }
  void AddRemote(const std::string& path, const std::string& content) {
    names_.AddFile(path, content.size());
    downloads_.Put(path, content);
  }
  std::string At(const std::string& name) const { return *mount_ / name; }
  cache::Store& store() { return mount_->store(); }

  FakeNamespaceApi names_;
  FakeDownloader downloads_;
  std::unique_ptr<TempMount> mount_;
};
INSTANTIATE_TEST_SUITE_P(Modes, MountTest, ::testing::Bool(), [](const auto& tested) {
  return tested.param ? "Passthrough" : "Daemon";
});

TEST_P(MountTest, AFileIsReadBackAsItWasWritten) {
  const std::string content = test::Pattern(3'000'001);
  WriteFile(At("file"), content);
  EXPECT_TRUE(test::SameBytes(ReadWholeFile(At("file")), content));
  EXPECT_EQ(content.size(), static_cast<size_t>(Stat(At("file")).st_size));
  const auto overlay = store().Lookup("/file");
  ASSERT_EQ(cache::Overlay::Kind::kItem, overlay.kind);
  EXPECT_EQ(content.size(), overlay.item.size);
}

// That it is on is said here; that bytes then do not come by the daemon is shown in
// integration/kernel_test.
TEST_P(MountTest, PassthroughIsUsedWhereItCanBe) {
  WriteFile(At("file"), "bytes");
  const MountStatus status = mount_->session().Snapshot();
  if (!GetParam()) {
    EXPECT_FALSE(status.passthrough);
    EXPECT_EQ("switched off", status.passthrough_reason);
  } else if (!status.passthrough) {
    const bool library = status.passthrough_reason.find("libfuse") == std::string::npos;
    if (!library || !KernelAllowsPassthrough()) GTEST_SKIP() << status.passthrough_reason;
    FAIL() << "no passthrough: " << status.passthrough_reason;
  }
}

TEST_P(MountTest, ADirectoryShowsWhatIsStagedAndWhatIsRemote) {
  AddRemote("/dir/remote", "12345");
  WriteFile(At("dir/staged"), "67");
  ASSERT_EQ(0, ::mkdir(At("dir/sub").c_str(), 0755));
  EXPECT_EQ((std::vector<std::string>{"remote", "staged", "sub"}), Names(At("dir")));
  EXPECT_EQ(5, Stat(At("dir/remote")).st_size);
  EXPECT_EQ(2, Stat(At("dir/staged")).st_size);
  EXPECT_TRUE(S_ISDIR(Stat(At("dir/sub")).st_mode));
  EXPECT_EQ(2, names_.Count("List"));  // "/" and "/dir", nothing per name
}

TEST_P(MountTest, DeepTreesCostNoCallPerDirectory) {
  std::string path = mount_->path();
  for (int depth = 0; depth < 10; ++depth) {
    path += "/d";
    if (depth > 0) {
      ASSERT_EQ(0, ::mkdir(path.c_str(), 0755));
      WriteFile(path + "/file", "x");
    } else {
      names_.AddDir("/d");
    }
  }
  EXPECT_EQ(2, names_.Count("List"));  // "/" and "/d"
  EXPECT_EQ(0, names_.Count("MakeDir"));
}

TEST_P(MountTest, ARemoteFileIsRead) {
  const std::string content = test::Pattern(5'000'000);
  AddRemote("/file", content);
  EXPECT_TRUE(test::SameBytes(ReadWholeFile(At("file")), content));
  const int fetches = downloads_.fetches();
  EXPECT_TRUE(test::SameBytes(ReadWholeFile(At("file")), content));
  // The kernel kept the pages. A few of what it reads ahead it may drop again; the opens' flag is
  // checked exactly in filesystem_test.
  EXPECT_LT(downloads_.fetches() - fetches, fetches);
}

TEST_P(MountTest, AppendingToARemoteFileKeepsItsBytes) {
  AddRemote("/file", "old ");
  std::ofstream(At("file"), std::ios::app) << "new";
  EXPECT_EQ("old new", ReadWholeFile(At("file")));
  EXPECT_EQ(cache::Overlay::Kind::kItem, store().Lookup("/file").kind);
}

TEST_P(MountTest, ARemoteFileIsChangedInPlaceThroughAMapping) {
  const std::string content = test::Pattern(1'000'000);
  AddRemote("/file", content);
  const int fd = ::open(At("file").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  // In a process of its own: a fault holds the memory map that the mount's threads need to
  // allocate.
  const pid_t child = ::fork();
  if (child == 0) {
    void* const at = ::mmap(nullptr, content.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED) ::_exit(1);
    static_cast<char*>(at)[500'000] = '!';
    ::_exit(::munmap(at, content.size()) == 0 ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(child, ::waitpid(child, &status, 0));
  EXPECT_EQ(0, status);
  ::close(fd);
  std::string expected = content;
  expected[500'000] = '!';
  EXPECT_TRUE(test::SameBytes(ReadWholeFile(At("file")), expected));
}

TEST_P(MountTest, OverwritingARemoteFileFetchesNothing) {
  AddRemote("/file", "a long old text");
  const auto ino = Stat(At("file")).st_ino;
  WriteFile(At("file"), "new");
  EXPECT_EQ("new", ReadWholeFile(At("file")));
  EXPECT_EQ(0, downloads_.fetches());
  EXPECT_EQ(ino, Stat(At("file")).st_ino);
}

TEST_P(MountTest, OpeningForWritingWithoutWritingChangesNothing) {
  AddRemote("/file", "text");
  const int fd = ::open(At("file").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ::close(fd);
  EXPECT_EQ("text", ReadWholeFile(At("file")));
  EXPECT_EQ(0U, store().Totals().files_pending);
}

TEST_P(MountTest, AFailedFetchIsAnErrorAndLeavesTheFile) {
  AddRemote("/file", "text");
  for (int i = 0; i < 4; ++i) downloads_.FailNext({.code = EIO, .text = "lost"});  // read-ahead too
  const int fd = ::open(At("file").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  char byte = 0;
  EXPECT_EQ(-1, ::pread(fd, &byte, 1, 0));
  EXPECT_EQ(EIO, errno);
  ::close(fd);
  // The failures that nobody met: at most as many reads fail.
  std::string text;
  for (int i = 0; i < 5 && text != "text"; ++i) text = ReadWholeFile(At("file"));
  EXPECT_EQ("text", text);
}

TEST_P(MountTest, TruncateWithoutAnOpenFile) {
  WriteFile(At("staged"), "123456");
  ASSERT_EQ(0, ::truncate(At("staged").c_str(), 3));
  EXPECT_EQ("123", ReadWholeFile(At("staged")));
  ASSERT_EQ(0, ::truncate(At("staged").c_str(), 0));
  EXPECT_EQ("", ReadWholeFile(At("staged")));
}

TEST_P(MountTest, TruncateOfARemoteFileWithoutAnOpenFile) {
  AddRemote("/shorter", "123456");
  AddRemote("/longer", "12");
  AddRemote("/emptied", "123456");
  const auto ino = Stat(At("shorter")).st_ino;
  ASSERT_EQ(0, ::truncate(At("shorter").c_str(), 3));
  EXPECT_EQ(3, Stat(At("shorter")).st_size);
  EXPECT_EQ("123", ReadWholeFile(At("shorter")));
  EXPECT_EQ(ino, Stat(At("shorter")).st_ino);
  ASSERT_EQ(0, ::truncate(At("longer").c_str(), 4));
  EXPECT_EQ(std::string("12\0\0", 4), ReadWholeFile(At("longer")));
  const int fetches = downloads_.fetches();
  ASSERT_EQ(0, ::truncate(At("emptied").c_str(), 0));
  EXPECT_EQ("", ReadWholeFile(At("emptied")));
  EXPECT_EQ(fetches, downloads_.fetches()) << "what is cut off is not fetched";
  for (const auto& [path, size] : {std::pair("/shorter", 3U), {"/longer", 4U}, {"/emptied", 0U}}) {
    const auto overlay = store().Lookup(path);
    ASSERT_EQ(cache::Overlay::Kind::kItem, overlay.kind) << path << ": it goes up";
    EXPECT_EQ(size, overlay.item.size) << path;
  }
}

TEST_P(MountTest, TimesAndModesAreKept) {
  WriteFile(At("file"), "text");
  ASSERT_EQ(0, ::chmod(At("file").c_str(), 0640));
  const timespec times[2] = {{.tv_sec = 1'000'000, .tv_nsec = 5},
                             {.tv_sec = 2'000'000, .tv_nsec = 7}};
  ASSERT_EQ(0, ::utimensat(AT_FDCWD, At("file").c_str(), times, 0));
  for (int round = 0; round < 2; ++round) {
    const struct stat st = Stat(At("file"));
    EXPECT_EQ(0640U, st.st_mode & 07777);
    EXPECT_EQ(2'000'000, st.st_mtim.tv_sec);
    EXPECT_EQ(7, st.st_mtim.tv_nsec);
    mount_->Remount();
    ASSERT_TRUE(mount_->ok()) << mount_->error();
  }
}

TEST_P(MountTest, TimesSetThroughAnOpenFileSurviveItsClose) {
  const int fd = ::open(At("file").c_str(), O_CREAT | O_WRONLY, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(4, ::write(fd, "text", 4));
  const timespec times[2] = {{.tv_sec = 1'000'000, .tv_nsec = 5},
                             {.tv_sec = 2'000'000, .tv_nsec = 7}};
  ASSERT_EQ(0, ::futimens(fd, times));
  ::close(fd);
  EXPECT_EQ(2'000'000, Stat(At("file")).st_mtim.tv_sec);
}

TEST_P(MountTest, AttributesOfARemoteFileAreRemembered) {
  AddRemote("/file", "text");
  ASSERT_EQ(0, ::chmod(At("file").c_str(), 0600));
  EXPECT_EQ(0600U, Stat(At("file")).st_mode & 07777);
  const auto ino = Stat(At("file")).st_ino;
  mount_->Remount();
  EXPECT_EQ(0600U, Stat(At("file")).st_mode & 07777);
  EXPECT_EQ(ino, Stat(At("file")).st_ino);
}

TEST_P(MountTest, StagedFilesAreRenamedLocally) {
  WriteFile(At("a"), "text");
  WriteFile(At("b"), "other");
  const auto ino = Stat(At("a")).st_ino;
  ASSERT_EQ(0, ::rename(At("a").c_str(), At("b").c_str()));
  EXPECT_EQ("text", ReadWholeFile(At("b")));
  EXPECT_EQ(ino, Stat(At("b")).st_ino);
  EXPECT_EQ(std::vector<std::string>{"b"}, Names(mount_->path()));
  EXPECT_EQ(0, names_.Count("Rename"));
}

TEST_P(MountTest, RemoteFilesAreRenamedOnTheServer) {
  AddRemote("/a", "text");
  ASSERT_EQ(0, ::rename(At("a").c_str(), At("b").c_str()));
  downloads_.Put("/b", "text");
  EXPECT_EQ("text", ReadWholeFile(At("b")));
  EXPECT_EQ(std::vector<std::string>{"b"}, Names(mount_->path()));
  ASSERT_EQ(1U, names_.Content("/").size());
  EXPECT_EQ("b", names_.Content("/")[0].name);
}

TEST_P(MountTest, ARenameToAnotherFolderAndNameTakesBothSteps) {
  AddRemote("/x/a", "text");
  names_.AddDir("/y");
  ASSERT_EQ(0, ::rename(At("x/a").c_str(), At("y/b").c_str()));
  EXPECT_TRUE(Names(At("x")).empty());
  EXPECT_EQ(std::vector<std::string>{"b"}, Names(At("y")));
  ASSERT_EQ(1U, names_.Content("/y").size());
  EXPECT_EQ("b", names_.Content("/y")[0].name);
}

TEST_P(MountTest, ARemoteTargetIsReplacedOnTheServer) {
  AddRemote("/a", "new text");
  AddRemote("/b", "old");
  ASSERT_EQ(0, ::rename(At("a").c_str(), At("b").c_str()));
  EXPECT_EQ(8, Stat(At("b")).st_size);
  EXPECT_EQ(std::vector<std::string>{"b"}, Names(mount_->path()));
  ASSERT_EQ(1U, names_.Content("/").size());
  EXPECT_EQ(8U, names_.Content("/")[0].size);
}

TEST_P(MountTest, AFailedRenameChangesNothing) {
  AddRemote("/a", "text");
  Stat(At("a"));
  names_.FailNext("Rename", {.code = EIO, .text = "lost"});
  EXPECT_EQ(-1, ::rename(At("a").c_str(), At("b").c_str()));
  EXPECT_EQ(EIO, errno);
  EXPECT_EQ("text", ReadWholeFile(At("a")));
  EXPECT_EQ(std::vector<std::string>{"a"}, Names(mount_->path()));
}

TEST_P(MountTest, NoReplaceAndExchange) {
  AddRemote("/remote", "3");
  WriteFile(At("a"), "1");
  WriteFile(At("b"), "2");
  const auto no_replace = [&](const char* from, const char* to) {
    return ::renameat2(AT_FDCWD, At(from).c_str(), AT_FDCWD, At(to).c_str(), RENAME_NOREPLACE);
  };
  for (const auto& [from, to] : {std::pair("a", "b"), {"a", "remote"}, {"remote", "b"}}) {
    EXPECT_EQ(-1, no_replace(from, to)) << from << " " << to;
    EXPECT_EQ(EEXIST, errno);
  }
  EXPECT_EQ(0, names_.Count("Rename"));
  EXPECT_EQ("3", ReadWholeFile(At("remote")));
  EXPECT_EQ(0, no_replace("a", "c"));
  EXPECT_EQ(0, no_replace("remote", "d"));
  EXPECT_EQ(0, ::rename(At("c").c_str(), At("a").c_str()));
  EXPECT_EQ(-1, ::renameat2(AT_FDCWD, At("a").c_str(), AT_FDCWD, At("b").c_str(), RENAME_EXCHANGE));
  EXPECT_EQ(EINVAL, errno);
}

TEST_P(MountTest, DirectoriesCarryWhatIsStagedInThem) {
  names_.AddDir("/old");
  WriteFile(At("old/file"), "text");
  ASSERT_EQ(0, ::rename(At("old").c_str(), At("new").c_str()));
  EXPECT_EQ("text", ReadWholeFile(At("new/file")));
  EXPECT_EQ(std::vector<std::string>{"new"}, Names(mount_->path()));
  EXPECT_EQ(cache::Overlay::Kind::kItem, store().Lookup("/new/file").kind);
}

TEST_P(MountTest, UnlinkOfStagedAndRemoteFiles) {
  AddRemote("/remote", "text");
  WriteFile(At("staged"), "text");
  ASSERT_EQ(0, ::unlink(At("staged").c_str()));
  EXPECT_EQ(0, names_.Count("Delete"));
  ASSERT_EQ(0, ::unlink(At("remote").c_str()));
  EXPECT_EQ(1, names_.Count("Delete"));
  EXPECT_TRUE(Names(mount_->path()).empty());
  EXPECT_EQ(-1, ::access(At("remote").c_str(), F_OK));
}

TEST_P(MountTest, UnlinkOfAnOverwrittenFileDeletesTheOldVersionToo) {
  AddRemote("/file", "old");
  WriteFile(At("file"), "new");
  ASSERT_EQ(0, ::unlink(At("file").c_str()));
  EXPECT_TRUE(names_.Content("/").empty());
  EXPECT_TRUE(Names(mount_->path()).empty());
}

TEST_P(MountTest, AFailedDeleteLeavesTheFile) {
  AddRemote("/file", "text");
  names_.FailNext("Delete", {.code = EACCES, .text = "no"});
  EXPECT_EQ(-1, ::unlink(At("file").c_str()));
  EXPECT_EQ(EACCES, errno);
  EXPECT_EQ("text", ReadWholeFile(At("file")));
}

TEST_P(MountTest, ADeleteThatFailedButWorkedIsSuccess) {
  AddRemote("/file", "text");
  Stat(At("file"));
  names_.Remove("/file");  // as if the call had worked and its answer was lost
  names_.FailNext("Delete", {.code = ETIMEDOUT, .text = "late"});
  EXPECT_EQ(0, ::unlink(At("file").c_str()));
}

TEST_P(MountTest, OnlyEmptyDirectoriesAreRemoved) {
  AddRemote("/remote/file", "text");
  ASSERT_EQ(0, ::mkdir(At("staged").c_str(), 0755));
  WriteFile(At("staged/file"), "x");
  EXPECT_EQ(-1, ::rmdir(At("staged").c_str()));
  EXPECT_EQ(ENOTEMPTY, errno);
  EXPECT_EQ(-1, ::rmdir(At("remote").c_str()));
  EXPECT_EQ(ENOTEMPTY, errno);
  ASSERT_EQ(0, ::unlink(At("staged/file").c_str()));
  EXPECT_EQ(0, ::rmdir(At("staged").c_str()));
  ASSERT_EQ(0, ::unlink(At("remote/file").c_str()));
  EXPECT_EQ(0, ::rmdir(At("remote").c_str()));
  EXPECT_TRUE(Names(mount_->path()).empty());
}

TEST_P(MountTest, ADeletedFileIsUsableUntilItsClose) {
  const int fd = ::open(At("file").c_str(), O_CREAT | O_RDWR, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(4, ::write(fd, "text", 4));
  ASSERT_EQ(0, ::unlink(At("file").c_str()));
  ASSERT_EQ(4, ::write(fd, "more", 4));
  char buffer[16];
  EXPECT_EQ(8, ::pread(fd, buffer, sizeof(buffer), 0));
  struct stat st = {};
  EXPECT_EQ(0, ::fstat(fd, &st));
  EXPECT_EQ(8, st.st_size);
  ::close(fd);
  EXPECT_EQ(0U, store().Totals().files_pending);
}

TEST_P(MountTest, TwoHandlesSeeEachOthersBytes) {
  const int writer = ::open(At("file").c_str(), O_CREAT | O_WRONLY, 0644);
  const int reader = ::open(At("file").c_str(), O_RDONLY);
  ASSERT_GE(writer, 0);
  ASSERT_GE(reader, 0);
  ASSERT_EQ(5, ::write(writer, "hello", 5));
  char buffer[16];
  EXPECT_EQ(5, ::pread(reader, buffer, sizeof(buffer), 0));
  ::close(writer);
  ASSERT_EQ(0, ::truncate(At("file").c_str(), 2));
  EXPECT_EQ(2, ::pread(reader, buffer, sizeof(buffer), 0));
  ::close(reader);
}

TEST_P(MountTest, AReaderOfARemoteFileSeesItOverwritten) {
  AddRemote("/file", "old text");
  const int reader = ::open(At("file").c_str(), O_RDONLY);
  ASSERT_GE(reader, 0);
  char buffer[16];
  ASSERT_EQ(8, ::pread(reader, buffer, sizeof(buffer), 0));
  WriteFile(At("file"), "new");
  EXPECT_EQ(3, ::pread(reader, buffer, sizeof(buffer), 0));
  EXPECT_EQ("new", std::string(buffer, 3));
  ::close(reader);
  EXPECT_EQ("new", ReadWholeFile(At("file")));
}

TEST_P(MountTest, SharedMappingsReachTheFile) {
  const int fd = ::open(At("file").c_str(), O_CREAT | O_RDWR, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(0, ::ftruncate(fd, 4096));
  void* map = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ASSERT_NE(MAP_FAILED, map);
  std::memcpy(map, "mapped", 6);
  ::msync(map, 4096, MS_SYNC);
  ::munmap(map, 4096);
  ::close(fd);
  EXPECT_EQ("mapped", ReadWholeFile(At("file")).substr(0, 6));
}

TEST_P(MountTest, ReservedAndBadNamesAreRefused) {
  EXPECT_EQ(-1, ::open(At(std::string(256, 'x')).c_str(), O_CREAT | O_WRONLY, 0644));
  EXPECT_EQ(ENAMETOOLONG, errno);
  EXPECT_EQ(-1, ::open(At("bad\xff").c_str(), O_CREAT | O_WRONLY, 0644));
  EXPECT_EQ(EILSEQ, errno);
  EXPECT_EQ(-1, ::open(At(".obx-0123abcd-00000001.txt").c_str(), O_CREAT | O_WRONLY, 0644));
  EXPECT_EQ(EPERM, errno);
  WriteFile(At("名前 with spaces"), "x");
  EXPECT_EQ(std::vector<std::string>{"名前 with spaces"}, Names(mount_->path()));
}

TEST_P(MountTest, OurTemporaryNamesAreHidden) {
  AddRemote("/.obx-0123abcd-00000001.txt", "x");
  EXPECT_TRUE(Names(mount_->path()).empty());
  EXPECT_EQ(-1, ::access(At(".obx-0123abcd-00000001.txt").c_str(), F_OK));
}

TEST_P(MountTest, LinksAndSpecialFilesAreRefused) {
  EXPECT_EQ(-1, ::symlink("target", At("link").c_str()));
  EXPECT_EQ(EPERM, errno);
  WriteFile(At("file"), "x");
  EXPECT_EQ(-1, ::link(At("file").c_str(), At("hard").c_str()));
  EXPECT_EQ(EPERM, errno);
  EXPECT_EQ(-1, ::mkfifo(At("fifo").c_str(), 0600));
  EXPECT_EQ(EPERM, errno);
  EXPECT_EQ(0, ::mknod(At("regular").c_str(), S_IFREG | 0600, 0));
  EXPECT_EQ("", ReadWholeFile(At("regular")));
}

TEST_P(MountTest, StateIsAnXattr) {
  WriteFile(At("file"), "x");
  AddRemote("/dir/remote", "x");
  mount_->dirs().InvalidateAll();
  char value[64];
  const ssize_t size = ::getxattr(At("file").c_str(), "user.outboxfs.state", value, sizeof(value));
  EXPECT_GT(size, 0);
  EXPECT_EQ(-1, ::getxattr(At("file").c_str(), "user.other", value, sizeof(value)));
  EXPECT_EQ(ENODATA, errno);
  EXPECT_EQ(0, ::listxattr(At("file").c_str(), value, sizeof(value)));
  EXPECT_EQ(-1, ::setxattr(At("file").c_str(), "user.outboxfs.state", "y", 1, 0));
  EXPECT_EQ(EPERM, errno);
}

TEST_P(MountTest, ThereIsRoom) {
  struct statvfs st = {};
  ASSERT_EQ(0, ::statvfs(mount_->path().c_str(), &st));
  EXPECT_GT(st.f_bavail, 0U);
  EXPECT_EQ(255U, st.f_namemax);
}

TEST_P(MountTest, SyncOfFilesAndDirectories) {
  const int fd = ::open(At("file").c_str(), O_CREAT | O_WRONLY, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(4, ::write(fd, "text", 4));
  EXPECT_EQ(0, ::fsync(fd));
  ::close(fd);
  const int dir = ::open(mount_->path().c_str(), O_RDONLY | O_DIRECTORY);
  EXPECT_EQ(0, ::fsync(dir));
  ::close(dir);
}

TEST_P(MountTest, PreallocationAndHoles) {
  const int fd = ::open(At("file").c_str(), O_CREAT | O_RDWR, 0644);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(0, ::fallocate(fd, 0, 0, 1 << 20));
  struct stat st = {};
  ASSERT_EQ(0, ::fstat(fd, &st));
  EXPECT_EQ(1 << 20, st.st_size);
  ASSERT_EQ(4, ::pwrite(fd, "text", 4, 0));
  EXPECT_EQ(0, ::lseek(fd, 0, SEEK_DATA));
  EXPECT_GT(::lseek(fd, 0, SEEK_HOLE), 0);
  ::close(fd);
}

TEST_P(MountTest, EverythingIsThereAfterARemount) {
  WriteFile(At("file"), "text");
  ASSERT_EQ(0, ::mkdir(At("dir").c_str(), 0700));
  WriteFile(At("dir/inside"), "more");
  const auto ino = Stat(At("dir/inside")).st_ino;
  mount_->Remount();
  ASSERT_TRUE(mount_->ok()) << mount_->error();
  EXPECT_EQ((std::vector<std::string>{"dir", "file"}), Names(mount_->path()));
  EXPECT_EQ("more", ReadWholeFile(At("dir/inside")));
  EXPECT_EQ(ino, Stat(At("dir/inside")).st_ino);
}

TEST_P(MountTest, AThousandFilesAreListedWhole) {
  for (int i = 0; i < 1000; ++i) WriteFile(At("file" + std::to_string(i)), "x");
  EXPECT_EQ(1000U, Names(mount_->path()).size());
  EXPECT_EQ(1000U, Names(mount_->path()).size());
  for (int i = 0; i < 1000; i += 2) ASSERT_EQ(0, ::unlink(At("file" + std::to_string(i)).c_str()));
  EXPECT_EQ(500U, Names(mount_->path()).size());
}

TEST_P(MountTest, ChangesOfOthersAppear) {
  AddRemote("/dir/old", "1");
  EXPECT_EQ(std::vector<std::string>{"old"}, Names(At("dir")));
  names_.Remove("/dir/old");
  AddRemote("/dir/new", "22");
  mount_->dirs().Invalidate("/dir");
  mount_->session().RemoteChanged("/dir/old", false);
  mount_->session().RemoteChanged("/dir/new", false);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (Names(At("dir")) != std::vector<std::string>{"new"}) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
  EXPECT_EQ(2, Stat(At("dir/new")).st_size);
  while (::access(At("dir/old").c_str(), F_OK) == 0) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline);
  }
}

TEST_P(MountTest, FilesWaitWhileTheServerDoesNotAnswer) {
  names_.FailNext("List", {.code = EIO, .text = "unavailable"}, 1000);
  mount_->Remount();
  WriteFile(At("file"), "text");
  EXPECT_EQ("text", ReadWholeFile(At("file")));
  EXPECT_EQ(cache::Overlay::Kind::kItem, store().Lookup("/file").kind);
}

TEST_P(MountTest, AHeldServerBlocksOnlyWhoWaitsForIt) {
  WriteFile(At("staged"), "text");
  names_.AddDir("/slow");
  mount_->dirs().InvalidateAll();
  struct stat st = {};
  ASSERT_EQ(0, ::stat(At("slow").c_str(), &st));
  names_.Hold("List");
  std::vector<std::jthread> blocked;
  for (int i = 0; i < 20; ++i) {
    blocked.emplace_back([this, i] { ::access(At("slow/" + std::to_string(i)).c_str(), F_OK); });
  }
  ASSERT_TRUE(names_.AwaitCount("List", 3));
  EXPECT_EQ("text", ReadWholeFile(At("staged")));
  names_.Release("List");
}

TEST_P(MountTest, TheMountEndsWhileHandlersWait) {
  names_.AddDir("/slow");
  struct stat st = {};
  ASSERT_EQ(0, ::stat(At("slow").c_str(), &st));
  names_.Hold("List");
  std::jthread blocked([this] { ::access(At("slow/x").c_str(), F_OK); });
  ASSERT_TRUE(names_.AwaitCount("List", 2));
  EXPECT_TRUE(mount_->Unmount());
  blocked.join();
  names_.Release("List");
}

TEST_P(MountTest, OpenFilesAreSealedWhenTheMountEnds) {
  const int fd = ::open(At("file").c_str(), O_CREAT | O_WRONLY, 0644);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(4, ::write(fd, "text", 4));
  EXPECT_TRUE(mount_->Unmount());
  const auto overlay = store().Lookup("/file");
  ASSERT_EQ(cache::Overlay::Kind::kItem, overlay.kind);
  EXPECT_EQ(4U, overlay.item.size);
  ::close(fd);
}

TEST_P(MountTest, WhileDrainingNothingNewIsWritten) {
  const int fd = ::open(At("open").c_str(), O_CREAT | O_WRONLY, 0644);
  ASSERT_GE(fd, 0);
  mount_->session().RefuseWriters();
  EXPECT_EQ(4, ::write(fd, "text", 4));
  EXPECT_EQ(0, ::close(fd));
  EXPECT_EQ(-1, ::open(At("new").c_str(), O_CREAT | O_WRONLY, 0644));
  EXPECT_EQ(EROFS, errno);
  EXPECT_EQ("text", ReadWholeFile(At("open")));
}

TEST_P(MountTest, AReadOnlyMountRefusesEveryChange) {
  AddRemote("/file", "text");
  MountOptions options;
  options.read_only = true;
  options.passthrough = GetParam();
  Mount(options);
  EXPECT_EQ("text", ReadWholeFile(At("file")));
  EXPECT_EQ(-1, ::open(At("file").c_str(), O_WRONLY));
  EXPECT_EQ(EROFS, errno);
  EXPECT_EQ(-1, ::unlink(At("file").c_str()));
  EXPECT_EQ(EROFS, errno);
}

TEST_P(MountTest, TheMountpointIsChecked) {
  cache::Store& some_store = store();
  const auto mount = [&](const std::string& path) {
    MountOptions options;
    options.mountpoint = path;
    const auto session =
        MountSession::Mount(options, {some_store, names_, mount_->dirs(), downloads_, RealClock()});
    return session ? 0 : session.error().code;
  };
  const test::TempDir dir;
  EXPECT_EQ(EBUSY, mount(mount_->path()));
  EXPECT_EQ(ENOENT, mount(dir / "missing"));
  WriteFile(dir / "file", "x");
  EXPECT_EQ(ENOTDIR, mount(dir / "file"));
  EXPECT_EQ(ENOTEMPTY, mount(dir.path()));
}

}  // namespace
}  // namespace outboxfs::fs
