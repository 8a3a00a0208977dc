#include "remote/push.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <optional>
#include <vector>

#include "support/fake_clock.h"
#include "support/fake_namespace_api.h"

namespace outboxfs::remote {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::FakeClock;
using test::FakeNamespaceApi;

// Collects what the reader tells; nullopt stands for "everything".
class Heard {
 public:
  PushReader::OnChange AsCallback() {
    return [this](const FsChange* change) {
      MutexLock lock(mu_);
      heard_.push_back(change == nullptr ? std::nullopt : std::optional(*change));
      changed_.NotifyAll();
    };
  }
  bool AwaitCount(size_t count) {
    const auto deadline = CondVar::Clock::now() + seconds(10);
    MutexLock lock(mu_);
    while (heard_.size() < count) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }
  std::vector<std::optional<FsChange>> all() {
    MutexLock lock(mu_);
    return heard_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<std::optional<FsChange>> heard_ ABSL_GUARDED_BY(mu_);
};

class PushTest : public testing::Test {
 protected:
  PushTest() {
    for (const char* dir : {"/a", "/a/x", "/a/x/y", "/b", "/c"}) api_.AddDir(dir);
  }
  void ListAll() {
    for (const char* dir : kDirs) ASSERT_TRUE(cache_.Get(dir, {}));
  }
  // The directories whose listing is gone.
  std::vector<std::string> Gone() {
    std::vector<std::string> gone;
    for (const char* dir : kDirs) {
      if (cache_.Peek(dir) == nullptr) gone.emplace_back(dir);
    }
    return gone;
  }

  static constexpr const char* kDirs[] = {"/", "/a", "/a/x", "/a/x/y", "/b", "/c"};
  static constexpr PushReader::Pauses kQuick{milliseconds(1), milliseconds(2)};
  FakeClock clock_;
  FakeNamespaceApi api_;
  DirCache cache_{api_, clock_, seconds(1000)};
  Heard heard_;
};

using Names = std::vector<std::string>;

TEST_F(PushTest, EachKindOfChangeForgetsWhatItTouches) {
  struct Case {
    FsChange change;
    Names gone;
  };
  const Case cases[] = {
      {{FsChange::Kind::kCreate, false, "/b/new", ""}, {"/b"}},
      {{FsChange::Kind::kModify, false, "/b/f", ""}, {"/b"}},
      {{FsChange::Kind::kDelete, true, "/a/x", ""}, {"/a", "/a/x", "/a/x/y"}},
      {{FsChange::Kind::kRename, true, "/a/x", "/c/x"}, {"/a", "/a/x", "/a/x/y", "/c"}},
      {{FsChange::Kind::kCreate, true, "/new", ""}, {"/"}},
  };
  PushReader reader(api_, cache_, heard_.AsCallback(), kQuick);
  ASSERT_TRUE(heard_.AwaitCount(1));
  EXPECT_FALSE(heard_.all()[0]) << "whatever happened before is unknown";
  EXPECT_TRUE(reader.connected());
  size_t count = 1;
  for (const Case& c : cases) {
    ListAll();
    api_.Announce(c.change);
    ASSERT_TRUE(heard_.AwaitCount(++count));
    EXPECT_EQ(heard_.all().back()->path, c.change.path);
    EXPECT_EQ(Gone(), c.gone) << c.change.path;
  }
}

TEST_F(PushTest, AfterALostStreamEverythingIsStale) {
  PushReader reader(api_, cache_, heard_.AsCallback(), kQuick);
  ASSERT_TRUE(heard_.AwaitCount(1));
  ListAll();
  api_.FailNext("OpenPush", Error{EIO, Retry::kBackoff, "down"}, 3);
  api_.BreakPush(Error{EPIPE, Retry::kBackoff, "gone"});
  ASSERT_TRUE(heard_.AwaitCount(2));
  EXPECT_FALSE(heard_.all()[1]);
  EXPECT_EQ(Gone().size(), std::size(kDirs));
  EXPECT_EQ(api_.Count("OpenPush"), 5);
}

TEST_F(PushTest, GivesUpWhenTheTokenMayNotListen) {
  api_.FailNext("OpenPush", Error{EACCES, Retry::kPark, "permission denied"}, 100);
  PushReader reader(api_, cache_, heard_.AsCallback(), kQuick);
  ASSERT_TRUE(api_.AwaitCount("OpenPush", 1));
  EXPECT_FALSE(reader.connected());
}

TEST_F(PushTest, LeavesAtOnceWhileConnecting) {
  api_.Hold("OpenPush");
  PushReader reader(api_, cache_, heard_.AsCallback());
  ASSERT_TRUE(api_.AwaitCount("OpenPush", 1));
}

}  // namespace
}  // namespace outboxfs::remote
