// Two mounts of one server: what is done in one shows in the other, long before its listings are
// too old to be believed.
#include <gtest/gtest.h>

#include <filesystem>
#include <tuple>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using test::Eventually;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TestServer;
using test::WriteFile;

// The server's words for a replaced file, and whether it mixes in the counts of its uploads.
class PushTest : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  static Knobs KnobsOf(bool modify, bool uploads) {
    Knobs knobs;
    knobs.push_modify = modify;
    knobs.push_uploads = uploads;
    knobs.binding = server::Binding::kBroadcast;  // two mounts, two channels
    return knobs;
  }
  static std::unique_ptr<ProgramMount> MountOf(TestServer& server) {
    auto mount = std::make_unique<ProgramMount>(
        test::MountSpec{.remote = server->endpoint(),
                        .token = server->token(),
                        .flags = {"--dir-cache-time", "1h", "--write-back", "0s"}});
    EXPECT_TRUE(mount->ok()) << mount->error();
    return mount;
  }
  bool Shows(const std::string& name, const std::string& content) {
    return Eventually([&] { return ReadWholeFile(*there_ / name) == content; });
  }
  bool IsGone(const std::string& name) {
    return Eventually([&] { return !fs::exists(*there_ / name); });
  }
  // Both have a listing of everything.
  void SetUp() override {
    fs::create_directory(server_.Local("/dir"));
    WriteFile(server_.Local("/dir/other"), "x");
    here_ = MountOf(server_);
    there_ = MountOf(server_);
    ASSERT_TRUE(Eventually([this] { return server_->push_streams() == 2; }));
    for (const auto* mount : {&here_, &there_}) ASSERT_TRUE(fs::exists(**mount / "dir/other"));
  }

  TestServer server_{std::apply(KnobsOf, GetParam())};
  std::unique_ptr<ProgramMount> here_;
  std::unique_ptr<ProgramMount> there_;
};

TEST_P(PushTest, WhatOneMountDoesTheOtherShows) {
  WriteFile(*here_ / "dir/file", "first");
  EXPECT_TRUE(Shows("dir/file", "first"));
  ASSERT_EQ(here_->WaitUploaded().exit_code, 0);
  WriteFile(*here_ / "dir/file", "and second");
  EXPECT_TRUE(Shows("dir/file", "and second"));
  ASSERT_EQ(here_->WaitUploaded().exit_code, 0);
  fs::rename(*here_ / "dir/file", *here_ / "dir/renamed");
  EXPECT_TRUE(IsGone("dir/file"));
  EXPECT_TRUE(Shows("dir/renamed", "and second"));
  fs::create_directory(*here_ / "new");
  EXPECT_TRUE(Eventually([this] { return fs::is_directory(*there_ / "new"); }));
  fs::rename(*here_ / "dir/renamed", *here_ / "new/moved");
  EXPECT_TRUE(Shows("new/moved", "and second"));
  EXPECT_TRUE(IsGone("dir/renamed"));
  fs::rename(*here_ / "new", *here_ / "old");
  EXPECT_TRUE(Shows("old/moved", "and second"));
  EXPECT_TRUE(IsGone("new"));
  fs::remove_all(*here_ / "old");
  EXPECT_TRUE(IsGone("old"));
  EXPECT_TRUE(fs::exists(*there_ / "dir/other"));
}
INSTANTIATE_TEST_SUITE_P(EveryKindOfNews, PushTest,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()));

}  // namespace
}  // namespace outboxfs
