#include "remote/token_source.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "support/fake_clock.h"

namespace outboxfs::remote {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using test::FakeClock;

// Gives "t1", "t2", ...; each lives `life`.
struct Fetcher {
  FakeClock& clock;
  seconds life{3600};
  int count = 0;
  std::optional<Error> error = std::nullopt;
  TokenSource::Fetch AsFetch() {
    return [this](const std::stop_token&) -> Result<Token> {
      ++count;
      if (error) return Fail(*error);
      const int64_t expires = clock.WallNs() + std::chrono::nanoseconds(life).count();
      return Token{"t" + std::to_string(count), expires};
    };
  }
};

TEST(TokenSource, AFixedTokenIsNeverRenewed) {
  TokenSource source("fixed");
  EXPECT_EQ(source.Get({}).value(), "fixed");
  EXPECT_FALSE(source.Refused("fixed"));
  EXPECT_EQ(source.Get({}).value(), "fixed");
}

TEST(TokenSource, AGivenTokenIsReadAgainWhenItIsRefused) {
  Result<std::string> file = std::string("old");
  TokenSource source("old", [&file] { return file; });
  EXPECT_FALSE(source.Refused("old")) << "the file still says the same";
  file = Fail(ENOENT, "no file");
  EXPECT_FALSE(source.Refused("old"));
  EXPECT_EQ(source.Get({}).value(), "old");
  file = std::string("new");
  EXPECT_TRUE(source.Refused("old"));
  EXPECT_EQ(source.Get({}).value(), "new");
  EXPECT_TRUE(source.Refused("old")) << "somebody else read it meanwhile";
  EXPECT_FALSE(source.Refused("new"));
}

TEST(TokenSource, FetchesOnceAndRenewsBeforeExpiry) {
  FakeClock clock;
  Fetcher fetcher{clock};
  TokenSource source(fetcher.AsFetch(), clock);
  EXPECT_EQ(source.Get({}).value(), "t1");
  clock.Advance(minutes(54));
  EXPECT_EQ(source.Get({}).value(), "t1");
  clock.Advance(minutes(2));
  EXPECT_EQ(source.Get({}).value(), "t2");
  EXPECT_EQ(fetcher.count, 2);
}

TEST(TokenSource, KeepsTheOldTokenWhileRenewalFails) {
  FakeClock clock;
  Fetcher fetcher{clock};
  TokenSource source(fetcher.AsFetch(), clock);
  ASSERT_EQ(source.Get({}).value(), "t1");
  fetcher.error = Error{EIO, Retry::kBackoff, "down"};
  clock.Advance(minutes(57));
  EXPECT_EQ(source.Get({}).value(), "t1");
  clock.Advance(minutes(4));
  Result<std::string> late = source.Get({});
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, EIO);
}

TEST(TokenSource, ARefusedTokenIsReplaced) {
  FakeClock clock;
  Fetcher fetcher{clock};
  TokenSource source(fetcher.AsFetch(), clock);
  ASSERT_EQ(source.Get({}).value(), "t1");
  EXPECT_TRUE(source.Refused("t1"));
  EXPECT_EQ(source.Get({}).value(), "t2");
  EXPECT_TRUE(source.Refused("t1")) << "somebody else's renewal is worth a try";
  EXPECT_EQ(source.Get({}).value(), "t2");
}

TEST(TokenSource, TokensThatAreAllRefusedAreNotFetchedAgainAndAgain) {
  FakeClock clock;
  Fetcher fetcher{clock};
  TokenSource source(fetcher.AsFetch(), clock);
  ASSERT_EQ(source.Get({}).value(), "t1");
  EXPECT_TRUE(source.Refused("t1"));
  ASSERT_EQ(source.Get({}).value(), "t2");
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(source.Refused("t2"));
  clock.Advance(seconds(11));
  EXPECT_TRUE(source.Refused("t2"));
  EXPECT_EQ(fetcher.count, 2);
}

TEST(TokenSource, ARefusedPasswordIsRememberedForAWhile) {
  FakeClock clock;
  Fetcher fetcher{clock};
  fetcher.error = Error{EACCES, Retry::kPauseAll, "wrong password"};
  TokenSource source(fetcher.AsFetch(), clock);
  for (int i = 0; i < 5; ++i) {
    Result<std::string> token = source.Get({});
    ASSERT_FALSE(token);
    EXPECT_EQ(token.error().code, EACCES);
    EXPECT_EQ(token.error().retry, Retry::kPauseAll);
  }
  EXPECT_EQ(fetcher.count, 1);
  clock.Advance(seconds(31));
  fetcher.error.reset();
  EXPECT_EQ(source.Get({}).value(), "t2");
}

TEST(TokenSource, AServerWithAnotherClockDoesNotMakeUsFetchForEver) {
  FakeClock clock;
  Fetcher fetcher{clock};
  fetcher.life = -std::chrono::duration_cast<seconds>(hours(5));
  TokenSource source(fetcher.AsFetch(), clock);
  EXPECT_EQ(source.Get({}).value(), "t1");
  clock.Advance(hours(24));
  EXPECT_EQ(source.Get({}).value(), "t1");
  EXPECT_EQ(fetcher.count, 1);
}

