#include "upload/session.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>

namespace outboxfs::upload {
namespace {

using State = Session::State;
using Outcome = action::End::Outcome;
using remote::UploadStatus;

template <typename T>
const T* Get(const Actions& actions) {
  for (const Action& action : actions) {
    if (const T* found = std::get_if<T>(&action)) return found;
  }
  return nullptr;
}
template <typename T>
bool Has(const Actions& actions) {
  return Get<T>(actions) != nullptr;
}

cache::Item SomeItem() {
  cache::Item item;
  item.id = 1;
  item.path = "/f";
  item.size = 10;
  item.generation = 1;
  return item;
}
event::Told Says(UploadStatus status) { return {{status, ""}}; }
event::Looked Free() { return {{Look::Kind::kFree, "/f", std::nullopt, false}}; }
event::Judged Found(Finding finding, bool placed = true, bool expired = false) {
  Judgement judgement;
  judgement.finding = finding;
  judgement.text = "words";
  return {judgement, placed, expired};
}

class SessionTest : public ::testing::Test {
 protected:
  void ToServing() {
    session_.Begin();
    session_.On(Free());
    session_.On(event::Started{"u1"});
    ASSERT_EQ(session_.state(), State::kServing);
  }
  void ToVerifying() {
    ToServing();
    session_.On(Says(UploadStatus::kFinish));
    ASSERT_EQ(session_.state(), State::kVerifying);
  }
  Session session_{SomeItem()};
};

TEST_F(SessionTest, TheOrdinaryWay) {
  EXPECT_TRUE(Has<action::LookFirst>(session_.Begin()));
  EXPECT_TRUE(Has<action::Start>(session_.On(Free())));
  EXPECT_TRUE(Has<action::Serve>(session_.On(event::Started{"u1"})));
  EXPECT_EQ(session_.upload_id(), "u1");
  EXPECT_TRUE(Has<action::AnswerRead>(session_.On(event::ReadAsked{{0, 10, false}})));
  EXPECT_TRUE(Has<action::AnswerHash>(session_.On(event::HashAsked{{1, 0}})));
  EXPECT_TRUE(Has<action::Verify>(session_.On(Says(UploadStatus::kFinish))));
  const Actions end = session_.On(Found(Finding::kProven));
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->outcome, Outcome::kDone);
}

TEST_F(SessionTest, OnlyLookingStartingAndServingTakeAPlace) {
  session_.Begin();
  EXPECT_TRUE(session_.TakesPlace());
  session_.On(Free());
  EXPECT_TRUE(session_.TakesPlace());
  session_.On(event::Started{"u1"});
  EXPECT_TRUE(session_.TakesPlace());
  session_.On(Says(UploadStatus::kPause));
  EXPECT_FALSE(session_.TakesPlace());
  EXPECT_EQ(session_.phase(), Phase::kPaused);
  session_.On(Says(UploadStatus::kTransfer));
  EXPECT_TRUE(session_.TakesPlace());
  session_.On(Says(UploadStatus::kFinish));
  EXPECT_FALSE(session_.TakesPlace());
}

TEST_F(SessionTest, OurBytesThereAlreadyAreVerifiedWithoutAStart) {
  session_.Begin();
  const Actions actions =
      session_.On(event::Looked{{Look::Kind::kThere, "/f", std::nullopt, true}});
  EXPECT_TRUE(Has<action::Verify>(actions));
  EXPECT_FALSE(Has<action::Start>(actions));
  EXPECT_TRUE(session_.hash_given());
}

TEST_F(SessionTest, AnUploadThatTheServerStillRunsIsTakenUpUnderItsOldId) {
  cache::Item item = SomeItem();
  item.upload_id = "old";
  item.upload_path = "/f";
  Session session(item);
  session.Begin();
  const Actions actions =
      session.On(event::Looked{{Look::Kind::kAdopt, "/f", std::nullopt, false}});
  EXPECT_TRUE(Has<action::Serve>(actions));
  EXPECT_EQ(session.upload_id(), "old");
}

TEST_F(SessionTest, ErrorIsCancelledFirstAndThenTriedAgain) {
  ToServing();
  EXPECT_TRUE(Has<action::Clean>(session_.On(Says(UploadStatus::kError))));
  const Actions end = session_.On(event::Cleaned{});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->outcome, Outcome::kFailed);
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kBackoff);
}

