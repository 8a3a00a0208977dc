// What programs do all the time must not cost a call to the server each: listings of large
// directories, questions for names that are not there, trees of new directories.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <map>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::TestServer;
using test::WriteFile;

using Calls = std::map<std::string, uint64_t>;  // by name; those that were not made are not there

class RemoteCalls : public ::testing::Test {
 protected:
  // Below the server's root, where directories are clouds.
  void Mount(std::vector<std::string> flags = {}) {
    fs::create_directories(server_.Local("/work"));
    flags.insert(flags.end(), {"--dir-cache-time", "1h"});
    mount_ = std::make_unique<ProgramMount>(test::MountSpec{.remote = server_->endpoint() + "/work",
                                                            .token = server_->token(),
                                                            .flags = std::move(flags)});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    // Which makes it forget what it has listed.
    EXPECT_TRUE(test::Eventually(
        [this] { return mount_->Log().find("push: the server tells") != std::string::npos; }));
    before_ = server_->counters().calls;
  }
  std::string Here(const std::string& path) const { return *mount_ / path; }
  std::string There(const std::string& path) const { return server_.Local("/work" + path); }
  // Since the last time, but for those that come by themselves now and then.
  Calls NewCalls() {
    const Calls now = server_->counters().calls;
    Calls fresh;
    for (const auto& [name, count] : now) {
      const auto known = before_.find(name);
      const uint64_t old = known == before_.end() ? 0 : known->second;
      if (count > old && name != "GetUploadFileList") fresh[name] = count - old;
    }
    before_ = now;
    return fresh;
  }

  TestServer server_;
  std::unique_ptr<ProgramMount> mount_;
  Calls before_;
};

TEST_F(RemoteCalls, ALargeDirectoryCostsOneListingAndThenNothing) {
  constexpr int kFiles = 3000;  // several messages of the server's
  fs::create_directories(There("/many"));
  for (int i = 0; i < kFiles; ++i) {
    WriteFile(There("/many/file-" + std::to_string(i)), "some text");
  }
  Mount();
  (void)fs::exists(Here("many"));  // one listing of the root
  EXPECT_EQ(NewCalls(), (Calls{{"GetSubFiles", 1}}));
  for (const Calls& calls : {Calls{{"GetSubFiles", 1}}, Calls{}}) {
    const auto listed = RunProgram({"ls", "-l", Here("many")});
    EXPECT_EQ(listed.exit_code, 0) << listed.err;
    EXPECT_EQ(std::count(listed.out.begin(), listed.out.end(), '\n'), 1 + kFiles);
    EXPECT_EQ(NewCalls(), calls);
  }
}

TEST_F(RemoteCalls, NamesThatAreNotThereCostNothingWhileTheListingIsFresh) {
  fs::create_directories(There("/dir"));
  Mount();
  EXPECT_FALSE(fs::exists(Here("dir/none")));
  EXPECT_EQ(NewCalls(), (Calls{{"GetSubFiles", 2}}));
  for (int i = 0; i < 200; ++i) {
    EXPECT_FALSE(fs::exists(Here("dir/none-" + std::to_string(i))));
    EXPECT_FALSE(fs::exists(Here("none-" + std::to_string(i) + "/deeper")));
  }
  EXPECT_EQ(NewCalls(), Calls{});
}

// Each answer takes its time: who makes a tree does not notice.
TEST_F(RemoteCalls, ATreeIsMadeAndFilledWithoutWaitingForTheServer) {
  Mount({"--write-back", "0s"});
  EXPECT_TRUE(fs::is_empty(mount_->path()));
  server_->faults().Delay("CreateFolder", 3s);
  std::string path = Here("top");
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(::mkdir(path.c_str(), 0755), 0) << path;
    WriteFile(path + "/file", "in it");
    path += "/" + std::to_string(i);
  }
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(Here("top")), {}), 49 + 50);
  EXPECT_LT(NewCalls()["CreateFolder"], 25U);
  server_->faults().Clear();
  const auto waited = mount_->WaitUploaded();
  ASSERT_EQ(waited.exit_code, 0) << waited.err;
  EXPECT_EQ(std::distance(fs::recursive_directory_iterator(There("/top")), {}), 49 + 50);
}

TEST_F(RemoteCalls, WithSyncMetadataADirectoryIsThereBeforeMkdirReturns) {
  Mount({"--sync-metadata"});
  for (const std::string path : {"one", "one/two", "one/two/three"}) {
    ASSERT_EQ(::mkdir(Here(path).c_str(), 0755), 0);
    EXPECT_TRUE(fs::is_directory(There("/" + path)));
  }
  server_->faults().FailNext("CreateFolder", 1, 7, "not here");
  EXPECT_EQ(::mkdir(Here("refused").c_str(), 0755), -1);
  EXPECT_EQ(errno, EACCES);
  EXPECT_FALSE(fs::exists(Here("refused")));
}

}  // namespace
}  // namespace outboxfs
