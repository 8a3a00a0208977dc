// A daemon that is killed again and again, at any moment and at named places in its own work, while
// somebody writes, renames and deletes: whatever was acknowledged is there after the next start,
// nothing torn is ever uploaded, and in the end the server has all of it once.
//
// Everything but the moments of the kills comes from a seed, which is printed:
//   OUTBOXFS_KILLS=N      so many kills (tests/run --soak N), each with something under way
//   OUTBOXFS_KILL_SEED=N  another seed
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <sstream>
#include <thread>

#include "common/mutex.h"
#include "common/thread.h"
#include "support/kill_worker.h"
#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using server::Knobs;
using test::Eventually;
using test::IsOnTheWay;
using test::KillWorker;
using test::Model;
using test::ModelFile;
using test::ProgramMount;
using test::Random;
using test::ReadWholeFile;
using test::RunProgram;
using test::TestServer;
using test::Variable;

// Kills `pid` after a while, unless it has died by then.
class Killer {
 public:
  Killer(pid_t pid, std::chrono::milliseconds after)
      : thread_(StartThread("killer", [pid, after, this](const std::stop_token& stop) {
          const auto until = std::chrono::steady_clock::now() + after;
          MutexLock lock(mu_);
          while (!stop.stop_requested() && never_.WaitUntil(mu_, stop, until)) {
          }
          fired_ = !stop.stop_requested();
          ::kill(pid, SIGKILL);
        })) {}

  // It was not too late for it.
  bool fired() const { return fired_; }

 private:
  std::atomic<bool> fired_{false};
  Mutex mu_;
  CondVar never_;
  std::jthread thread_;  // joined, and so the daemon killed, when this goes
};

// Where the daemon may die of its own accord, and how often it comes there in a short life.
struct Place {
  const char* name;
  uint64_t passes;
};
constexpr Place kPlaces[] = {{"write", 400},
                             {"written", 400},
                             {"remove", 12},
                             {"synced", 8},
                             {"call StartRemoteUpload", 10},
                             {"answer StartRemoteUpload", 10},
                             {"answer RemoteReadData", 25},
                             {"call RenameFile", 6},
                             {"answer RenameFile", 6},
                             {"call MoveFile", 3},
                             {"answer MoveFile", 3},
                             {"call DeleteFile", 6},
                             {"answer DeleteFile", 6},
                             {"call CreateFolder", 4},
                             {"answer CreateFolder", 4},
                             {"answer GetSubFiles", 12}};

class KillRun {
 public:
  KillRun(uint64_t seed, std::vector<std::string> flags) : random_(seed), flags_(std::move(flags)) {
    fs::create_directory(server_.Local("/work"));
    test::MountSpec spec{.remote = server_->endpoint() + "/work", .token = server_->token()};
    spec.flags = flags_;
    mount_ = std::make_unique<ProgramMount>(spec);
    worker_ = std::make_unique<KillWorker>(mount_->path(), seed + 1);
  }

  void Go(uint64_t kills) {
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    pid_ = std::stoi(mount_->Pid());
    for (uint64_t rounds = 0; kills_ < kills && !Failed(); ++rounds) {
      ASSERT_LT(rounds, 2 * kills + 10) << "too few kills came while something was under way";
      Round();
      if (!Failed() && random_.Percent(6)) Settle();
    }
    if (!Failed()) Settle();
    if (!Failed()) ExpectNothingSentAgain();
    std::printf(
        "%llu kills (%llu at a named place, %llu in a call), %llu operations, %llu files "
        "interrupted\n",
        Number(kills_), Number(at_places_), Number(in_calls_), Number(worker_->steps()),
        Number(interrupted_));
    EXPECT_GT(at_places_, 0U);
    EXPECT_GT(in_calls_, 0U);
  }

 private:
  static unsigned long long Number(uint64_t number) { return number; }
  static bool Failed() { return ::testing::Test::HasFailure(); }

