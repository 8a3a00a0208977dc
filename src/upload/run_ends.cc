// The scheduler's running half, second part: from the server's success (or a failure) to the end.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/log.h"
#include "upload/paths.h"
#include "upload/placing.h"
#include "upload/scheduler.h"
#include "upload/starting.h"

namespace outboxfs::upload {
namespace {

using cache::Item;
using cache::State;

constexpr auto kFirstVerifyRetry = std::chrono::milliseconds(250);
constexpr auto kMaxVerifyRetry = std::chrono::seconds(15);
// What is wrong, not only late, is believed after this part of the verification's patience.
constexpr int kWrongResultPart = 12;

}  // namespace

// ---- After success ----------------------------------------------------------------------------

void Scheduler::Perform(Run& run, const action::Verify& /*verify*/) {
  if (run.busy > 0) {
    run.wants_verify = true;
    return;
  }
  run.unsure |= reads_.ProgressOf(run.key).unsure;
  reads_.Close(run.key);
  const std::string dir = ParentOf(run.session.upload_path());
  if (std::exchange(run.judge_again, false)) {
    PostVerification({dir, {run.key}}, false);
    return;
  }
  const SteadyTime now = rooms_.clock.Now();
  if (!run.verify_since) {
    run.verify_since = run.listing_from = now;
    // This server lists hashes that it did not ask for: have them ready before the listing comes.
    std::set<remote::HashType> missing = MissingHashes(run);
    if (!missing.empty()) {
      Perform(run, action::Compute{std::move(missing)});
      return;
    }
  }
  const int tries = run.verify_tries++;
  if (tries > 0) {
    run.listing_from = now + Backoff(tries - 1, kFirstVerifyRetry, kMaxVerifyRetry, Chance());
  }
  board_.Add(dir, run.key, run.listing_from);
}

std::set<remote::HashType> Scheduler::MissingHashes(const Run& run) const {
  std::set<remote::HashType> missing = listed_hashes_;
  const std::optional<Item> now = rooms_.store.Get(run.item.id);
  if (!now) return {};
  for (const auto& [type, hex] : now->digests) missing.erase(static_cast<remote::HashType>(type));
  return missing;
}

void Scheduler::StartVerifications(SteadyTime now) {
  for (const VerifyBoard::Batch& batch : board_.TakeDue(now)) PostVerification(batch, true);
}

void Scheduler::PostVerification(const VerifyBoard::Batch& batch, bool from_board) {
  std::vector<VerifyTask> tasks;
  for (const RunKey key : batch.keys) {
    const Run* run = FindRun(key);
    if (run == nullptr || run->session.state() != Session::State::kVerifying) continue;
    tasks.push_back({key, run->item.id, run->item.generation, run->session.upload_path(),
                     run->session.hash_given(), run->session.reported(), run->listing_from});
  }
  workers_.Post(
      [this, dir = batch.dir, tasks = std::move(tasks), from_board](const std::stop_token& stop) {
        const SteadyTime begun = rooms_.clock.Now();
        auto outcomes = VerifyDirectory(rooms_, dir, tasks, stop);
        const auto took = rooms_.clock.Now() - begun;
        Post([this, dir, took, from_board, outcomes = std::move(outcomes)]()
                 ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
                   if (from_board) board_.Done(dir, took);
                   OnVerified(outcomes);
                 });
      });
}

void Scheduler::OnVerified(const std::vector<VerifyOutcome>& outcomes) {
  const SteadyTime now = rooms_.clock.Now();
  for (const VerifyOutcome& outcome : outcomes) {
    Run* run = FindRun(outcome.key);
    if (run == nullptr || run->ending) continue;
    if (outcome.stale) {
      Tell(outcome.key, event::Stale{});
    } else if (outcome.error) {  // nothing learnt: the patience starts afterwards
      Log::Debug("verify {}: {}", run->item.path, outcome.error->text);
      run->verify_since = now;
      if (run->session.state() == Session::State::kVerifying) Perform(*run, action::Verify{});
    } else {
      const bool late = MayBeLag(outcome.judgement.finding);
      listed_hashes_.insert(outcome.judgement.missing.begin(), outcome.judgement.missing.end());
      const auto patience = options_.verify_patience / (late ? 1 : kWrongResultPart);
      const bool expired = now - run->verify_since.value_or(now) >= patience;
      int& unseen = entries_[run->item.id].unseen;
      if (late && expired) ++unseen;
      Tell(outcome.key,
           event::Judged{outcome.judgement, outcome.placed, expired, unseen, run->unsure});
    }
  }
}

void Scheduler::Perform(Run& run, const action::Compute& compute) {
  workers_.Post(
      [this, source = SourceOf(run), types = compute.types](const std::stop_token& /*stop*/) {
        Source opened = source;
        auto reader = rooms_.store.OpenSealed(source.item, source.generation);
        if (reader) opened.reader = std::move(*reader);
        const Status outcome = reader ? Status() : Status(Fail(reader.error()));
        Post([this, opened, types, outcome]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          const Run* at = FindRun(opened.key);
          if (at == nullptr || at->session.state() != Session::State::kVerifying) return;
          if (!outcome) {
            Tell(opened.key, FailedEvent(outcome.error()));
            return;
          }
          hasher_.Open(opened, {});
          hasher_.Compute(opened.key, types);
        });
      });
}