TEST_F(SessionTest, FatalErrorIgnoredAndForeignCancelPark) {
  for (const auto status :
       {UploadStatus::kFatalError, UploadStatus::kIgnored, UploadStatus::kCancelled}) {
    Session session(SomeItem());
    session.Begin();
    session.On(Free());
    session.On(event::Started{"u1"});
    const Actions end = session.On(Says(status));
    ASSERT_TRUE(Has<action::End>(end));
    EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kPark);
    EXPECT_TRUE(Get<action::End>(end)->upload_over);
  }
}

TEST_F(SessionTest, UnknownStatusesAreWaitedOut) {
  ToServing();
  EXPECT_TRUE(session_.On(Says(static_cast<UploadStatus>(99))).empty());
  EXPECT_EQ(session_.state(), State::kServing);
}

TEST_F(SessionTest, ARepeatedTerminalStatusChangesNothing) {
  ToVerifying();
  EXPECT_TRUE(session_.On(Says(UploadStatus::kFinish)).empty());
  EXPECT_TRUE(session_.On(Says(UploadStatus::kError)).empty());
  EXPECT_EQ(session_.state(), State::kVerifying);
}

TEST_F(SessionTest, AListingThatLagsIsAskedAgainUntilItsTimeIsOver) {
  ToVerifying();
  EXPECT_TRUE(Has<action::Verify>(session_.On(Found(Finding::kAbsent))));
  EXPECT_TRUE(Has<action::Verify>(session_.On(Found(Finding::kWrongHash))));
  const Actions end = session_.On(Found(Finding::kAbsent, false, true));
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kBackoff);
  EXPECT_NE(Get<action::End>(end)->error.text.find("words"), std::string::npos);
}

TEST_F(SessionTest, AWrongResultParksAtTheThirdTry) {
  cache::Item item = SomeItem();
  item.attempts = 2;
  Session session(item);
  session.Begin();
  session.On(Free());
  session.On(event::Started{"u1"});
  session.On(Says(UploadStatus::kFinish));
  const Actions end = session.On(Found(Finding::kWrongHash, false, true));
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kPark);
}

TEST_F(SessionTest, UnprovenIsParkedAtOnce) {
  ToVerifying();
  const Actions end = session_.On(Found(Finding::kUnproven));
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kPark);
  EXPECT_EQ(Get<action::End>(end)->error.code, cache::kUnprovenCode);
}

TEST_F(SessionTest, AMissingHashIsComputedOnceAndThenJudgedAgain) {
  ToVerifying();
  EXPECT_TRUE(Has<action::Compute>(session_.On(Found(Finding::kNeedHash))));
  EXPECT_TRUE(Has<action::Verify>(session_.On(event::Computed{})));
  EXPECT_FALSE(Has<action::Compute>(session_.On(Found(Finding::kNeedHash))));
}

TEST_F(SessionTest, WhatStandsElsewhereIsPlaced) {
  ToVerifying();
  EXPECT_TRUE(Has<action::Place>(session_.On(Found(Finding::kProven, false))));
  const Actions end = session_.On(event::Placed{});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->outcome, Outcome::kDone);
}

TEST_F(SessionTest, AFailedPlacingKeepsTheUploadForTheNextTry) {
  ToVerifying();
  session_.On(Found(Finding::kProven, false));
  const Actions end = session_.On(event::Failed{{EIO, Retry::kBackoff, "rename"}, false});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_FALSE(Get<action::End>(end)->upload_over);
}

TEST_F(SessionTest, AChangeWhileServingCancelsAtOnce) {
  ToServing();
  const Actions actions = session_.On(event::Stale{});
  ASSERT_TRUE(Has<action::StopWork>(actions));
  EXPECT_EQ(Get<action::StopWork>(actions)->how, action::StopWork::How::kTellServer);
  EXPECT_TRUE(Has<action::Clean>(actions));
  const Actions end = session_.On(event::Cleaned{});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->outcome, Outcome::kStale);
}