TEST(TokenSource, ManyThreadsShareOneFetch) {
  FakeClock clock;
  Mutex mu;
  CondVar opened;
  bool open = false;
  std::atomic<int> count = 0;
  TokenSource source(
      [&](const std::stop_token& stop) -> Result<Token> {
        ++count;
        MutexLock lock(mu);
        while (!open) opened.Wait(mu, stop);
        return Token{"shared", std::nullopt};
      },
      clock);
  std::vector<std::string> got(8);
  {
    std::vector<std::jthread> threads;
    for (std::string& place : got) {
      threads.emplace_back([&source, &place] { place = source.Get({}).value(); });
    }
    MutexLock lock(mu);
    open = true;
    opened.NotifyAll();
  }
  EXPECT_EQ(count, 1);
  for (const std::string& token : got) EXPECT_EQ(token, "shared");
}

// Holds fetches until it is opened, and counts them.
class Gate {
 public:
  void Pass() {
    MutexLock lock(mu_);
    ++count_;
    changed_.NotifyAll();
    while (!open_) changed_.Wait(mu_, {});
  }
  void AwaitCount(int count) {
    MutexLock lock(mu_);
    while (count_ < count) changed_.Wait(mu_, {});
  }
  void Open() {
    MutexLock lock(mu_);
    open_ = true;
    changed_.NotifyAll();
  }
  int count() {
    MutexLock lock(mu_);
    return count_;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  int count_ ABSL_GUARDED_BY(mu_) = 0;
  bool open_ ABSL_GUARDED_BY(mu_) = false;
};

// A clock that says how often it was asked: each Get asks once before it waits.
class CountingClock final : public Clock {
 public:
  SteadyTime Now() const override {
    ++asked_;
    asked_.notify_all();
    return clock_.Now();
  }
  int64_t WallNs() const override { return clock_.WallNs(); }
  void AwaitAsked(int times) const {
    for (int now = asked_; now < times; now = asked_) asked_.wait(now);
  }

 private:
  FakeClock clock_;
  mutable std::atomic<int> asked_ = 0;
};

TEST(TokenSource, AFailureIsSharedByThoseWhoWaited) {
  CountingClock clock;
  Gate gate;
  TokenSource source(
      [&](const std::stop_token&) -> Result<Token> {
        gate.Pass();
        return Fail(ETIMEDOUT, "nobody answers");
      },
      clock);
  std::vector<int> codes(8);
  {
    std::vector<std::jthread> threads;
    for (int& code : codes) {
      threads.emplace_back([&source, &code] { code = source.Get({}).error().code; });
    }
    gate.AwaitCount(1);
    clock.AwaitAsked(8);  // under the source's lock, which they give up only by waiting
    gate.Open();
  }
  EXPECT_EQ(gate.count(), 1);
  for (const int code : codes) EXPECT_EQ(code, ETIMEDOUT);
  EXPECT_EQ(source.Get({}).error().code, ETIMEDOUT);
  EXPECT_EQ(gate.count(), 2) << "who comes later tries again";
}

TEST(TokenSource, AFetchThatItsCallerStoppedIsNobodyElsesFailure) {
  CountingClock clock;
  Gate gate;
  std::atomic<int> count = 0;
  TokenSource source(
      [&](const std::stop_token&) -> Result<Token> {
        gate.Pass();
        if (++count == 1) return Fail(ECANCELED, "stopped");
        return Token{"second", std::nullopt};
      },
      clock);
  std::jthread leader([&source] { EXPECT_EQ(source.Get({}).error().code, ECANCELED); });
  gate.AwaitCount(1);
  std::jthread waiter([&source] { EXPECT_EQ(source.Get({}).value(), "second"); });
  clock.AwaitAsked(2);
  gate.Open();
}

TEST(TokenSource, WaitingEndsWithTheStopToken) {
  FakeClock clock;
  std::stop_source release;
  Mutex mu;
  CondVar entered;
  bool inside = false;
  TokenSource source(
      [&](const std::stop_token&) -> Result<Token> {
        MutexLock lock(mu);
        inside = true;
        entered.NotifyAll();
        while (!release.stop_requested()) entered.Wait(mu, release.get_token());
        return Token{"late", std::nullopt};
      },
      clock);
  std::jthread leader([&source] { (void)source.Get({}); });
  {
    MutexLock lock(mu);
    while (!inside) entered.Wait(mu, {});
  }
  std::stop_source stop;
  stop.request_stop();
  Result<std::string> token = source.Get(stop.get_token());
  ASSERT_FALSE(token);
  EXPECT_EQ(token.error().code, ECANCELED);
  release.request_stop();
}

}  // namespace
}  // namespace outboxfs::remote