void Scheduler::Perform(Run& run, const action::Place& /*place*/) {
  const std::optional<Item> now = rooms_.store.Get(run.item.id);
  const PlacingJob job{run.item.id, run.item.generation};
  const std::string target = now ? rooms_.ServerPath(now->path) : "";
  if (!target.empty() && !agenda_.Claim(target, run.item.id)) {
    const auto holder = entries_.find(agenda_.HolderOf(target));
    if (holder != entries_.end() && want_place_.contains(holder->second.run)) {
      StepOutOfTheWay(run, job);
    } else {
      want_place_.insert(run.key);
    }
    return;
  }
  want_place_.erase(run.key);
  workers_.Post([this, key = run.key, job](const std::stop_token& stop) {
    std::string step_to;
    const Status placed = Place(rooms_, job, step_to, stop);
    Post([this, key, placed, step_to]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      NoteStep(key, step_to);
      Tell(key, placed ? Event(event::Placed{}) : FailedEvent(placed.error()));
    });
  });
}

// The row of a deleted file does not take it any more; cleaning has to look there too.
void Scheduler::NoteStep(RunKey key, const std::string& step_to) {
  const Run* run = FindRun(key);
  if (run != nullptr && !step_to.empty()) entries_[run->item.id].step_to = step_to;
}

// Who has our target waits itself, perhaps for our own path: give that up.
void Scheduler::StepOutOfTheWay(Run& run, const PlacingJob& job) {
  want_place_.erase(run.key);
  workers_.Post([this, key = run.key, job](const std::stop_token& stop) {
    std::string step_to;
    const Status aside = StepAside(rooms_, job, step_to, stop);
    Post([this, key, job, aside, step_to]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      NoteStep(key, step_to);
      Run* at = FindRun(key);
      if (at == nullptr || at->ending) return;
      if (!aside) {
        Tell(key, FailedEvent(aside.error()));
        return;
      }
      const std::optional<Item> now = ItemOf(job.item);
      agenda_.KeepOnly(job.item, now ? now->upload_path : step_to, false);
      if (!now ||
          now->state == State::kRemoving) {  // deleted meanwhile: nothing is placed any more
        Tell(key, event::Failed{Error{ESTALE, Retry::kBackoff, "deleted"}, true});
        RetryPlacing();
        return;
      }
      want_place_.insert(key);
      RetryPlacing();
    });
  });
}

void Scheduler::RetryPlacing() {
  const std::set<RunKey> waiting = want_place_;
  for (const RunKey key : waiting) {
    Run* run = FindRun(key);
    if (run->session.state() == Session::State::kPlacing) Perform(*run, action::Place{});
  }
}

// ---- The end ----------------------------------------------------------------------------------

Leftover Scheduler::LeftoverOfRun(const Run& run) {
  Leftover leftover = LeftoverOf(rooms_, run.item);
  leftover.keep_path.clear();
  leftover.upload_id = run.session.upload_id();
  leftover.upload_path = run.session.upload_path();
  leftover.replaced = run.session.replaced();
  leftover.was_running = run.session.was_running();
  leftover.succeeded = run.session.reported();
  leftover.step_to = entries_[run.item.id].step_to;
  leftover.lag = entries_[run.item.id].lag;
  if (leftover.lag) {
    leftover.was_running |= leftover.lag->was_running;
    leftover.succeeded |= leftover.lag->succeeded;
  }
  const std::optional<Item> now = ItemOf(run.item.id);
  const std::string place = now ? rooms_.ServerPath(now->path) : "";
  const cache::ItemId holder = place.empty() ? 0 : agenda_.HolderOf(place);
  leftover.place_taken = holder != 0 && holder != run.item.id;
  const std::string own_path = rooms_.ServerPath(run.item.path);
  // Only while nothing else of ours can be going up there.
  const bool may_be_there = run.item.state == State::kRemoving && !own_path.empty();
  if (may_be_there && agenda_.Claim(own_path, run.item.id)) {
    leftover.maybe_at = own_path;
  }
  return leftover;
}

void Scheduler::Perform(Run& run, const action::Clean& clean) {
  Leftover leftover = LeftoverOfRun(run);
  leftover.cancel_only = clean.cancel_only;
  workers_.Post([this, key = run.key, leftover](const std::stop_token& stop) {
    Leftover now = leftover;
    std::string lived_at;
    const Status cleaned = CleanUpFollowing(rooms_, now, lived_at, stop);
    Post([this, key, cleaned, lived_at, step_to = now.step_to, lag = now.lag]()
             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
               NoteStep(key, step_to);
               Run* at = FindRun(key);
               if (at != nullptr && cleaned) at->cleaned_for = lived_at;
               if (at != nullptr) entries_[at->item.id].lag = lag;
               Tell(key, cleaned ? Event(event::Cleaned{}) : event::Failed{cleaned.error(), false});
             });
  });
}