  // Some work, a death, and a look at what is there.
  void Round() {
    const Place& place = kPlaces[random_.Below(std::size(kPlaces))];
    const bool at_place = random_.Percent(60);
    Arm(at_place ? place.name + (":" + std::to_string(random_.Between(1, place.passes))) : "");
    ::kill(pid_, SIGKILL);  // whether it has just begun to recover or to upload
    AwaitDeath();
    by_itself_ = true;
    if (mount_->Mount()) {  // it may die so early that there is no mount
      pid_ = std::stoi("0" + mount_->Pid());
      SCOPED_TRACE(place.name);
      Work(at_place ? 3000 : random_.Percent(50) ? 60 : 700);
    }
    Arm("");
    ASSERT_TRUE(Eventually([this] { return mount_->Mount(); })) << mount_->error();
    pid_ = std::stoi("0" + mount_->Pid());
    const bool in_call = !worker_->failed_call().empty();
    if (in_call || mount_->Status(".items | length") != "0") {
      ++kills_;
      at_places_ += at_place && by_itself_ ? 1 : 0;
      in_calls_ += in_call ? 1 : 0;
    }
    Verify();
    if (!Failed() && random_.Percent(40)) LetInterruptedGo();
  }
  void Arm(const std::string& where) {
    mount_->spec().variables.clear();
    if (!where.empty()) mount_->spec().variables["OUTBOXFS_CRASH"] = where;
  }
  bool IsDead() const {
    const std::string stat = ReadWholeFile("/proc/" + std::to_string(pid_) + "/stat");
    return stat.empty() || stat.find(") Z") != std::string::npos;
  }
  void AwaitDeath() {
    EXPECT_TRUE(Eventually([this] { return IsDead(); }));
  }
  void Work(uint64_t longest_ms) {
    if (pid_ <= 0) return;  // dead already
    const auto longest = std::chrono::milliseconds(random_.Below(longest_ms));
    {
      const Killer killer(pid_, longest);
      while (worker_->Step()) {
      }
      by_itself_ = !killer.fired();
      EXPECT_TRUE(!by_itself_ || Eventually([this] { return IsDead(); }, 5s))
          << worker_->failed_call() << ", and nothing has died";
    }
    AwaitDeath();
  }

