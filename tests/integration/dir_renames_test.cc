// Directories that are renamed while files in them are being uploaded, with the real program: the
// names are right at once, the server follows, no byte is sent twice, and nothing is lost when the
// daemon is killed in between.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using server::Phase;
using test::Eventually;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TestServer;
using test::WriteFile;

constexpr size_t kSize = 600'000;

class DirRenames : public ::testing::TestWithParam<bool> {
 protected:
  DirRenames() {
    fs::create_directory(server_.Local("/work"));
    test::MountSpec spec{.remote = server_->endpoint() + "/work", .token = server_->token()};
    spec.flags = {"--write-back", "0s"};
    mount_ = std::make_unique<ProgramMount>(spec);
  }
  void SetUp() override {
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    pid_ = mount_->Pid();
    ASSERT_TRUE(fs::create_directories(Here("/series/one")));
    WriteFile(Here("/series/one/done"), "uploaded before");
    ASSERT_EQ(0, mount_->WaitUploaded().exit_code);
    server_.Change([](Knobs& knobs) { knobs.hold = Phase::kTransferring; });
    content_ = Pattern(kSize, 7);
    WriteFile(Here("/series/one/running"), content_);
    ASSERT_TRUE(Eventually([&] { return StateOf("/series/one/running") == "serving"; }));
    received_ = server_->counters().bytes_received;
  }
  std::string Here(const std::string& path) const { return mount_->path() + path; }
  std::string There(const std::string& path) const { return server_.Local("/work" + path); }
  std::string StateOf(const std::string& path) const {
    return mount_->Status(".items[] | select(.path == \"" + path + "\") | .state");
  }
  void Rename(const std::string& from, const std::string& to) {
    ASSERT_EQ(0, ::rename(Here(from).c_str(), Here(to).c_str())) << std::strerror(errno);
  }
  void KillIfAsked() {
    if (!GetParam()) return;
    mount_->Kill(pid_);
    ASSERT_TRUE(Eventually([&] { return mount_->Mount(); })) << mount_->error();
  }
  void LetUploadsEnd() {
    server_.Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
    const auto waited = mount_->WaitUploaded();
    ASSERT_EQ(0, waited.exit_code) << waited.err << mount_->Status(".items");
  }
  // `sent`: besides the file that was running.
  void ExpectSentOnce(uint64_t sent) {
    constexpr uint64_t kSlack = 2 * 32'768;
    EXPECT_LE(server_->counters().bytes_received - received_,
              kSize + sent + (GetParam() ? kSlack : 0));
  }
  // Of a mount or of the server: paths, and what is in the files.
  static std::map<std::string, std::string> TreeOf(const std::string& root) {
    std::map<std::string, std::string> tree;
    for (const auto& entry : fs::recursive_directory_iterator(root)) {
      const std::string path = fs::relative(entry.path(), root).string();
      tree[path] = entry.is_directory() ? "/" : ReadWholeFile(entry.path().string());
    }
    return tree;
  }
  void ExpectBoth(const std::map<std::string, std::string>& tree) const {
    EXPECT_TRUE(TreeOf(Here("/series")) == tree) << NamesOf(TreeOf(Here("/series")));
    EXPECT_TRUE(TreeOf(There("/series")) == tree) << NamesOf(TreeOf(There("/series")));
  }
  static std::string NamesOf(const std::map<std::string, std::string>& tree) {
    std::string names;
    for (const auto& [path, content] : tree) names += path + "\n";
    return names;
  }

