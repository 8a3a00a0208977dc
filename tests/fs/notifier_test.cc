#include "fs/notifier.h"

#include <gtest/gtest.h>

#include <chrono>
#include <vector>

namespace outboxfs::fs {
namespace {

// Notes what it is told; can be made to hang, as a kernel whose inode lock is held.
class NotedKernel final : public KernelCache {
 public:
  void ExpireEntry(cache::Ino parent, const std::string& name) override {
    Note("entry " + std::to_string(parent) + " " + name);
  }
  void DropAttributes(cache::Ino ino) override { Note("attributes " + std::to_string(ino)); }
  void DropContent(cache::Ino ino) override { Note("content " + std::to_string(ino)); }

  void Hang(bool hang) {
    MutexLock lock(mu_);
    hang_ = hang;
    changed_.NotifyAll();
  }
  bool Await(size_t count) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (notes_.size() < count) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }
  std::vector<std::string> notes() {
    MutexLock lock(mu_);
    return notes_;
  }

 private:
  void Note(const std::string& note) {
    MutexLock lock(mu_);
    notes_.push_back(note);
    changed_.NotifyAll();
    while (hang_) changed_.Wait(mu_, {});
  }
  Mutex mu_;
  CondVar changed_;
  std::vector<std::string> notes_ ABSL_GUARDED_BY(mu_);
  bool hang_ ABSL_GUARDED_BY(mu_) = false;
};

TEST(Notifier, TellsTheKernelFromItsOwnThread) {
  NotedKernel kernel;
  Notifier notifier(kernel);
  notifier.ExpireEntry(1, "a");
  notifier.DropAttributes(2);
  notifier.DropContent(3);
  ASSERT_TRUE(kernel.Await(3));
}

TEST(Notifier, SameNewsTwiceIsToldOnce) {
  NotedKernel kernel;
  kernel.Hang(true);
  Notifier notifier(kernel);
  notifier.DropAttributes(1);
  ASSERT_TRUE(kernel.Await(1));  // it hangs in that one
  for (int i = 0; i < 100; ++i) notifier.ExpireEntry(1, "a");
  notifier.DropContent(2);
  kernel.Hang(false);
  ASSERT_TRUE(kernel.Await(3));
  EXPECT_EQ((std::vector<std::string>{"attributes 1", "entry 1 a", "content 2"}), kernel.notes());
}

TEST(Notifier, StopDropsWhatIsPendingAndSaysWhetherItHangs) {
  NotedKernel kernel;
  kernel.Hang(true);
  Notifier notifier(kernel);
  notifier.DropAttributes(1);
  ASSERT_TRUE(kernel.Await(1));
  notifier.DropAttributes(2);
  notifier.Stop();
  EXPECT_FALSE(notifier.WaitIdle(CondVar::Clock::now() + std::chrono::milliseconds(10)));
  kernel.Hang(false);
  EXPECT_TRUE(notifier.WaitIdle(CondVar::Clock::now() + std::chrono::seconds(10)));
  EXPECT_EQ(1U, kernel.notes().size());
}

}  // namespace
}  // namespace outboxfs::fs
