// Every rename × phase: a file, or a directory with one in it, is renamed onto nothing and onto
// staged, uploading and remote targets, in each step of its way to the server, with the daemon
// killed right after and without. Always one file with the right bytes under the new name, on the
// mount at once and on the server in the end, and no byte is sent twice.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <memory>

#include "common/disk.h"
#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using server::Millis;
using server::Phase;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TestServer;
using test::WriteFile;

enum class Kind { kFile, kDir };
enum class Target { kNothing, kStaged, kUploading, kRemote };
enum class When {
  kOpen,
  kJustClosed,
  kSettling,
  kBackoff,
  kPreprocessing,
  kHashing,
  kTransferring,
  kFinishing,
  kVerifying,
  kEvicted
};
using Case = std::tuple<When, Target, Kind, bool>;

constexpr size_t kSize = 600'000;
constexpr size_t kTargetSize = 50'000;
constexpr uint64_t kSlack =
    2 * 32'768;  // what a killed daemon had sent and not heard the answer of

// One server and one mount for all cases, which have a directory each.
struct World {
  static constexpr const char* kWriteBack = "250ms";

  World() {
    test::MountSpec spec{.remote = server->endpoint(), .token = server->token()};
    spec.flags = {"--write-back", kWriteBack};
    mount = std::make_unique<ProgramMount>(spec);
  }
  void Set(const std::function<void(Knobs&)>& change) { server.Change(change); }
  void Calm() {
    server->faults().Clear();
    Set([](Knobs& knobs) {
      knobs.hold = Phase::kNone;
      knobs.listing_lag = Millis(0);
    });
  }

