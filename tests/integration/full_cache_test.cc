// The disk of the cache is full: writers are told, what frees room works, nothing is lost.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using test::Eventually;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TempDir;
using test::TestServer;

class FullCacheTest : public ::testing::Test {
 protected:
  static constexpr size_t kSize = 3'000'000;

  void SetUp() override {
    ASSERT_EQ(::mount("tmpfs", disk_.path().c_str(), "tmpfs", 0, "size=64m,mode=700"), 0);
    server_.Change([](Knobs& knobs) { knobs.hold = server::Phase::kTransferring; });
    mount_.emplace(test::MountSpec{.remote = server_->endpoint(),
                                   .token = server_->token(),
                                   .flags = {"--cache-dir", disk_ / "cache"}});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    Fill();
  }
  void TearDown() override {
    server_.Change([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
    mount_.reset();
    ::umount2(disk_.path().c_str(), MNT_DETACH);
  }

  static std::string Name(size_t number) { return "f" + std::to_string(number); }
  bool Write(size_t number) {
    std::ofstream file(*mount_ / Name(number), std::ios::binary);
    file << Pattern(kSize, static_cast<unsigned>(number));
    file.close();
    return file.good();
  }
  // Until a writer is refused; files_ of them were closed well.
  void Fill() {
    while (Write(files_)) ASSERT_LT(++files_, 100U);
    std::error_code error;
    fs::remove(*mount_ / Name(files_), error);
    ASSERT_GT(files_, 10U);
  }
  void ExpectAllAtTheServer(size_t from) {
    for (size_t i = from; i < files_; ++i) {
      EXPECT_TRUE(ReadWholeFile(server_.Local("/" + Name(i))) ==
                  Pattern(kSize, static_cast<unsigned>(i)))
          << Name(i);
    }
  }
  void LetGo() {
    server_.Change([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
  }

  TempDir disk_;
  TestServer server_;
  std::optional<ProgramMount> mount_;
  size_t files_ = 0;
};

TEST_F(FullCacheTest, FilesCanBeDeletedAndUploaded) {
  EXPECT_TRUE(fs::remove(*mount_ / Name(0)));
  fs::rename(*mount_ / Name(1), *mount_ / "renamed");
  LetGo();
  EXPECT_EQ(mount_->WaitUploaded("60s").exit_code, 0) << mount_->Status(".items");
  EXPECT_FALSE(fs::exists(server_.Local("/" + Name(0))));
  EXPECT_TRUE(ReadWholeFile(server_.Local("/renamed")) == Pattern(kSize, 1));
  ExpectAllAtTheServer(2);
  EXPECT_TRUE(Eventually([&] { return Write(files_); })) << "there is room again";
}

TEST_F(FullCacheTest, TheNextMountGoesOnAfterKill) {
  mount_->Kill();
  ASSERT_TRUE(mount_->Mount()) << mount_->error();
  LetGo();
  EXPECT_EQ(mount_->WaitUploaded("60s").exit_code, 0) << mount_->Status(".items");
  ExpectAllAtTheServer(0);
}

}  // namespace
}  // namespace outboxfs
