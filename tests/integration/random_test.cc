// Random operations on a mount and on a plain directory side by side, while the server drops,
// delays and fails: every answer and every tree must be the same, and in the end the server's.
//
// Everything comes from a seed, which a failure names:
//   OUTBOXFS_RANDOM_SEED=N   only this seed, in each test
//   OUTBOXFS_RANDOM_OPS=N    so many operations per seed
//   OUTBOXFS_RANDOM_SEEDS=N  so many seeds from the first one on
//   OUTBOXFS_RANDOM_TRACE=1  all operations are printed, and the mount logs everything
// The operations and the moods of the server come from the seed; how far the uploads are when an
// operation comes does not, so a race may take a few runs to show again.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>

#include "support/chaos.h"
#include "support/program.h"
#include "support/random_walk.h"
#include "support/temp_dir.h"
#include "support/test_server.h"
#include "support/twin.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using test::Chaos;
using test::Eventually;
using test::Finished;
using test::Pattern;
using test::ProgramMount;
using test::Random;
using test::RandomWalk;
using test::RunProgram;
using test::TestServer;
using test::Twin;
using test::Variable;
using test::WriteFile;

struct Plan {
  uint64_t first_seed = 1;
  uint64_t seeds = 1;
  uint64_t operations = 1000;
  bool chaos = false;
  bool kills = false;
  bool moving = false;  // directories, while uploads in them are under way
  std::vector<std::string> flags;
};

class Run {
 public:
  Run(const Plan& plan, uint64_t seed)
      : plan_(plan),
        random_(seed),
        chaos_(server_, seed + 1'000'000, plan.moving),
        title_("seed " + std::to_string(seed)) {
    MakeRemoteTree();
    test::MountSpec spec{.remote = server_->endpoint() + "/work", .token = server_->token()};
    spec.flags = {"--temp-hold", "300ms", "--umask", "022"};
    spec.flags.insert(spec.flags.end(), plan.flags.begin(), plan.flags.end());
    if (Twin::Tracing()) spec.flags.insert(spec.flags.end(), {"--log-level", "debug"});
    mount_ = std::make_unique<ProgramMount>(spec);
    twin_ = std::make_unique<Twin>(mount_->path(), model_.path(), [this] { chaos_.Calm(); });
    twin_->SetTitle(title_);
    walk_ = std::make_unique<RandomWalk>(*twin_, seed + 2'000'000, plan.moving);
  }
  void Go() {
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    if (plan_.kills) pid_ = mount_->Pid();
    for (uint64_t i = 0; i < plan_.operations && twin_->ok(); ++i) Step();
    walk_->CloseAll();
    if (twin_->ok()) ExpectUploaded(true);
    if (!twin_->ok()) ShowServer();
  }
  const Twin& twin() const { return *twin_; }
  // Renames and removals that the server followed later.
  uint64_t deferred() const {
    const std::string log = mount_->Log();
    uint64_t count = 0;
    for (size_t at = 0; (at = log.find("the server follows", at)) != std::string::npos; ++at) {
      ++count;
    }
    return count;
  }

