// Changing remote files in place: what is not touched is not downloaded before the close, and the
// result is the old file with the changes, also when the daemon is killed on the way.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

constexpr size_t kSize = (24 << 20) + 77;

class InPlaceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    WriteFile(server_.Local("/file"), content_);
    mount_ = std::make_unique<ProgramMount>(
        test::MountSpec{.remote = server_->endpoint(), .token = server_->token()});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
  }
  void Patch(size_t offset, const std::string& bytes) {
    const std::string part = mount_->dir() / "part";
    WriteFile(part, bytes);
    const Finished dd = RunProgram({"dd", "if=" + part, "of=" + *mount_ / "file", "conv=notrunc",
                                    "bs=1", "seek=" + std::to_string(offset), "status=none"});
    ASSERT_EQ(dd.exit_code, 0) << dd.err;
    expected_.replace(offset, std::min(bytes.size(), expected_.size() - offset), bytes);
  }
  void ExpectUploaded() {
    const Finished waited = mount_->WaitUploaded();
    ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
    EXPECT_TRUE(ReadWholeFile(server_.Local("/file")) == expected_);
    EXPECT_TRUE(ReadWholeFile(*mount_ / "file") == expected_);
    EXPECT_TRUE(Eventually([&] { return mount_->StagedFiles() == 0; }));
  }

  const std::string content_ = Pattern(kSize);
  std::string expected_ = content_;
  TestServer server_{Knobs{}};
  std::unique_ptr<ProgramMount> mount_;
};

TEST_F(InPlaceTest, APatchInTheMiddle) {
  Patch(10'000'000, "patched");
  ExpectUploaded();
}

TEST_F(InPlaceTest, AppendingTruncatingAndGrowing) {
  {
    std::ofstream(*mount_ / "file", std::ios::app) << "appended";
    expected_ += "appended";
  }
  ExpectUploaded();
  fs::resize_file(*mount_ / "file", 5'000'000);
  fs::resize_file(*mount_ / "file", 5'000'100);
  expected_.resize(5'000'000);
  expected_.resize(5'000'100);
  ExpectUploaded();
}

TEST_F(InPlaceTest, RenamedWhileItWasChanged) {
  Patch(100, "patched");
  fs::rename(*mount_ / "file", *mount_ / "renamed");
  const Finished waited = mount_->WaitUploaded();
  ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
  EXPECT_TRUE(ReadWholeFile(server_.Local("/renamed")) == expected_);
  EXPECT_FALSE(fs::exists(server_.Local("/file")));
}

TEST_F(InPlaceTest, AKilledDaemonGoesOnWithAClosedFile) {
  Patch(10'000'000, "patched");
  mount_->Kill();
  ASSERT_TRUE(mount_->Mount()) << mount_->error();
  EXPECT_TRUE(ReadWholeFile(*mount_ / "file") == expected_);
  ExpectUploaded();
}

TEST_F(InPlaceTest, AKilledDaemonKeepsWhatWasWrittenAndDoesNotUploadIt) {
  const std::string pid = mount_->Pid();
  const int fd = ::open((*mount_ / "file").c_str(), O_WRONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  ASSERT_EQ(7, ::pwrite(fd, "patched", 7, 10'000'000));
  expected_.replace(10'000'000, 7, "patched");
  mount_->Kill(pid);
  ::close(fd);
  ASSERT_TRUE(Eventually([&] { return mount_->Mount(); })) << mount_->error();
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 1);
  EXPECT_THAT(mount_->Status(".items[].state"), HasSubstr("interrupted"));
  EXPECT_TRUE(ReadWholeFile(*mount_ / "file") == expected_);
  EXPECT_TRUE(ReadWholeFile(server_.Local("/file")) == content_);
  EXPECT_EQ(mount_->Outboxfs({"retry", *mount_ / "file"}).exit_code, 0);
  ExpectUploaded();
}

TEST_F(InPlaceTest, OpenedForWritingAndLeftAloneNothingIsFetchedOrSent) {
  const int fd = ::open((*mount_ / "file").c_str(), O_RDWR);
  ASSERT_GE(fd, 0);
  ::close(fd);
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 0);
  EXPECT_EQ(server_->counters().bytes_received, 0U);
}

}  // namespace
}  // namespace outboxfs