  TestServer server_{Knobs{.hashes = {{2, 0}}, .read_size = 32'768, .reads_in_flight = 2}};
  std::unique_ptr<ProgramMount> mount_;
  std::string pid_;
  std::string content_;
  uint64_t received_ = 0;
};

TEST_P(DirRenames, WhatComesAfterwardsWaitsAndArrives) {
  Rename("/series/one", "/series/1");
  WriteFile(Here("/series/1/later"), "written to the new name");
  fs::create_directory(Here("/series/1/sub"));
  WriteFile(Here("/series/1/sub/file"), "in a new directory");
  fs::create_directory(Here("/series/one"));
  WriteFile(Here("/series/one/running"), "another file of the old name");
  const std::map<std::string, std::string> tree = {{"1", "/"},
                                                   {"1/done", "uploaded before"},
                                                   {"1/running", content_},
                                                   {"1/later", "written to the new name"},
                                                   {"1/sub", "/"},
                                                   {"1/sub/file", "in a new directory"},
                                                   {"one", "/"},
                                                   {"one/running", "another file of the old name"}};
  EXPECT_TRUE(TreeOf(Here("/series")) == tree) << NamesOf(TreeOf(Here("/series")));
  KillIfAsked();
  EXPECT_TRUE(TreeOf(Here("/series")) == tree) << NamesOf(TreeOf(Here("/series")));
  EXPECT_EQ("renaming", StateOf("/series/1"));
  EXPECT_TRUE(Eventually([&] { return StateOf("/series/1/later") == "queued"; }));
  LetUploadsEnd();
  ExpectBoth(tree);
  ExpectSentOnce(200);
}

TEST_P(DirRenames, AgainAndAgainEndsUnderTheLastName) {
  Rename("/series/one", "/series/two");
  Rename("/series/two", "/series/three");
  KillIfAsked();
  fs::create_directory(Here("/series/box"));
  Rename("/series/three", "/series/box/four");
  LetUploadsEnd();
  ExpectBoth({{"box", "/"},
              {"box/four", "/"},
              {"box/four/done", "uploaded before"},
              {"box/four/running", content_}});
  ExpectSentOnce(0);
}

TEST_P(DirRenames, WhatIsAboveItToo) {
  Rename("/series/one", "/series/two");
  Rename("/series", "/shows");
  KillIfAsked();
  EXPECT_FALSE(fs::exists(Here("/series")));
  EXPECT_TRUE(ReadWholeFile(Here("/shows/two/running")) == content_);
  Rename("/shows", "/series");
  LetUploadsEnd();
  ExpectBoth({{"two", "/"}, {"two/done", "uploaded before"}, {"two/running", content_}});
  ExpectSentOnce(0);
}

TEST_P(DirRenames, SwappedWithAnother) {
  fs::create_directory(Here("/series/other"));
  WriteFile(Here("/series/other/small"), "");
  Rename("/series/one", "/series/swap");
  Rename("/series/other", "/series/one");
  Rename("/series/swap", "/series/other");
  KillIfAsked();
  LetUploadsEnd();
  ExpectBoth({{"one", "/"},
              {"one/small", ""},
              {"other", "/"},
              {"other/done", "uploaded before"},
              {"other/running", content_}});
  ExpectSentOnce(0);
}

TEST_P(DirRenames, DeletedAfterwardsItGoesThereToo) {
  Rename("/series/one", "/series/two");
  KillIfAsked();
  fs::remove_all(Here("/series/two"));
  LetUploadsEnd();
  ExpectBoth({});
}

TEST_P(DirRenames, WhatItWasInIsRemoved) {
  Rename("/series/one", "/moved");
  ASSERT_EQ(0, ::rmdir(Here("/series").c_str())) << std::strerror(errno);
  EXPECT_FALSE(fs::exists(Here("/series")));
  KillIfAsked();
  EXPECT_FALSE(fs::exists(Here("/series")));
  Rename("/moved", "/series");
  LetUploadsEnd();
  ExpectBoth({{"done", "uploaded before"}, {"running", content_}});
  ExpectSentOnce(0);
}

TEST_P(DirRenames, TheRunningFileIsMovedOutAndItsDirectoryIsRemoved) {
  Rename("/series/one/running", "/series/running");
  Rename("/series/one/done", "/series/done");
  ASSERT_EQ(0, ::rmdir(Here("/series/one").c_str())) << std::strerror(errno);
  KillIfAsked();
  LetUploadsEnd();
  ExpectBoth({{"done", "uploaded before"}, {"running", content_}});
  ExpectSentOnce(0);
}

TEST_P(DirRenames, TheRunningFileIsMovedOutAndWrittenAgain) {
  Rename("/series/one", "/series/two");
  Rename("/series/two/running", "/series/out");
  KillIfAsked();
  WriteFile(Here("/series/out"), "newer");
  LetUploadsEnd();
  ExpectBoth({{"two", "/"}, {"two/done", "uploaded before"}, {"out", "newer"}});
}

INSTANTIATE_TEST_SUITE_P(All, DirRenames, ::testing::Bool(), [](const auto& tested) {
  return std::string(tested.param ? "Killed" : "Alive");
});

}  // namespace
}  // namespace outboxfs
