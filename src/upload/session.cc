#include "upload/session.h"

#include <cerrno>
#include <utility>

#include "upload/policy.h"

namespace outboxfs::upload {
namespace {

using remote::UploadStatus;
using How = action::StopWork::How;

// One miss may be a server that is just moving the entry from its queue to the listing.
constexpr int kMissesUntilLost = 2;
constexpr int kQuietUntilReplay = 2;
constexpr int kMaxReplays = 2;
// A wrong result, or one that does not show up, is tried again this often before a person is asked:
// every try may leave another copy in the cloud.
constexpr int kResultTries = 2;
constexpr const char* kElsewhere =
    "the server asks nothing here: its messages seem to go to another client";

}  // namespace

Session::Session(const cache::Item& item)
    : attempts_(item.attempts),
      upload_path_(item.upload_path),
      upload_id_(item.upload_id),
      replaced_(item.replaced) {}

Actions Session::Begin() {
  state_ = State::kLooking;
  return {action::LookFirst{}};
}

Actions Session::BeginClean() {
  stale_ = true;
  return ToCleaning(How::kAtOnce);
}

Actions Session::On(const Event& event) {
  if (state_ == State::kEnded) return {};
  return std::visit([this](const auto& what) { return Handle(what); }, event);
}

Phase Session::phase() const {
  switch (state_) {
    case State::kLooking:
    case State::kStarting:
      return Phase::kStarting;
    case State::kServing:
      return paused_ ? Phase::kPaused : Phase::kServing;
    case State::kVerifying:
      return Phase::kVerifying;
    case State::kPlacing:
    case State::kCleaning:
    case State::kEnded:
      break;
  }
  return Phase::kPlacing;
}

bool Session::TakesPlace() const {
  return state_ == State::kLooking || state_ == State::kStarting ||
         (state_ == State::kServing && !paused_);
}

Actions Session::Handle(const event::Looked& looked) {
  if (state_ != State::kLooking) return {};
  upload_path_ = looked.look.upload_path;
  replaced_ = looked.look.replaced;
  hash_given_ = looked.look.hash_given;
  reported_ = looked.look.reported;
  switch (looked.look.kind) {
    case Look::Kind::kFree:
      upload_id_.clear();
      if (stale_) return EndStale();
      state_ = State::kStarting;
      return {action::Start{}};
    case Look::Kind::kThere:
      if (stale_) return ToCleaning(How::kAtOnce);
      return ToVerifying();
    case Look::Kind::kAdopt:
      heard_ = true;  // by an earlier run: it is not given up for a little silence
      if (stale_) return ToCleaning(How::kAtOnce);
      return ToServing();
  }
  return {};
}

Actions Session::Handle(const event::Started& started) {
  if (state_ != State::kStarting) return {};
  upload_id_ = started.upload_id;
  hash_given_ = started.hash_given;
  if (stale_) return ToCleaning(How::kAtOnce);
  return ToServing();
}

Actions Session::Handle(const event::ReadAsked& asked) {
  if (state_ != State::kServing) return {};
  HeardFromServer();
  return {action::AnswerRead{asked.request}};
}

Actions Session::Handle(const event::HashAsked& asked) {
  if (state_ != State::kServing) return {};
  HeardFromServer();
  return {action::AnswerHash{asked.request}};
}

Actions Session::Handle(const event::Told& told) {
  if (state_ != State::kServing) return {};
  HeardFromServer();
  const UploadStatus status = told.change.status;
  note_ = told.change.message;
  paused_ = status == UploadStatus::kPause;
  if (!remote::IsTerminal(status)) return {};
  if (IsSuccess(status)) {
    reported_ = true;
    skipped_ = status == UploadStatus::kSkipped;
    return ToVerifying();
  }
  Error error = FromStatus(told.change, upload_path_);
  if (status != UploadStatus::kError) return EndFailed(std::move(error), true);
  // The server may go on after an Error by itself: the old upload has to go before the next one.
  failure_ = std::move(error);
  return ToCleaning(How::kAtOnce);
}

Actions Session::Handle(const event::Troubled& troubled) {
  const Trouble& trouble = troubled.trouble;
  if (state_ != State::kServing && state_ != State::kVerifying) return {};
  switch (trouble.kind) {
    case Trouble::Kind::kUnknownUpload:
      // After a miss the next look follows by time: an entry may be just on its way.
      return missed() ? Actions{} : Handle(event::Silent{});
    case Trouble::Kind::kChanged:
      stale_ = true;
      return ToCleaning(How::kTellServer);
    case Trouble::Kind::kUnreadable:
      keep_result_ = true;
      if (state_ == State::kVerifying) {
        return EndFailed(Error{trouble.error.code, Retry::kPark, trouble.error.text}, false);
      }
      [[fallthrough]];
    case Trouble::Kind::kAbsurd:
      failure_ = trouble.error;
      failure_->retry = Retry::kPark;
      return ToCleaning(How::kTellServer);
    case Trouble::Kind::kRefused:
      failure_ = trouble.error;
      return ToCleaning(How::kTellServer);
  }
  return {};
}

Actions Session::Handle(const event::HashGiven& /*given*/) {
  hash_given_ = true;
  return {};
}

Actions Session::Handle(const event::Silent& /*silent*/) {
  if (state_ != State::kServing || looking_up_) return {};
  looking_up_ = true;
  return {action::LookUp{}};
}

Actions Session::Handle(const event::LookedUp& looked_up) {
  looking_up_ = false;
  if (state_ != State::kServing) return {};
  switch (looked_up.lookup.kind) {
    case Lookup::Kind::kRunning:
      return OnRunning(looked_up);
    case Lookup::Kind::kOver:
      return Handle(event::Told{looked_up.lookup.status});
    case Lookup::Kind::kThere:
      reported_ |= !looked_up.lookup.blind;
      hash_given_ = false;  // nothing shows what the server did with it
      return ToVerifying();
    case Lookup::Kind::kGone:
      return OnGone();
  }
  return {};
}

Actions Session::OnRunning(const event::LookedUp& looked_up) {
  const Lookup& lookup = looked_up.lookup;
  const UploadStatus status = lookup.status.status;
  misses_ = 0;
  paused_ = status == UploadStatus::kPause;
  note_ = lookup.status.message;
  // In these it asks nothing of anybody.
  if (paused_ || status == UploadStatus::kInqueue) return {};
  // It has begun to read: that was said, but not here.
  const bool elsewhere = !heard_ && status == UploadStatus::kTransfer && !lookup.served_whole;
  if (elsewhere && replays_ > 0) return OnElsewhere();
  if (!elsewhere && ++quiet_ < kQuietUntilReplay) return {};
  if (replays_ < kMaxReplays) {
    quiet_ = 0;
    ++replays_;
    return {action::AskReplay{}};
  }
  const bool at_work = status == UploadStatus::kTransfer || status == UploadStatus::kPreprocessing;
  const bool waits_for_us = lookup.blind ? lookup.looks_done : at_work && !lookup.served_whole;
  if (!waits_for_us) return {};
  note_ = kElsewhere;
  return looked_up.long_silent ? OnElsewhere() : Actions();
}

// It may be bound to the client whose channel was the newest at Start. That is ours by now.
Actions Session::OnElsewhere() {
  note_ = kElsewhere;
  failure_ = Error{EREMOTEIO, Retry::kBackoff, note_};
  return ToCleaning(How::kAtOnce);
}

Actions Session::OnGone() {
  if (++misses_ < kMissesUntilLost) return {};
  return EndFailed(Error{EREMOTEIO, Retry::kBackoff, "the server no longer knows this upload"},
                   true);
}

Actions Session::Handle(const event::Judged& judged) {
  if (state_ != State::kVerifying) return {};
  const Judgement& judgement = judged.judgement;
  note_ = judgement.text;
  switch (judgement.finding) {
    case Finding::kProven:
      if (judged.placed) {
        state_ = State::kEnded;
        return {action::End{action::End::Outcome::kDone, {}, true}};
      }
      state_ = State::kPlacing;
      return {action::Place{}};
    case Finding::kNeedHash:
      if (computed_) break;
      computed_ = true;
      return {action::Compute{judgement.missing}};
    case Finding::kUnproven:
      if (judged.unsure && attempts_ < kResultTries) {
        return EndFailed(Error{EREMOTEIO, Retry::kBackoff, judgement.text}, true);
      }
      return EndFailed(Error{cache::kUnprovenCode, Retry::kPark, judgement.text}, true);
    case Finding::kTwice:
    case Finding::kWrongKind:
      return EndFailed(Error{EREMOTEIO, Retry::kPark, judgement.text}, true);
    case Finding::kAbsent:
    case Finding::kPending:
    case Finding::kOld:
    case Finding::kWrongSize:
    case Finding::kWrongHash:
      break;
  }
  return judged.expired ? OnUnseen(judged) : Actions{action::Verify{}};
}

// The listing has had its time, and still shows something else.
Actions Session::OnUnseen(const event::Judged& judged) {
  const Finding finding = judged.judgement.finding;
  const std::string& shown = judged.judgement.text;
  const bool another =
      finding == Finding::kOld || finding == Finding::kWrongSize || finding == Finding::kWrongHash;
  if (skipped_ && another) {
    return EndFailed(
        Error{EEXIST, Retry::kPark,
              "the server skipped it: another file of this name is there (" + shown + ")"},
        true);
  }
  Error error{EREMOTEIO, Retry::kBackoff, "reported as uploaded, but " + shown};
  if (!MayBeLag(finding)) {
    if (attempts_ >= kResultTries) error.retry = Retry::kPark;
  } else if (judged.unseen > kResultTries) {
    error.retry = Retry::kPark;
    error.text = "reported as uploaded " + std::to_string(judged.unseen) + " times, but " + shown +
                 "; the cloud may keep it under another name";
  }
  return EndFailed(std::move(error), true);
}

Actions Session::Handle(const event::Computed& /*computed*/) {
  if (state_ != State::kVerifying) return {};
  return {action::Verify{}};
}

Actions Session::Handle(const event::Placed& /*placed*/) {
  if (state_ != State::kPlacing) return {};
  state_ = State::kEnded;
  return {action::End{action::End::Outcome::kDone, {}, true}};
}

Actions Session::Handle(const event::Cleaned& /*cleaned*/) {
  if (state_ != State::kCleaning) return {};
  if (stale_ || !failure_) return EndStale();
  // What was kept is looked for by the next try.
  return EndFailed(*failure_, !keep_result_);
}

Actions Session::Handle(const event::Failed& failed) {
  if (failed.stale) stale_ = true;
  switch (state_) {
    case State::kLooking:
      if (!stale_) return EndFailed(failed.error, false);
      return ToCleaning(How::kAtOnce);
    case State::kStarting:
      if (failed.stale) return EndStale();  // nothing was sent
      // The server may have begun it all the same.
      if (!stale_) return EndFailed(failed.error, false);
      return ToCleaning(How::kAtOnce);
    case State::kServing:  // a lookup: the next one follows by time
      looking_up_ = false;
      return {};
    case State::kVerifying:
    case State::kPlacing:
      if (!stale_) return EndFailed(failed.error, false);
      return ToCleaning(How::kAtOnce);
    case State::kCleaning: {
      state_ = State::kEnded;
      const bool known = failure_ && !stale_;
      return {action::End{known ? action::End::Outcome::kFailed : action::End::Outcome::kNotCleaned,
                          known ? *failure_ : failed.error, false}};
    }
    case State::kEnded:
      break;
  }
  return {};
}

Actions Session::Handle(const event::Stale& /*stale*/) {
  stale_ = true;
  // Elsewhere a job is running whose end must be awaited: it may be about to start or to move
  // something.
  if (state_ == State::kServing || state_ == State::kVerifying) return ToCleaning(How::kTellServer);
  return {};
}

void Session::HeardFromServer() {
  heard_ = true;
  misses_ = 0;
  quiet_ = 0;
  replays_ = 0;
}

Actions Session::ToServing() {
  was_running_ = true;
  state_ = State::kServing;
  return {action::Serve{}};
}

Actions Session::ToVerifying() {
  state_ = State::kVerifying;
  paused_ = false;
  return {action::StopWork{How::kGently}, action::Verify{}};
}

Actions Session::ToCleaning(How how) {
  state_ = State::kCleaning;
  paused_ = false;
  return {action::StopWork{how}, action::Clean{keep_result_ && !stale_}};
}

Actions Session::EndFailed(Error error, bool upload_over) {
  if (stale_) return ToCleaning(How::kAtOnce);
  state_ = State::kEnded;
  return {action::StopWork{},
          action::End{action::End::Outcome::kFailed, std::move(error), upload_over}};
}

Actions Session::EndStale() {
  state_ = State::kEnded;
  return {action::End{action::End::Outcome::kStale, {}, true}};
}

}  // namespace outboxfs::upload