 private:
  // What was there before the mount.
  void MakeRemoteTree() {
    fs::create_directories(server_.Local("/work/d/ü"));
    fs::create_directory(server_.Local("/work/b"));
    for (const auto& [name, size] : std::vector<std::pair<std::string, size_t>>{
             {"a", 2'500'000}, {"d/c", 300'000}, {"d/ü/f.txt", 10}, {"b/a", 0}}) {
      WriteFile(server_.Local("/work/" + name), Pattern(size, size));
    }
    fs::copy(server_.Local("/work"), model_.path(), fs::copy_options::recursive);
  }
  void Step() {
    if (plan_.chaos && random_.Percent(plan_.moving ? 25 : 6))
      twin_->Note("server: " + chaos_.Stir());
    walk_->Step();
    if (random_.Percent(2)) twin_->CompareTrees(random_.Percent(50));
    if (random_.Below(1000) < 8) ExpectUploaded(false);
    if (random_.Below(1000) < 5) MountAgain();
    if (plan_.kills && random_.Below(1000) < 12) Kill();
  }
  // Files that are open for writing are not: `wait` waits for them too.
  void ExpectUploaded(bool evicted) {
    if (!twin_->ok()) return;
    walk_->CloseAll();
    twin_->Note("wait for the uploads");
    chaos_.Calm();
    const Finished retried = mount_->Outboxfs({"retry", mount_->path()});
    // Longer than a lying server is believed to lag (UploadOptions::verify_patience).
    const Finished waited = mount_->WaitUploaded("240s");
    if (waited.exit_code != 0) {
      return twin_->Differs("not uploaded: " + waited.err + mount_->Status(".items"));
    }
    // The server's own directory has hidden names, which nothing else may have.
    const Finished diff = RunProgram({"diff", "-r", server_.Local("/work"), model_.path()});
    if (diff.exit_code != 0) twin_->Differs("the server has: " + diff.out + diff.err);
    if (evicted && !Eventually([&] { return mount_->StagedFiles() == 0; })) {
      twin_->Differs("staged bytes are left");
    }
    twin_->CompareTrees(true);
  }
  void MountAgain() {
    walk_->CloseAll();
    if (!twin_->ok()) return;
    const bool drain = random_.Percent(40);
    twin_->Note(drain ? "unmount, mount" : "unmount without draining, mount");
    if (drain) chaos_.Calm();
    const Finished left = drain ? mount_->Unmount() : mount_->Unmount({"--no-drain"});
    // Draining does not wait for temporary names.
    const bool only_held = !left.err.empty() && left.err.find("\n", 0) + 1 == left.err.size() &&
                           left.err.starts_with("held: ");
    if (left.exit_code != 0 && (left.exit_code != 3 || (drain && !only_held))) {
      return twin_->Differs("unmount: " + left.err);
    }
    MountIt();
  }
  void Kill() {
    walk_->CloseAll();
    if (!twin_->ok()) return;
    twin_->Note("kill, mount");
    mount_->Kill(pid_);  // at once: the kernel may not even have told it of the last close
    MountIt();
  }
  void MountIt() {
    chaos_.Calm();
    if (!Eventually([&] { return mount_->Mount(); })) {
      return twin_->Differs("mount: " + mount_->error());
    }
    if (plan_.kills) pid_ = mount_->Pid();
    twin_->ForgetInodes();
    twin_->CompareTrees(random_.Percent(50));
  }
  void ShowServer() {
    const Finished found = RunProgram({"find", server_.Local("/work"), "-printf", "%P %y %s\\n"});
    std::printf("on the server:\n%s", found.out.c_str());
  }

  const Plan plan_;
  Random random_;
  TestServer server_{server::Knobs{}};
  Chaos chaos_;
  const std::string title_;
  test::TempDir model_;
  std::unique_ptr<ProgramMount> mount_;
  std::string pid_;
  std::unique_ptr<Twin> twin_;
  std::unique_ptr<RandomWalk> walk_;
};

void RunSeeds(Plan plan) {
  const uint64_t only = Variable("OUTBOXFS_RANDOM_SEED", 0);
  if (only != 0) plan.first_seed = only;
  plan.seeds = Variable("OUTBOXFS_RANDOM_SEEDS", only != 0 ? 1 : plan.seeds);
  plan.operations = Variable("OUTBOXFS_RANDOM_OPS", plan.operations);
  uint64_t calls = 0;
  uint64_t repeated = 0;
  uint64_t deferred = 0;
  for (uint64_t i = 0; i < plan.seeds && !::testing::Test::HasFailure(); ++i) {
    Run run(plan, plan.first_seed + i);
    run.Go();
    calls += run.twin().calls();
    repeated += run.twin().repeated();
    deferred += run.deferred();
  }
  std::printf("%llu calls compared, %llu tried again after a fault, %llu deferred\n",
              static_cast<unsigned long long>(calls), static_cast<unsigned long long>(repeated),
              static_cast<unsigned long long>(deferred));
}

TEST(RandomTest, AGoodServer) { RunSeeds({.operations = 500}); }

TEST(RandomTest, AGoodServerThroughTheDaemon) {
  RunSeeds({.first_seed = 100, .operations = 500, .flags = {"--no-passthrough"}});
}

TEST(RandomTest, AServerThatDropsDelaysAndFails) {
  RunSeeds({.first_seed = 200, .operations = 500, .chaos = true});
}

TEST(RandomTest, AServerThatDropsDelaysAndFailsThroughTheDaemon) {
  RunSeeds({.first_seed = 300, .operations = 500, .chaos = true, .flags = {"--no-passthrough"}});
}

TEST(RandomTest, ADaemonThatIsKilled) {
  RunSeeds({.first_seed = 400, .operations = 500, .chaos = true, .kills = true});
}

TEST(RandomTest, DirectoriesThatAreMovedDuringUploads) {
  RunSeeds({.first_seed = 500,
            .operations = 500,
            .chaos = true,
            .kills = true,
            .moving = true,
            .flags = {"--write-back", "0s"}});
}

}  // namespace
}  // namespace outboxfs