TEST_F(SessionTest, AChangeDuringStartIsCancelledByTheIdThatComesBack) {
  session_.Begin();
  session_.On(Free());
  EXPECT_TRUE(session_.On(event::Stale{}).empty());
  EXPECT_TRUE(Has<action::Clean>(session_.On(event::Started{"u7"})));
  EXPECT_EQ(session_.upload_id(), "u7");
}

TEST_F(SessionTest, AFailedStartLeavesTheUploadToTheNextLook) {
  session_.Begin();
  session_.On(Free());
  const Actions end = session_.On(event::Failed{{ETIMEDOUT, Retry::kBackoff, "start"}, false});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->outcome, Outcome::kFailed);
  EXPECT_FALSE(Get<action::End>(end)->upload_over);
}

TEST_F(SessionTest, AbsurdRequestsAndDamagedBytesAreCancelledAndParked) {
  for (const auto kind : {Trouble::Kind::kAbsurd, Trouble::Kind::kUnreadable}) {
    Session session(SomeItem());
    session.Begin();
    session.On(Free());
    session.On(event::Started{"u1"});
    EXPECT_TRUE(
        Has<action::Clean>(session.On(event::Troubled{{kind, {EPROTO, Retry::kBackoff, "why"}}})));
    const Actions end = session.On(event::Cleaned{});
    ASSERT_TRUE(Has<action::End>(end));
    EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kPark);
    EXPECT_EQ(Get<action::End>(end)->error.text, "why");
  }
}

TEST_F(SessionTest, SilenceIsLookedUpOnceAtATime) {
  ToServing();
  EXPECT_TRUE(Has<action::LookUp>(session_.On(event::Silent{})));
  EXPECT_FALSE(Has<action::LookUp>(session_.On(event::Silent{})));
  session_.On(event::LookedUp{{Lookup::Kind::kRunning, {}}});
  EXPECT_TRUE(Has<action::LookUp>(session_.On(event::Silent{})));
}

TEST_F(SessionTest, AnUploadThatIsGoneTwiceIsStartedAnew) {
  ToServing();
  session_.On(event::Silent{});
  EXPECT_TRUE(session_.On(event::LookedUp{{Lookup::Kind::kGone, {}}}).empty());
  EXPECT_TRUE(session_.missed());
  session_.On(event::Silent{});
  const Actions end = session_.On(event::LookedUp{{Lookup::Kind::kGone, {}}});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_TRUE(Get<action::End>(end)->upload_over);
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kBackoff);
}

TEST_F(SessionTest, ALostFinishIsFoundByTheLookup) {
  ToServing();
  session_.On(event::Silent{});
  EXPECT_TRUE(Has<action::Verify>(session_.On(event::LookedUp{{Lookup::Kind::kThere, {}}})));
}

TEST_F(SessionTest, AServerThatWaitsInSilenceIsAskedToRepeat) {
  ToServing();
  session_.On(event::Silent{});
  EXPECT_TRUE(session_.On(event::LookedUp{{Lookup::Kind::kRunning, {}}}).empty());
  session_.On(event::Silent{});
  EXPECT_TRUE(Has<action::AskReplay>(session_.On(event::LookedUp{{Lookup::Kind::kRunning, {}}})));
}

// What it says goes to another client of the account: the channel that is opened last gets it.
TEST_F(SessionTest, AServerThatReadsWithoutAWordIsAskedToRepeatThenBegunAnew) {
  for (const bool heard : {false, true}) {
    Session session(SomeItem());
    session.Begin();
    session.On(Free());
    session.On(event::Started{"u1"});
    session.On(event::Silent{});
    const event::LookedUp reads{{Lookup::Kind::kRunning, {UploadStatus::kTransfer, ""}}};
    EXPECT_TRUE(Has<action::AskReplay>(session.On(reads)));
    if (heard) session.On(event::ReadAsked{{0, 1, false}});
    session.On(event::Silent{});
    const Actions next = session.On(reads);
    EXPECT_EQ(Has<action::Clean>(next), !heard);
    EXPECT_EQ(next.empty(), heard);
  }
}