  TestServer server{Knobs{.hashes = {{2, 0}}, .read_size = 32'768, .reads_in_flight = 2}};
  std::unique_ptr<ProgramMount> mount;
};

class RenameMatrix : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { world_ = std::make_unique<World>(); }
  static void TearDownTestSuite() { world_.reset(); }

  void SetUp() override {
    ASSERT_TRUE(world_->mount->ok()) << world_->mount->error();
    when_ = std::get<0>(GetParam());
    target_ = std::get<1>(GetParam());
    kind_ = std::get<2>(GetParam());
    killed_ = std::get<3>(GetParam());
    const int seed = ++cases_;
    dir_ = "/case-" + std::to_string(seed);
    content_ = Pattern(kSize, static_cast<uint32_t>(seed));
    old_ = Pattern(kTargetSize, static_cast<uint32_t>(seed + 10'000));
    fs::create_directory(Here(""));
    ASSERT_EQ(Mount().WaitUploaded().exit_code, 0);
    // Asked for now: a program started later would inherit the open file, and close it.
    pid_ = Mount().Pid();
  }
  void TearDown() override { world_->Calm(); }

  static ProgramMount& Mount() { return *world_->mount; }
  std::string Here(const std::string& name) const { return Mount().path() + dir_ + name; }
  std::string There(const std::string& name) const { return world_->server.Local(dir_ + name); }
  // The file that is renamed, or that the renamed directory holds.
  std::string FileOf(const std::string& name) const {
    return kind_ == Kind::kDir ? name + "/in it" : name;
  }
  uint64_t Received() const { return world_->server->counters().bytes_received; }
  std::string StateOf(const std::string& name) const {
    return Mount().Status(".items[] | select(.path == \"" + dir_ + name + "\") | .state");
  }
  bool AwaitState(const std::string& name, const std::string& state) const {
    return Eventually([&] { return StateOf(name) == state; });
  }
  void Hold(Phase phase) const {
    world_->Set([phase](Knobs& knobs) { knobs.hold = phase; });
  }

  // ---- What stands at the new name.
  void MakeRemoteTarget() {
    if (kind_ == Kind::kDir) {
      fs::create_directory(Here("/new"));
    } else {
      WriteFile(Here("/new"), old_);
    }
    ASSERT_EQ(Mount().WaitUploaded().exit_code, 0);
  }
  void MakeTarget() {
    if (target_ == Target::kNothing || target_ == Target::kRemote) return;
    if (kind_ == Kind::kDir) {
      fs::create_directory(Here("/new"));
      return;
    }
    WriteFile(Here("/new"), old_);
    if (target_ == Target::kUploading) {
      // Some holds end a file of this size before it shows as being served.
      ASSERT_TRUE(Eventually([&] {
        const std::string state = StateOf("/new");
        return state == "serving" || state == "verifying" || state == "backoff";
      })) << StateOf("/new");
    }
  }

  // ---- How far the file is.
  void WriteSource() {
    if (kind_ == Kind::kDir) fs::create_directory(Here("/old"));
    WriteFile(Here(FileOf("/old")), content_);
  }
  void PrepareServer() {
    switch (when_) {
      case When::kPreprocessing:
        return Hold(Phase::kPreprocessing);
      case When::kHashing:
        return Hold(Phase::kHashing);
      case When::kTransferring:
        return Hold(Phase::kTransferring);
      case When::kFinishing:
        return Hold(Phase::kFinishing);
      case When::kVerifying:
        return world_->Set([](Knobs& knobs) { knobs.listing_lag = Millis(1500); });
      case When::kBackoff: {
        constexpr int kUnavailable = 14;
        world_->server->faults().FailNext("StartRemoteUpload", 1000, kUnavailable, "later");
        return;
      }
      case When::kOpen:
      case When::kJustClosed:
      case When::kSettling:
        if (target_ == Target::kUploading) Hold(Phase::kTransferring);
        return;
      case When::kEvicted:
        if (target_ == Target::kUploading || target_ == Target::kStaged) {
          Hold(Phase::kTransferring);
        }
        return;
    }
  }
  void BringSourceThere() {
    switch (when_) {
      case When::kOpen:
        if (kind_ == Kind::kDir) fs::create_directory(Here("/old"));
        open_ = FileDescriptor(::open(Here(FileOf("/old")).c_str(), O_WRONLY | O_CREAT, 0644));
        ASSERT_GE(open_.get(), 0);
        ASSERT_EQ(::write(open_.get(), content_.data(), kSize / 2), kSize / 2);
        return;
      case When::kJustClosed:
        return WriteSource();
      case When::kSettling:
        WriteSource();
        ASSERT_TRUE(Eventually([&] { return StateOf(FileOf("/old")) != ""; }));
        return;
      case When::kBackoff:
        WriteSource();
        ASSERT_TRUE(AwaitState(FileOf("/old"), "backoff")) << StateOf(FileOf("/old"));
        return;
      case When::kPreprocessing:
      case When::kHashing:
      case When::kTransferring:
      case When::kFinishing:
        WriteSource();
        ASSERT_TRUE(AwaitState(FileOf("/old"), "serving")) << StateOf(FileOf("/old"));
        return;
      case When::kVerifying:
        WriteSource();
        ASSERT_TRUE(AwaitState(FileOf("/old"), "verifying")) << StateOf(FileOf("/old"));
        return;
      case When::kEvicted:
        return;  // before the server was told to hold anything
    }
  }

  void ExpectShown(const std::string& content) const {
    EXPECT_TRUE(ReadWholeFile(Here(FileOf("/new"))) == content)
        << fs::file_size(Here(FileOf("/new"))) << " bytes";
    EXPECT_FALSE(fs::exists(Here("/old")));
    EXPECT_EQ(std::distance(fs::directory_iterator(Here("")), fs::directory_iterator()), 1);
  }
  // All names below the case's directory on the server, hidden ones too.
  std::vector<std::string> NamesThere() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(There(""))) {
      names.push_back(fs::relative(entry.path(), There("")).string());
    }
    return names;
  }

  When when_{};
  Target target_{};
  Kind kind_{};
  bool killed_ = false;
  std::string dir_;      // of this case, in the mount
  std::string content_;  // of what is renamed
  std::string old_;      // of the target
  FileDescriptor open_;
  std::string pid_;  // of the daemon

 private:
  static std::unique_ptr<World> world_;
  static int cases_;
};

std::unique_ptr<World> RenameMatrix::world_;
int RenameMatrix::cases_ = 0;

TEST_P(RenameMatrix, EndsAsOneFileUnderTheNewName) {
  if (target_ == Target::kRemote) MakeRemoteTarget();
  if (when_ == When::kEvicted) {
    WriteSource();
    ASSERT_EQ(Mount().WaitUploaded().exit_code, 0);
  }
  const uint64_t before = Received();
  PrepareServer();
  MakeTarget();
  BringSourceThere();
  ASSERT_FALSE(HasFatalFailure());

  ASSERT_EQ(::rename(Here("/old").c_str(), Here("/new").c_str()), 0) << std::strerror(errno);
  std::string expected = content_;
  if (when_ == When::kOpen) {
    expected.resize(kSize / 2);
    ExpectShown(expected);
    if (!killed_) {
      ASSERT_EQ(::write(open_.get(), content_.data() + kSize / 2, kSize / 2), kSize / 2);
      expected = content_;
    }
  } else {
    ExpectShown(expected);
  }
  if (killed_) {
    Mount().Kill(pid_);
    open_ = FileDescriptor();
    ASSERT_TRUE(Eventually([] { return Mount().Mount(); })) << Mount().error();
    ExpectShown(expected);
  }
  open_ = FileDescriptor();
  TearDown();  // the server holds nothing any more
  ASSERT_EQ(Mount().Outboxfs({"retry", Mount().path()}).exit_code, 0);
  const Finished waited = Mount().WaitUploaded();
  ASSERT_EQ(waited.exit_code, 0) << waited.err << Mount().Status(".items");
  ExpectShown(expected);

  std::vector<std::string> names = {"new"};
  if (kind_ == Kind::kDir) names.emplace_back("new/in it");
  EXPECT_EQ(NamesThere(), names);
  EXPECT_TRUE(ReadWholeFile(There(FileOf("/new"))) == expected);
  const bool target_may_be_sent = target_ == Target::kStaged || target_ == Target::kUploading;
  const uint64_t sent_once = (when_ == When::kEvicted ? 0 : expected.size()) +
                             (target_may_be_sent ? kTargetSize : 0) + (killed_ ? kSlack : 0);
  EXPECT_LE(Received() - before, sent_once);
}

std::string NameOfCase(const ::testing::TestParamInfo<Case>& info) {
  constexpr std::array kWhen = {"Open",          "JustClosed", "Settling",     "Backoff",
                                "Preprocessing", "Hashing",    "Transferring", "Finishing",
                                "Verifying",     "Evicted"};
  constexpr std::array kTarget = {"Nothing", "Staged", "Uploading", "Remote"};
  const auto [when, target, kind, killed] = info.param;
  return std::string(kWhen.at(static_cast<size_t>(when))) +
         (kind == Kind::kFile ? "FileOnto" : "DirOnto") + kTarget.at(static_cast<size_t>(target)) +
         (killed ? "Killed" : "");
}

constexpr std::array kEveryWhen = {
    When::kOpen,    When::kJustClosed,   When::kSettling,  When::kBackoff,   When::kPreprocessing,
    When::kHashing, When::kTransferring, When::kFinishing, When::kVerifying, When::kEvicted};

INSTANTIATE_TEST_SUITE_P(Files, RenameMatrix,
                         ::testing::Combine(::testing::ValuesIn(kEveryWhen),
                                            ::testing::Values(Target::kNothing, Target::kStaged,
                                                              Target::kUploading, Target::kRemote),
                                            ::testing::Values(Kind::kFile), ::testing::Bool()),
                         NameOfCase);
// rename(2) wants an empty directory as target; one that is uploading is one that is staged.
INSTANTIATE_TEST_SUITE_P(Directories, RenameMatrix,
                         ::testing::Combine(::testing::ValuesIn(kEveryWhen),
                                            ::testing::Values(Target::kNothing, Target::kStaged,
                                                              Target::kRemote),
                                            ::testing::Values(Kind::kDir), ::testing::Bool()),
                         NameOfCase);

}  // namespace
}  // namespace outboxfs
