// Suites that others wrote for file systems, in short runs: what they check must hold, and what
// they leave must go up and the mount end cleanly.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "support/program.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Eventually;
using test::Finished;
using test::ProgramMount;
using test::RunProgram;

class Suites : public ::testing::TestWithParam<bool> {
 protected:
  // Most of what some make is gone again before it would go up.
  void Start(const std::string& write_back) {
    test::MountSpec spec{.flags = {"--write-back", write_back}};
    if (!GetParam()) spec.flags.emplace_back("--no-passthrough");
    mount_ = std::make_unique<ProgramMount>(spec);
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    fs::create_directory(here());
  }
  void TearDown() override {
    fs::remove_all(here());
    const Finished waited = mount_->WaitUploaded("240s");
    EXPECT_EQ(waited.exit_code, 0) << waited.err;
    EXPECT_FALSE(fs::exists(mount_->cloud() + "/suite"));
    EXPECT_EQ(mount_->Unmount().exit_code, 0);
  }
  std::string here() const { return *mount_ / "suite"; }
  // In the mount: some leave files where they are started.
  Finished Run(const std::string& script) const {
    Finished done = RunProgram({"bash", "-euc", "cd \"$1\"; " + script, "bash", here()});
    EXPECT_EQ(done.exit_code, 0) << done.out << done.err;
    return done;
  }
  // Everything goes up and is only on the server then.
  void UploadAll() const {
    const Finished waited = mount_->WaitUploaded();
    ASSERT_EQ(waited.exit_code, 0) << waited.err;
    ASSERT_TRUE(Eventually([&] { return mount_->StagedFiles() == 0; }));
  }

  std::unique_ptr<ProgramMount> mount_;
};

// What was written is verified at once, and once more when it comes from the server.
TEST_P(Suites, FioVerifies) {
  Start("100ms");
  const std::string fio =
      "fio --name=blocks --size=16m --nrfiles=4 --bsrange=4k-128k "
      "--ioengine=psync --verify=crc32c --verify_fatal=1 --randseed=7 ";
  for (const std::string way : {"write", "randwrite"}) {
    Run(fio + "--do_verify=1 --rw=" + way + " >/dev/null");
    UploadAll();
    Run(fio + "--verify_only=1 --rw=" + way + " >/dev/null");
    Run("rm -f blocks* local-*");
  }
}

TEST_P(Suites, Dbench) {
  Start("100ms");
  Run("dbench -t 3 -D . 4 >/dev/null");
}

// Without its tests of single bytes: through the daemon each is a request of its own.
TEST_P(Suites, Bonnie) {
  Start("100ms");
  const std::string user = ::geteuid() == 0 ? "-u root " : "";
  Run("bonnie++ -f -d . " + user + "-s 32 -r 16 -n 1:2000:0:4 -q >/dev/null 2>&1");
}

// Its file-system class, but for what wants hard or symbolic links, fifos or block devices, and
// for fiemap and verity, which FUSE has not got.
TEST_P(Suites, StressNg) {
  Start("1m");
  Run("args=(); for name in access chattr chdir chmod chown copy-file dentry dir dirdeep dup "
      "fallocate fcntl file-ioctl filename flock fpunch fstat getdent hdd inode-flags inotify io "
      "iomix lease locka lockf lockofd open rename seek sync-file utime xattr; "
      "do args+=(--$name 1); done; "
      "stress-ng \"${args[@]}\" --timeout 2s --verify --temp-path . 2>&1");
}

INSTANTIATE_TEST_SUITE_P(All, Suites, ::testing::Bool(), [](const auto& tested) {
  return std::string(tested.param ? "Passthrough" : "Daemon");
});

}  // namespace
}  // namespace outboxfs
