// Every call to the server fails with every status code, before or after it was carried out, while
// somebody copies, overwrites, renames, deletes and reads: once the server is well again everything
// is as the callers were told, here and there.
#include <gtest/gtest.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <thread>
#include <vector>

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

// A server and a mount of their own.
class Site {
 public:
  Site() {
    fs::create_directories(server_.Local("/work/box"));
    WriteFile(server_.Local("/work/old"), "the first version");
    WriteFile(server_.Local("/work/name"), "renamed again and again");
    for (int code = 1; code <= kCodes; ++code) {
      WriteFile(server_.Local("/work/dead" + std::to_string(code)), "to be deleted");
      WriteFile(server_.Local("/work/read" + std::to_string(code)), Pattern(70'000, code));
    }
    mount_ = std::make_unique<ProgramMount>(test::MountSpec{.remote = server_->endpoint() + "/work",
                                                            .token = server_->token(),
                                                            .flags = {"--write-back", "0s"}});
    EXPECT_TRUE(mount_->ok()) << mount_->error();
  }

  // What was not told to have failed has happened, and what was told so has not.
  void Work(const char* rpc, int number, FailWhen when) {
    constexpr int kTimes = 2;
    server_->faults().FailNext(rpc, kTimes, number, "injected", when);
    const std::string code = std::to_string(number);
    const std::string what = std::string(rpc) + ", code " + code;
    std::error_code failed;
    if (Written(Here("old"), "version " + code)) old_ = "version " + code;
    const bool made = fs::create_directory(Here("dir" + code), failed);
    const std::string fresh = (made ? "dir" + code + "/" : "") + "fresh" + code;
    const bool written = Written(Here(fresh), Pattern(40'000, 7));
    const std::string next = (name_.starts_with("box/") ? "" : "box/") + ("name" + code);
    fs::rename(Here(name_), Here(next), failed);
    if (!failed) name_ = next;
    const bool removed = fs::remove(Here("dead" + code), failed);
    (void)ReadWholeFile(Here("read" + code));
    struct statvfs space {};
    ::statvfs(mount_->path().c_str(), &space);

    server_->faults().Clear();
    // The error may come only now.
    test::Finished waited;
    EXPECT_TRUE(Eventually([&] {
      mount_->Outboxfs({"retry", mount_->path()});
      waited = mount_->WaitUploaded("1s");
      return waited.exit_code == 0;
    })) << what
        << waited.err << mount_->Status(".items");
    EXPECT_EQ(ReadWholeFile(There("old")), old_) << what;
    EXPECT_TRUE(!written || SameBytes(ReadWholeFile(There(fresh)), Pattern(40'000, 7))) << what;
    EXPECT_EQ(ReadWholeFile(There(name_)), "renamed again and again") << what;
    EXPECT_EQ(fs::exists(There("dead" + code)), !removed) << what;
    // For some seconds after an error the server is not asked.
    test::Finished diff;
    EXPECT_TRUE(Eventually([&] {
      diff = RunProgram({"diff", "-r", server_.Local("/work"), mount_->path()});
      return diff.exit_code == 0;
    })) << what
        << diff.out << diff.err;
  }

 private:
  static bool Written(const std::string& path, const std::string& content) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << content;
    out.close();
    return out.good();
  }
  std::string Here(const std::string& name) const { return *mount_ / name; }
  std::string There(const std::string& name) const { return server_.Local("/work/" + name); }

  TestServer server_{Knobs{.hashes = {{2, 0}}, .rapid_known = false, .rapid_after_hash = false}};
  std::unique_ptr<ProgramMount> mount_;
  std::string name_ = "name";
  std::string old_ = "the first version";
};

class RpcErrors : public ::testing::TestWithParam<const char*> {};

// Most of the time each of them waits, so several go on at once.
TEST_P(RpcErrors, NothingIsLost) {
  constexpr int kSites = 8;
  std::vector<std::jthread> sites;
  for (int first = 1; first <= kSites; ++first) {
    sites.emplace_back([first, rpc = GetParam()] {
      Site site;
      for (int code = first; code <= kCodes && !HasFailure(); code += kSites) {
        site.Work(rpc, code, code % 3 == 0 ? FailWhen::kAfter : FailWhen::kInstead);
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(All, RpcErrors,
                         ::testing::Values("CreateFolder", "DeleteFile", "GetDownloadUrlPath",
                                           "GetSpaceInfo", "GetSubFiles", "GetUploadFileList",
                                           "MoveFile", "PushMessage", "RemoteHashProgress",
                                           "RemoteReadData", "RemoteUploadChannel",
                                           "RemoteUploadControl", "RenameFile",
                                           "StartRemoteUpload"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace outboxfs
