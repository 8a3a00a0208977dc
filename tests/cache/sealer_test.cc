#include "cache/sealer.h"

#include <fcntl.h>

#include <algorithm>
#include <numeric>

#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

using std::chrono::seconds;

// Keeps the files of a directory by their number, and notes what the sealer does with them.
class Host : public SealHost {
 public:
  std::string PathOf(ItemId id) const { return directory_.path() + "/" + std::to_string(id); }
  void Make(ItemId id, uint64_t size) const {
    const auto file = disk::Open(PathOf(id), O_RDWR | O_CREAT);
    ASSERT_OK(file);
    ASSERT_OK(disk::Truncate(file->get(), size));
  }

  std::optional<SealJob> BeginSeal(ItemId id) override { return SealJob{id, 1, PathOf(id)}; }
  void NoteDurable(const SealJob& job, const Mark& /*mark*/) override {
    MutexLock lock(mu_);
    durable_.push_back(job.id);
  }
  Status CommitSeals(std::vector<SealResult> results) override {
    MutexLock lock(mu_);
    groups_.emplace_back();
    for (const SealResult& result : results) groups_.back().push_back(result.id);
    changed_.NotifyAll();
    return {};
  }
  void DelaySeal(const SealJob& job, const Error& why) override {
    MutexLock lock(mu_);
    delayed_.emplace_back(job.id, why.code);
    changed_.NotifyAll();
  }

  using Groups = std::vector<std::vector<ItemId>>;
  // The groups that were committed, once they hold `files` altogether.
  Groups Await(size_t files) {
    const auto deadline = CondVar::Clock::now() + seconds(20);
    MutexLock lock(mu_);
    while (Count(groups_) < files && changed_.WaitUntil(mu_, {}, deadline)) {
    }
    return groups_;
  }
  bool AwaitDelayed(size_t count) {
    const auto deadline = CondVar::Clock::now() + seconds(20);
    MutexLock lock(mu_);
    while (delayed_.size() < count && changed_.WaitUntil(mu_, {}, deadline)) {
    }
    return delayed_.size() >= count;
  }
  std::pair<ItemId, int> first_delayed() {
    MutexLock lock(mu_);
    return delayed_.front();
  }
  std::vector<ItemId> durable() {
    MutexLock lock(mu_);
    return durable_;
  }

 private:
  static size_t Count(const Groups& groups) {
    return std::accumulate(groups.begin(), groups.end(), size_t{0},
                           [](size_t sum, const auto& group) { return sum + group.size(); });
  }

  TempDir directory_;
  Mutex mu_;
  CondVar changed_;
  Groups groups_ ABSL_GUARDED_BY(mu_);
  std::vector<std::pair<ItemId, int>> delayed_ ABSL_GUARDED_BY(mu_);
  std::vector<ItemId> durable_ ABSL_GUARDED_BY(mu_);
};

class SealerTest : public ::testing::Test {
 protected:
  Host host_;
  Sealer sealer_{host_};
};

TEST_F(SealerTest, SmallFilesShareTransactionsAndBarriers) {
  constexpr ItemId kFiles = 1000;
  for (ItemId id = 1; id <= kFiles; ++id) {
    host_.Make(id, 10);
    sealer_.Enqueue(id, 10);
  }
  sealer_.Start();
  const Host::Groups groups = host_.Await(kFiles);
  EXPECT_LE(groups.size(), 8U) << "128 files each";
  std::vector<ItemId> sealed;
  for (const auto& group : groups) sealed.insert(sealed.end(), group.begin(), group.end());
  std::sort(sealed.begin(), sealed.end());
  std::vector<ItemId> all(kFiles);
  std::iota(all.begin(), all.end(), ItemId{1});
  EXPECT_EQ(all, sealed);
}

TEST_F(SealerTest, ALargeFileGoesAloneAndIsDurableBeforeItsSums) {
  host_.Make(1, kLargeFile + 1);
  host_.Make(2, kLargeFile + 1);
  sealer_.Enqueue(1, kLargeFile + 1);
  sealer_.Enqueue(2, kLargeFile + 1);
  sealer_.Start();
  EXPECT_EQ((Host::Groups{{1}, {2}}), host_.Await(2));
  EXPECT_EQ((std::vector<ItemId>{1, 2}), host_.durable());
}

TEST_F(SealerTest, AFileThatIsStillWrittenWaitsAndDelaysNoOther) {
  host_.Make(1, 10);
  host_.Make(2, 10);
  auto writer = disk::Open(host_.PathOf(1), O_RDWR);
  ASSERT_OK(writer);
  sealer_.Enqueue(1, 10);
  sealer_.Enqueue(2, 10);
  sealer_.Start();
  EXPECT_EQ((Host::Groups{{2}}), host_.Await(1));
  ASSERT_TRUE(host_.AwaitDelayed(1));
  EXPECT_EQ(std::pair(ItemId{1}, EBUSY), host_.first_delayed());
  writer->Close();
  EXPECT_EQ((Host::Groups{{2}, {1}}), host_.Await(2));
}

}  // namespace
}  // namespace outboxfs::cache