void Scheduler::Perform(Run& run, const action::End& end) {
  using Outcome = action::End::Outcome;
  run.ending = true;
  reads_.Close(run.key);
  hasher_.Close(run.key, false);
  by_upload_id_.erase(run.session.upload_id());
  Entry& entry = entries_[run.item.id];
  const auto finalise = [this, key = run.key]()
                            ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Finalise(key); };
  switch (end.outcome) {
    case Outcome::kDone:
      ++uploads_done_;
      pauses_ = 0;
      entry = Entry{};
      entry.run = run.key;
      Log::Info("uploaded {}", run.item.path);
      Post(finalise);
      return;
    case Outcome::kStale:
      entry.failures = 0;
      entry.upload_id.clear();
      EndStale(run);
      return;
    case Outcome::kFailed:
      entry.upload_id.clear();
      EndFailed(run, end);
      return;
    case Outcome::kNotCleaned:
      Log::Info("{}: cancelling: {}", run.item.path, end.error.text);
      entry.upload_id = run.session.upload_id();
      if (entry.lag && entry.lag->ends > rooms_.clock.Now()) {
        entry.not_before = entry.lag->ends;
      } else {
        entry.not_before = rooms_.clock.Now() + Backoff(entry.failures++, options_.backoff_first,
                                                        options_.backoff_max, Chance());
      }
      Post(finalise);
      return;
  }
}

// What was cleaned for a path that the item has left since is cleaned again, by the next run.
void Scheduler::EndStale(const Run& run) {
  workers_.Post([this, key = run.key, id = run.item.id,
                 cleaned_for = run.cleaned_for](const std::stop_token& /*stop*/) {
    const std::optional<Item> item = ItemOf(id);
    Status told;
    const bool cleaned = cleaned_for || !item || item->upload_path.empty();
    if (!cleaned) {
      told = Fail(EAGAIN, "what an earlier upload left is still there");
    } else if (item && item->state == State::kRemoving) {
      const bool lived = cleaned_for && !cleaned_for->empty();
      told = lived ? Status(Fail(EAGAIN, "deleted meanwhile")) : rooms_.store.ForgetRemoved(id);
    } else if (item) {
      const bool kept = item->upload_path == rooms_.ServerPath(item->path);
      told = rooms_.store.MarkUploadOver(id, cleaned_for, kept);
    }
    Post([this, key, id, told]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      if (!told && told.error().code != EAGAIN) {
        Log::Warning("item {}: {}", id, told.error().text);
        entries_[id].not_before = rooms_.clock.Now() + options_.backoff_first;
      }
      Finalise(key);
    });
  });
}

void Scheduler::EndFailed(Run& run, const action::End& end) {
  const Error& error = end.error;
  const std::optional<Item> now = rooms_.store.Get(run.item.id);
  std::chrono::nanoseconds pause =
      Backoff(now ? now->attempts : 0, options_.backoff_first, options_.backoff_max, Chance());
  const bool park = error.retry == Retry::kPark;
  if (error.retry == Retry::kPauseAll) {
    PauseAll(error);
    pause = paused_until_ - rooms_.clock.Now();
  }
  Log::Notice("{} {}: {}", park ? "parked" : "will be tried again:", run.item.path, error.text);
  entries_[run.item.id].hurry = false;
  const int64_t not_before = park ? 0 : rooms_.clock.WallNs() + pause.count();
  workers_.Post([this, key = run.key, item = run.item, cleaned_for = run.cleaned_for, end,
                 not_before, park](const std::stop_token& /*stop*/) {
    Status told;
    if (end.upload_over) told = rooms_.store.MarkUploadOver(item.id, cleaned_for, false);
    if (told || told.error().code == EAGAIN) {
      told = rooms_.store.MarkFailed(item.id, item.generation, end.error, not_before, park);
    }
    Post([this, key, id = item.id, told]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      if (!told && !IsStale(told.error())) {
        Log::Warning("item {}: {}", id, told.error().text);
        entries_[id].not_before = rooms_.clock.Now() + options_.backoff_first;
      }
      Finalise(key);
    });
  });
}

void Scheduler::Finalise(RunKey key) {
  const auto it = runs_.find(key);
  if (it == runs_.end()) return;
  const cache::ItemId id = it->second->item.id;
  runs_.erase(it);
  active_.erase(key);
  want_place_.erase(key);
  entries_[id].run = 0;
  agenda_.ReleaseAll(id);
  Touch(id);
  RetryPlacing();
}

// ---- Directories ------------------------------------------------------------------------------

void Scheduler::MakeDirectory(Run& run) {
  workers_.Post([this, key = run.key, item = run.item](const std::stop_token& stop) {
    const Status made = MakeRemoteDir(rooms_, item, stop);
    Post([this, key, made]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      Run* at = FindRun(key);
      if (at == nullptr) return;
      if (made) {
        at->ending = true;
        pauses_ = 0;
        Finalise(key);
      } else if (IsStale(made.error()) || at->changed) {
        Finalise(key);  // what it left is cleaned as a new run
      } else {
        at->ending = true;
        EndFailed(*at, {action::End::Outcome::kFailed, made.error(), false});
      }
    });
  });
}

}  // namespace outboxfs::upload