TEST_F(SessionTest, WhatAnEarlierRunWasAskedIsNotBegunAnewForALittleSilence) {
  Session session(SomeItem());
  session.Begin();
  session.On(event::Looked{{Look::Kind::kAdopt, "/f", std::nullopt, false}});
  session.On(event::Silent{});
  EXPECT_TRUE(
      session.On(event::LookedUp{{Lookup::Kind::kRunning, {UploadStatus::kTransfer, ""}}}).empty());
}

TEST_F(SessionTest, CleaningThatFailsIsReported) {
  Session session(SomeItem());
  EXPECT_TRUE(Has<action::Clean>(session.BeginClean()));
  const Actions end = session.On(event::Failed{{EIO, Retry::kBackoff, "no"}, false});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->outcome, Outcome::kNotCleaned);
}

TEST_F(SessionTest, DamageThatIsFoundWhileVerifyingLeavesTheServersCopyAlone) {
  ToVerifying();
  const Actions end = session_.On(
      event::Troubled{{Trouble::Kind::kUnreadable, {EILSEQ, Retry::kBackoff, "damaged"}}});
  EXPECT_FALSE(Has<action::Clean>(end));
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kPark);
  EXPECT_FALSE(Get<action::End>(end)->upload_over);
}

TEST_F(SessionTest, DamageThatIsFoundWhileServingCancelsAndDeletesNothing) {
  ToServing();
  const Actions actions = session_.On(
      event::Troubled{{Trouble::Kind::kUnreadable, {EILSEQ, Retry::kBackoff, "damaged"}}});
  ASSERT_TRUE(Has<action::Clean>(actions));
  EXPECT_TRUE(Get<action::Clean>(actions)->cancel_only);
  const Actions end = session_.On(event::Cleaned{});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_FALSE(Get<action::End>(end)->upload_over);
}

TEST_F(SessionTest, WhatNeverShowsUpParksAtTheThirdEnd) {
  for (const auto finding : {Finding::kAbsent, Finding::kPending, Finding::kOld}) {
    for (const int unseen : {1, 2, 3}) {
      Session session(SomeItem());
      session.Begin();
      session.On(Free());
      session.On(event::Started{"u1"});
      session.On(Says(UploadStatus::kFinish));
      event::Judged judged = Found(finding, false, true);
      judged.unseen = unseen;
      const Actions end = session.On(judged);
      ASSERT_TRUE(Has<action::End>(end));
      EXPECT_EQ(Get<action::End>(end)->error.retry, unseen < 3 ? Retry::kBackoff : Retry::kPark);
    }
  }
}

TEST_F(SessionTest, SkippedOverAnotherFileParksAtOnce) {
  for (const auto finding : {Finding::kOld, Finding::kWrongSize, Finding::kWrongHash}) {
    Session session(SomeItem());
    session.Begin();
    session.On(Free());
    session.On(event::Started{"u1"});
    session.On(Says(UploadStatus::kSkipped));
    EXPECT_TRUE(Has<action::Verify>(session.On(Found(finding))));
    const Actions end = session.On(Found(finding, false, true));
    ASSERT_TRUE(Has<action::End>(end));
    EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kPark);
    EXPECT_NE(Get<action::End>(end)->error.text.find("skipped"), std::string::npos);
  }
}

TEST_F(SessionTest, UnprovenForLastAnswersThatFailedIsTriedAgain) {
  ToVerifying();
  event::Judged judged = Found(Finding::kUnproven);
  judged.unsure = true;
  const Actions end = session_.On(judged);
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kBackoff);
}

// Two replays in vain, and after a long silence it is begun anew.
class SilentServer : public SessionTest {
 protected:
  Actions LookUpTwice(const Lookup& lookup, bool long_silent) {
    session_.On(event::Silent{});
    session_.On(event::LookedUp{lookup, long_silent});
    session_.On(event::Silent{});
    return session_.On(event::LookedUp{lookup, long_silent});
  }
  static Lookup Running(UploadStatus status) { return {Lookup::Kind::kRunning, {status, ""}}; }
};

