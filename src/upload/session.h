// One run of one file, from the look before Start to the verified end, as a pure state machine:
// event in, actions out. No thread, lock, clock or I/O; the scheduler feeds it and carries the
// actions out. Events may come in any order and twice: what does not fit the state is ignored.
//
//   Looking -> Starting -> Serving -> Verifying -> Placing -> Ended
//      '----------'----------'------------'----------'-> Cleaning -> Ended
#pragma once

#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "cache/item.h"
#include "common/error.h"
#include "remote/upload_api.h"
#include "upload/proof.h"
#include "upload/source.h"
#include "upload/uploader.h"

namespace outboxfs::upload {

// What the look before Start showed.
struct Look {
  enum class Kind {
    kFree,   // start an upload to upload_path
    kThere,  // our bytes already stand, proven, at upload_path
    kAdopt,  // the server still runs our upload
  };
  Kind kind = Kind::kFree;
  std::string upload_path;
  std::optional<cache::Identity> replaced;
  bool hash_given = false;  // kThere, kAdopt: the server was given a whole-file hash of these bytes
  bool reported = false;    // kThere: the server's queue shows that it is done with them
};

// What became of an upload that was silent for long.
struct Lookup {
  enum class Kind {
    kRunning,  // in the server's queue
    kOver,     // in the queue, with a terminal status
    kThere,    // not in the queue, but the listing shows our bytes
    kGone,     // neither
  };
  Kind kind = Kind::kGone;
  remote::StatusChange status;  // kRunning, kOver
  bool blind = false;           // the queue may not be looked at: kRunning is only assumed
  bool looks_done = false;      // the listing shows a file that may be ours, unproven
  bool served_whole = false;    // the server has every byte: it waits for its cloud, not for us
};

namespace event {
struct Looked {
  Look look;
};
struct Started {
  std::string upload_id;
  bool hash_given = false;  // with Start
};
struct ReadAsked {
  remote::ReadRequest request;
};
struct HashAsked {
  remote::HashRequest request;
};
struct Told {
  remote::StatusChange change;
};
struct Troubled {
  Trouble trouble;
};
struct HashGiven {};  // a final hash message was delivered
struct Silent {};     // nothing was heard for long
struct LookedUp {
  Lookup lookup;
  bool long_silent = false;  // not a word for so long that it is worth beginning anew
};
struct Judged {
  Judgement judgement;
  bool placed = false;   // it stands at the item's own path, and the cache knows
  bool expired = false;  // a lagging listing has been given its time
  int unseen = 0;  // expired: runs of this item that ended without a sight of it, with this one
  bool unsure = false;  // kUnproven only because the last answers' calls failed
};
struct Computed {};  // the missing hashes are known now
struct Placed {};    // it stands at the item's own path, and the cache knows
struct Cleaned {};
struct Failed {  // the running job
  Error error;
  bool stale = false;  // because the generation is over
};
struct Stale {};  // the item was changed or deleted
}  // namespace event

using Event =
    std::variant<event::Looked, event::Started, event::ReadAsked, event::HashAsked, event::Told,
                 event::Troubled, event::HashGiven, event::Silent, event::LookedUp, event::Judged,
                 event::Computed, event::Placed, event::Cleaned, event::Failed, event::Stale>;

namespace action {
struct LookFirst {};
struct Start {};  // to upload_path(); answered by Started or Failed
struct Serve {};  // upload_id() is known from now on: deliver its messages, open its work
struct AnswerRead {
  remote::ReadRequest request;
};
struct AnswerHash {
  remote::HashRequest request;
};
struct StopWork {
  enum class How {
    kGently,      // success: let running answers end
    kAtOnce,      // nobody wants it any more
    kTellServer,  // ... and the server hears that running hash jobs are cancelled
  };
  How how = How::kAtOnce;
};
struct LookUp {};     // answered by LookedUp or Failed
struct AskReplay {};  // the server waits for us, but we have nothing to answer
struct Verify {};     // answered by Judged; asked again until then
struct Compute {      // answered by Computed or Troubled
  std::set<remote::HashType> types;
};
struct Place {};  // answered by Placed or Failed
struct Clean {    // cancel, wait for its end, delete what nobody wants; Cleaned or Failed
  bool cancel_only = false;  // what has come of it stays
};
struct End {
  enum class Outcome { kDone, kStale, kFailed, kNotCleaned };
  Outcome outcome = Outcome::kDone;
  Error error;               // kFailed, kNotCleaned
  bool upload_over = false;  // the server has nothing of it any more
};
}  // namespace action

using Action =
    std::variant<action::LookFirst, action::Start, action::Serve, action::AnswerRead,
                 action::AnswerHash, action::StopWork, action::LookUp, action::AskReplay,
                 action::Verify, action::Compute, action::Place, action::Clean, action::End>;
using Actions = std::vector<Action>;

class Session {
 public:
  enum class State { kLooking, kStarting, kServing, kVerifying, kPlacing, kCleaning, kEnded };

