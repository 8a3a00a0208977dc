// Every call to the server fails with every status code, before or after it was carried out, while
// somebody copies, overwrites, renames, deletes and reads: once the server is well again everything
// is as the callers were told, here and there.
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <tuple>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::FailWhen;
using server::Knobs;
using test::Eventually;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::RunProgram;
using test::SameBytes;
using test::TestServer;
using test::WriteFile;

constexpr int kCodes = 16;  // of gRPC, from 1 on

class RpcErrors : public ::testing::TestWithParam<std::tuple<const char*, FailWhen>> {
 protected:
  void SetUp() override {
    fs::create_directories(server_.Local("/work/box"));
    WriteFile(server_.Local("/work/old"), "the first version");
    WriteFile(server_.Local("/work/name0"), "renamed again and again");
    for (int code = 1; code <= kCodes; ++code) {
      WriteFile(server_.Local("/work/dead" + std::to_string(code)), "to be deleted");
      WriteFile(server_.Local("/work/read" + std::to_string(code)), Pattern(70'000, code));
    }
    mount_ = std::make_unique<ProgramMount>(test::MountSpec{.remote = server_->endpoint() + "/work",
                                                            .token = server_->token(),
                                                            .flags = {"--write-back", "0s"}});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
  }
  std::string Here(const std::string& name) const { return *mount_ / name; }
  std::string There(const std::string& name) const { return server_.Local("/work/" + name); }

  // What is not told to have failed has happened, and what is told so has not.
  void Work(const std::string& code) {
    std::error_code failed;
    const std::string content = "version " + code;
    WriteFile(Here("old"), content);
    const bool made = fs::create_directory(Here("dir" + code), failed);
    const std::string fresh = (made ? "dir" + code + "/" : "") + "fresh" + code;
    WriteFile(Here(fresh), Pattern(40'000, 7));
    const std::string next = (name_.starts_with("box/") ? "" : "box/") + ("name" + code);
    fs::rename(Here(name_), Here(next), failed);
    if (!failed) name_ = next;
    const bool removed = fs::remove(Here("dead" + code), failed);
    (void)ReadWholeFile(Here("read" + code));
    struct statvfs space {};
    ::statvfs(mount_->path().c_str(), &space);

    server_->faults().Clear();
    EXPECT_EQ(mount_->Outboxfs({"retry", mount_->path()}).exit_code, 0);
    const auto waited = mount_->WaitUploaded();
    ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
    EXPECT_EQ(ReadWholeFile(There("old")), content);
    EXPECT_TRUE(SameBytes(ReadWholeFile(There(fresh)), Pattern(40'000, 7)));
    EXPECT_EQ(ReadWholeFile(There(name_)), "renamed again and again");
    EXPECT_EQ(fs::exists(There("dead" + code)), !removed);
    const auto diff = RunProgram({"diff", "-r", server_.Local("/work"), mount_->path()});
    EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
  }

  TestServer server_{Knobs{.hashes = {{2, 0}}, .rapid_known = false, .rapid_after_hash = false}};
  std::unique_ptr<ProgramMount> mount_;
  std::string name_ = "name0";
};

TEST_P(RpcErrors, NothingIsLost) {
  constexpr int kTimes = 2;
  const auto [rpc, when] = GetParam();
  for (int code = 1; code <= kCodes && !HasFailure(); ++code) {
    SCOPED_TRACE("code " + std::to_string(code));
    server_->faults().FailNext(rpc, kTimes, code, "injected", when);
    Work(std::to_string(code));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, RpcErrors,
    ::testing::Combine(::testing::Values("CreateFolder", "DeleteFile", "GetDownloadUrlPath",
                                         "GetSpaceInfo", "GetSubFiles", "GetUploadFileList",
                                         "MoveFile", "PushMessage", "RemoteHashProgress",
                                         "RemoteReadData", "RemoteUploadChannel",
                                         "RemoteUploadControl", "RenameFile", "StartRemoteUpload"),
                       ::testing::Values(FailWhen::kInstead, FailWhen::kAfter)),
    [](const auto& info) {
      const bool after = std::get<1>(info.param) == FailWhen::kAfter;
      return std::string(std::get<0>(info.param)) + (after ? "AfterIt" : "InsteadOfIt");
    });

}  // namespace
}  // namespace outboxfs