TEST_F(SilentServer, IsGivenUpAfterTwoReplaysInVain) {
  ToServing();
  session_.On(event::ReadAsked{{0, 10, false}});
  const Lookup running = Running(UploadStatus::kTransfer);
  EXPECT_TRUE(Has<action::AskReplay>(LookUpTwice(running, false)));
  EXPECT_TRUE(Has<action::AskReplay>(LookUpTwice(running, true)));
  EXPECT_TRUE(LookUpTwice(running, false).empty());
  EXPECT_NE(session_.note().find("another client"), std::string::npos);
  session_.On(event::Silent{});
  EXPECT_TRUE(Has<action::Clean>(session_.On(event::LookedUp{running, true})));
  const Actions end = session_.On(event::Cleaned{});
  ASSERT_TRUE(Has<action::End>(end));
  EXPECT_EQ(Get<action::End>(end)->error.retry, Retry::kBackoff);
  EXPECT_NE(Get<action::End>(end)->error.text.find("another client"), std::string::npos);
}

TEST_F(SilentServer, IsLeftAloneWhileItHasEverythingOrWaitsItself) {
  Lookup busy = Running(UploadStatus::kTransfer);
  busy.served_whole = true;
  for (const Lookup& lookup : {busy, Running(UploadStatus::kInqueue), Running(UploadStatus::kPause),
                               Running(UploadStatus::kWaitForPreprocessing)}) {
    Session session(SomeItem());
    session.Begin();
    session.On(Free());
    session.On(event::Started{"u1"});
    for (int i = 0; i < 20; ++i) {
      session.On(event::Silent{});
      EXPECT_FALSE(Has<action::Clean>(session.On(event::LookedUp{lookup, true})));
    }
    EXPECT_EQ(session.state(), State::kServing);
  }
}

TEST_F(SilentServer, AWordInBetweenCountsFromTheBeginning) {
  ToServing();
  session_.On(event::ReadAsked{{0, 10, false}});
  const Lookup running = Running(UploadStatus::kTransfer);
  LookUpTwice(running, true);
  LookUpTwice(running, true);
  session_.On(event::ReadAsked{{0, 10, false}});
  EXPECT_TRUE(Has<action::AskReplay>(LookUpTwice(running, true)));
}

TEST_F(SessionTest, AnEndIsReportedByTheServerOrByItsQueue) {
  ToServing();
  EXPECT_FALSE(session_.reported());
  session_.On(event::Silent{});
  Lookup blind{Lookup::Kind::kThere, {}};
  blind.blind = true;
  session_.On(event::LookedUp{blind});
  EXPECT_EQ(session_.state(), State::kVerifying);
  EXPECT_FALSE(session_.reported());
}

TEST_F(SessionTest, AFinishIsAReport) {
  ToVerifying();
  EXPECT_TRUE(session_.reported());
}

// Whatever the order of events: at most one End, nothing after it, never a Start or a Place after
// the item changed, and an upload whose id is known is never left behind by a change.
TEST_F(SessionTest, EveryOrderOfEventsKeepsTheInvariants) {
  const std::vector<Event> events = {
      Free(),
      event::Started{"u1"},
      event::ReadAsked{{0, 10, false}},
      Says(UploadStatus::kFinish),
      event::Stale{},
      Found(Finding::kProven, false),
      event::Placed{},
      event::Cleaned{},
  };
  std::vector<size_t> order(events.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  do {
    Session session(SomeItem());
    session.Begin();
    bool ended = false;
    bool stale = false;
    bool cleaned = false;
    for (const size_t i : order) {
      const bool was_starting = session.state() == State::kStarting;
      const Actions actions = session.On(events[i]);
      ASSERT_FALSE(ended && !actions.empty());
      stale |= std::holds_alternative<event::Stale>(events[i]) && !ended;
      cleaned |= Has<action::Clean>(actions);
      ASSERT_FALSE(stale && (Has<action::Start>(actions) || Has<action::Place>(actions) ||
                             Has<action::Serve>(actions)));
      if (was_starting && std::holds_alternative<event::Started>(events[i])) {
        ASSERT_EQ(session.upload_id(), "u1");
      }
      if (const auto* end = Get<action::End>(actions)) {
        ended = true;
        ASSERT_FALSE(stale && end->outcome == Outcome::kStale && !session.upload_id().empty() &&
                     !cleaned);
      }
    }
    ASSERT_EQ(ended, session.state() == State::kEnded);
  } while (std::next_permutation(order.begin(), order.end()));
}

}  // namespace
}  // namespace outboxfs::upload