  // `item` as of the beginning; the caller then carries out Begin().
  explicit Session(const cache::Item& item);
  Actions Begin();       // an ordinary run
  Actions BeginClean();  // only to get rid of an upload that nobody wants any more
  Actions On(const Event& event);

  State state() const { return state_; }
  Phase phase() const;
  // Looking, starting and serving take a transfer place, unless paused on the server.
  bool TakesPlace() const;
  const std::string& upload_path() const { return upload_path_; }
  const std::string& upload_id() const { return upload_id_; }
  const std::optional<cache::Identity>& replaced() const { return replaced_; }
  bool hash_given() const { return hash_given_; }
  // The server said, or its queue showed, that it is done with these bytes.
  bool reported() const { return reported_; }
  bool was_running() const { return was_running_; }  // seen by this process
  bool missed() const { return misses_ > 0; }  // the last lookup found nothing: look again soon
  const std::string& note() const { return note_; }

 private:
  Actions Handle(const event::Looked& looked);
  Actions Handle(const event::Started& started);
  Actions Handle(const event::ReadAsked& asked);
  Actions Handle(const event::HashAsked& asked);
  Actions Handle(const event::Told& told);
  Actions Handle(const event::Troubled& troubled);
  Actions Handle(const event::HashGiven& given);
  Actions Handle(const event::Silent& silent);
  Actions Handle(const event::LookedUp& looked_up);
  Actions Handle(const event::Judged& judged);
  Actions Handle(const event::Computed& computed);
  Actions Handle(const event::Placed& placed);
  Actions Handle(const event::Cleaned& cleaned);
  Actions Handle(const event::Failed& failed);
  Actions Handle(const event::Stale& stale);

  void HeardFromServer();
  Actions ToServing();
  Actions ToVerifying();
  Actions ToCleaning(action::StopWork::How how);
  Actions OnGone();
  Actions OnElsewhere();
  Actions OnRunning(const event::LookedUp& looked_up);
  Actions OnUnseen(const event::Judged& judged);
  Actions EndFailed(Error error, bool upload_over);
  Actions EndStale();

  State state_ = State::kLooking;
  const int attempts_;
  std::string upload_path_;
  std::string upload_id_;
  std::optional<cache::Identity> replaced_;
  bool stale_ = false;
  bool paused_ = false;
  bool heard_ = false;  // any word about this upload came here
  bool hash_given_ = false;
  bool looking_up_ = false;
  bool computed_ = false;  // missing hashes were computed once
  int misses_ = 0;         // lookups in a row that found nothing
  int quiet_ = 0;          // lookups in a row that found it running, without a word in between
  int replays_ = 0;        // asked for in vain since the last word
  bool reported_ = false;
  bool skipped_ = false;
  bool was_running_ = false;
  bool keep_result_ = false;  // our own bytes are damaged: what the server has may be the last copy
  std::optional<Error> failure_;  // why it is being cleaned, unless stale
  std::string note_;
};

}  // namespace outboxfs::upload