  // ---- What is there ------------------------------------------------------------------------
  Model Found() const {
    Model found;
    for (const auto& entry : fs::recursive_directory_iterator(mount_->path())) {
      const std::string path = fs::relative(entry.path(), mount_->path());
      if (entry.is_directory()) {
        found.dirs.insert(path);
        continue;
      }
      struct stat st {};
      EXPECT_EQ(::stat(entry.path().c_str(), &st), 0) << path;
      ModelFile file{.bytes =
                         std::make_shared<const std::string>(ReadWholeFile(entry.path().string()))};
      file.mtime_ns = st.st_mtim.tv_sec * 1'000'000'000 + st.st_mtim.tv_nsec;
      found.files[path] = file;
    }
    return found;
  }
  // Empty: `found` is what `model` says, but for the file that was being written.
  std::string Difference(const Model& found, const Model& model) const {
    if (found.dirs != model.dirs) return "other directories";
    for (const auto& [path, file] : found.files) {
      if (!model.files.contains(path)) return path + " is too much";
    }
    for (const auto& [path, file] : model.files) {
      const auto at = found.files.find(path);
      if (at == found.files.end()) return path + " is missing";
      if (file.mtime_ns && file.mtime_ns != at->second.mtime_ns) return path + " has another mtime";
      const std::string& bytes = *at->second.bytes;
      if (path == worker_->writing()) {
        const auto before = worker_->before().files.find(path);
        const std::string old =
            before == worker_->before().files.end() ? "" : *before->second.bytes;
        if (!IsOnTheWay(bytes, old, *worker_->after().files.at(path).bytes)) {
          return path + " has other bytes than were being written";
        }
      } else if (bytes != *file.bytes) {
        return path + " has other bytes: " + std::to_string(bytes.size()) + " of " +
               std::to_string(file.bytes->size());
      }
    }
    return "";
  }
  std::set<std::string> Interrupted() const {
    std::istringstream lines(
        mount_->Status(".items[] | select(.state == \"interrupted\") | .path"));
    std::set<std::string> paths;
    for (std::string line; std::getline(lines, line);) paths.insert(line.substr(1));
    return paths;
  }
  void Verify() {
    const Model found = Found();
    const std::string from_before = Difference(found, worker_->before());
    const std::string from_after = Difference(found, worker_->after());
    ASSERT_TRUE(from_before.empty() || from_after.empty())
        << from_before << "; if the last call worked: " << from_after
        << "\nthe last call: " << worker_->failed_call() << "\n"
        << Tree(found) << mount_->Status(".items");
    const Model& model = from_before.empty() ? worker_->before() : worker_->after();
    const std::set<std::string> interrupted = Interrupted();
    interrupted_ += interrupted.size();
    Model adopted = model;
    for (auto& [path, file] : adopted.files) {
      file.bytes = found.files.at(path).bytes;
      const bool open = interrupted.contains(path);
      const auto before = worker_->before().files.find(path);
      const bool was_closed = before == worker_->before().files.end() || before->second.closed;
      // A close() that has returned is a promise.
      EXPECT_FALSE(open && was_closed && path != worker_->writing() && file.closed)
          << path << " is interrupted, but was closed";
      if (!file.closed && !open) worker_->AddComplete(*file.bytes);  // its close() did its work
      file.closed = !open;
    }
    ExpectNothingTorn();
    worker_->Adopt(std::move(adopted));
  }
  static std::string Tree(const Model& model) {
    std::string text;
    for (const std::string& dir : model.dirs) text += dir + "/\n";
    for (const auto& [path, file] : model.files) {
      text += path + " " + std::to_string(file.bytes->size()) + "\n";
    }
    return text;
  }
  // On the server only what was closed, or let go by a person.
  void ExpectNothingTorn() const {
    std::error_code gone;  // uploads go on meanwhile
    for (const auto& entry : fs::recursive_directory_iterator(server_.Local("/work"), gone)) {
      if (!entry.is_regular_file(gone)) continue;
      const std::string bytes = ReadWholeFile(entry.path().string());
      if (!fs::exists(entry.path(), gone)) continue;
      EXPECT_TRUE(worker_->IsComplete(bytes))
          << entry.path() << " was uploaded torn: " << bytes.size() << " bytes";
    }
  }
  // As a person does who has looked at them.
  void LetInterruptedGo() {
    Model model = worker_->before();
    for (auto& [path, file] : model.files) {
      if (file.closed) continue;
      worker_->AddComplete(*file.bytes);
      file.closed = true;
    }
    EXPECT_EQ(mount_->Outboxfs({"retry", mount_->path()}).exit_code, 0);
    worker_->Adopt(std::move(model));
  }
  void Settle() {
    LetInterruptedGo();
    const auto waited = mount_->WaitUploaded("240s");
    ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
    const auto diff = RunProgram({"diff", "-r", server_.Local("/work"), mount_->path()});
    EXPECT_EQ(diff.exit_code, 0) << diff.out << diff.err;
    const std::string difference = Difference(Found(), worker_->before());
    EXPECT_EQ(difference, "");
    EXPECT_TRUE(Eventually([this] { return mount_->StagedFiles() == 0; })) << "bytes are left";
  }
  void ExpectNothingSentAgain() {
    const uint64_t received = server_->counters().bytes_received;
    ::kill(pid_, SIGKILL);
    AwaitDeath();
    ASSERT_TRUE(Eventually([this] { return mount_->Mount(); })) << mount_->error();
    ASSERT_EQ(mount_->WaitUploaded().exit_code, 0);
    EXPECT_EQ(server_->counters().bytes_received, received);
  }

  Random random_;
  const std::vector<std::string> flags_;
  TestServer server_{Knobs{.hashes = {{2, 0}},
                           .rapid_known = false,
                           .rapid_after_hash = false,
                           .read_size = 65'536,
                           .reads_in_flight = 2,
                           .reply_delay = 1ms}};
  std::unique_ptr<ProgramMount> mount_;
  std::unique_ptr<KillWorker> worker_;
  pid_t pid_ = 0;
  bool by_itself_ = false;
  uint64_t kills_ = 0;
  uint64_t at_places_ = 0;
  uint64_t in_calls_ = 0;
  uint64_t interrupted_ = 0;
};

void Kill(uint64_t part, uint64_t seed, std::vector<std::string> flags) {
  const uint64_t kills = std::max<uint64_t>(Variable("OUTBOXFS_KILLS", 50) / part, 1);
  const uint64_t first = Variable("OUTBOXFS_KILL_SEED", seed);
  std::printf("seed %llu\n", static_cast<unsigned long long>(first));
  KillRun(first, std::move(flags)).Go(kills);
}

TEST(KillAnywhere, UploadsBeginAtOnce) { Kill(2, 1000, {"--write-back", "0s"}); }

TEST(KillAnywhere, ThroughTheDaemon) { Kill(4, 2000, {"--write-back", "0s", "--no-passthrough"}); }

TEST(KillAnywhere, OverwritingDirectly) {
  Kill(4, 3000, {"--write-back", "50ms", "--overwrite", "direct"});
}

}  // namespace
}  // namespace outboxfs
