// The machine loses its power, and the disk forgets what was not on stable storage: what fsync()
// was answered for is there at the next start, and what status has called durable; nothing torn
// or damaged is uploaded, nothing is deleted, and the mount starts.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <map>
#include <set>

#include "support/loop_disk.h"
#include "support/program.h"
#include "support/random.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using server::Phase;
using test::Eventually;
using test::LoopDisk;
using test::Pattern;
using test::ProgramMount;
using test::Random;
using test::ReadWholeFile;
using test::SameBytes;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

class PowerCut : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root to mount a disk";
    mount_ = std::make_unique<ProgramMount>(test::MountSpec{
        .remote = server_->endpoint(), .token = server_->token(), .flags = {"--write-back", "0s"}});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
    ASSERT_EQ(mount_->Unmount().exit_code, 0);
    fs::remove_all(mount_->cache());
    fs::create_directory(mount_->cache());
    disk_ = std::make_unique<LoopDisk>(mount_->cache(), 256);
    Start();
  }
  void TearDown() override {
    if (mount_) mount_->Unmount({"--no-drain"});
  }
  void Start() {
    ASSERT_TRUE(mount_->Mount()) << mount_->error();
    pid_ = mount_->Pid();
  }
  // The daemon dies with the machine.
  void Cut() {
    disk_->CutPower();
    mount_->Kill(pid_);
    while (::umount2(mount_->path().c_str(), MNT_DETACH) == 0) {
    }
    disk_->PowerOn();
    Start();
  }
  bool AwaitDurable() {
    return Eventually([this] { return mount_->Status(".cache.files_not_durable") == "0"; });
  }
  bool Synced(const std::string& name, const std::string& content) {
    const int fd = ::open((*mount_ / name).c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const bool done =
        ::write(fd, content.data(), content.size()) == static_cast<ssize_t>(content.size()) &&
        ::fsync(fd) == 0;
    ::close(fd);
    return done;
  }
  // What was on its way goes up, and is right.
  void ExpectUploaded(const std::map<std::string, std::string>& files) {
    server_.Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
    mount_->Outboxfs({"retry", mount_->path()});
    const auto waited = mount_->WaitUploaded();
    EXPECT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
    for (const auto& [name, content] : files) {
      EXPECT_TRUE(SameBytes(ReadWholeFile(server_.Local("/" + name)), content)) << name;
    }
  }

  TestServer server_{Knobs{.hold = Phase::kTransferring}};
  std::unique_ptr<ProgramMount> mount_;
  std::unique_ptr<LoopDisk> disk_;
  std::string pid_;
};

TEST_F(PowerCut, WhatWasSyncedIsThere) {
  fs::create_directory(*mount_ / "dir");
  const std::map<std::string, std::string> files = {
      {"dir/large", Pattern(5'000'000)}, {"small", "few bytes"}, {"empty", ""}};
  for (const auto& [name, content] : files) ASSERT_TRUE(Synced(name, content)) << name;
  Cut();
  for (const auto& [name, content] : files) {
    EXPECT_TRUE(SameBytes(ReadWholeFile(*mount_ / name), content)) << name;
  }
  ExpectUploaded(files);
}

TEST_F(PowerCut, NamesThatWereSyncedAreThere) {
  ASSERT_TRUE(Synced("one", "bytes"));
  ASSERT_TRUE(Synced("two", "other bytes"));
  fs::create_directory(*mount_ / "dir");
  fs::rename(*mount_ / "one", *mount_ / "dir/renamed");
  fs::remove(*mount_ / "two");
  const int dir = ::open((*mount_ / "dir").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ASSERT_EQ(::fsync(dir), 0);
  ::close(dir);
  Cut();
  EXPECT_EQ(ReadWholeFile(*mount_ / "dir/renamed"), "bytes");
  EXPECT_FALSE(fs::exists(*mount_ / "one"));
  EXPECT_FALSE(fs::exists(*mount_ / "two"));
  ExpectUploaded({{"dir/renamed", "bytes"}});
}

TEST_F(PowerCut, WhatStatusCallsDurableIsThere) {
  std::map<std::string, std::string> files;
  for (int i = 0; i < 200; ++i) {
    files["file-" + std::to_string(i)] = Pattern(static_cast<size_t>(i) * 977, 1 + i);
  }
  for (const auto& [name, content] : files) WriteFile(*mount_ / name, content);
  ASSERT_TRUE(AwaitDurable());
  Cut();
  for (const auto& [name, content] : files) {
    EXPECT_TRUE(SameBytes(ReadWholeFile(*mount_ / name), content)) << name;
  }
  ExpectUploaded(files);
}

// Somewhere in the middle of work, again and again.
TEST_F(PowerCut, AtAnyMomentNothingSyncedIsLostAndNothingTornGoesUp) {
  constexpr int kCuts = 12;
  Random random(7);
  std::map<std::string, std::string> synced;
  std::map<std::string, std::set<std::string>> closed;  // every content that a name ever had
  server_.Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
  for (int cut = 0; cut < kCuts; ++cut) {
    for (uint64_t step = random.Between(1, 25); step > 0; --step) {
      const std::string name = "f" + std::to_string(random.Below(8));
      const std::string content = Pattern(random.Below(400'000), random.Below(1'000'000));
      closed[name].insert(content);
      synced.erase(name);
      if (random.Percent(50)) {
        ASSERT_TRUE(Synced(name, content));
        synced[name] = content;
      } else {
        WriteFile(*mount_ / name, content);
      }
    }
    Cut();
    ASSERT_FALSE(HasFailure());
    for (const auto& [name, content] : synced) {
      ASSERT_TRUE(SameBytes(ReadWholeFile(*mount_ / name), content)) << name << ", cut " << cut;
    }
  }
  (void)mount_->WaitUploaded();  // some were interrupted: they need somebody
  for (const auto& entry : fs::directory_iterator(server_.dir())) {
    const std::string name = entry.path().filename();
    if (entry.is_directory()) continue;  // the server's own
    EXPECT_TRUE(closed[name].contains(ReadWholeFile(entry.path().string()))) << name;
  }
  for (const auto& [name, content] : synced) {
    EXPECT_TRUE(SameBytes(ReadWholeFile(server_.Local("/" + name)), content)) << name;
  }
}

// A bit turns over on the disk, in one of two files.
TEST_F(PowerCut, ADamagedBlockIsNeverUploaded) {
  const std::string content = Pattern(1'000'000, 3);
  WriteFile(*mount_ / "flipped", content);
  WriteFile(*mount_ / "whole", Pattern(1'000'000, 4));
  ASSERT_TRUE(AwaitDurable());
  EXPECT_EQ(mount_->Unmount({"--no-drain"}).exit_code, 3);
  disk_->Detach();
  disk_->Damage(content.substr(700'000, 64));
  disk_->Attach();
  Start();
  server_.Change([](Knobs& knobs) { knobs.hold = Phase::kNone; });
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 1);
  const std::string reason = mount_->Status(".items[] | .state + \" \" + .path + \": \" + .note");
  EXPECT_THAT(reason, HasSubstr("parked /flipped: "));
  EXPECT_THAT(reason, HasSubstr("damaged"));
  EXPECT_THAT(reason, HasSubstr("524288"));  // the block of 256 KiB with byte 700,000
  EXPECT_FALSE(fs::exists(server_.Local("/flipped")));
  EXPECT_TRUE(SameBytes(ReadWholeFile(server_.Local("/whole")), Pattern(1'000'000, 4)));
  EXPECT_EQ(fs::file_size(*mount_ / "flipped"), content.size());
}

}  // namespace
}  // namespace outboxfs
