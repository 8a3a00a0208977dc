// The scheduler's running half: carries out what the sessions want. First part: until the server
// has all it asked for.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/log.h"
#include "upload/scheduler.h"
#include "upload/starting.h"

namespace outboxfs::upload {
namespace {

using cache::Item;

constexpr auto kMaxPatience = std::chrono::minutes(10);
// Silence of this many first patiences is worth beginning anew.
constexpr int kLongSilence = 10;
constexpr auto kSoon = std::chrono::seconds(2);  // a second look at an upload that seems gone

}  // namespace

Scheduler::Run* Scheduler::FindRun(RunKey key) {
  const auto it = runs_.find(key);
  return it == runs_.end() ? nullptr : it->second.get();
}

void Scheduler::Tell(RunKey key, const Event& event) {
  Run* run = FindRun(key);
  if (run != nullptr && !run->ending && !run->takes_dir_place) Do(*run, run->session.On(event));
}

void Scheduler::Do(Run& run, const Actions& actions) {
  for (const Action& action : actions) {
    std::visit([this, &run](const auto& what)
                   ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Perform(run, what); },
               action);
  }
  NoteActive(run);
}

void Scheduler::NoteActive(const Run& run) {
  const Session::State state = run.session.state();
  const bool waits = state == Session::State::kVerifying || state == Session::State::kPlacing ||
                     state == Session::State::kEnded;
  if (waits) {
    active_.erase(run.key);
  } else {
    active_.insert(run.key);
  }
}

void Scheduler::Work(RunKey key, std::function<Event(const std::stop_token&)> job) {
  workers_.Post([this, key, job = std::move(job)](const std::stop_token& stop) {
    Event event = job(stop);
    Post([this, key, event = std::move(event)]()
             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Tell(key, event); });
  });
}

// ---- Before and at the start ------------------------------------------------------------------

void Scheduler::Perform(Run& run, const action::LookFirst& /*look*/) {
  const RunKey key = run.key;
  workers_.Post([this, key, item = run.item, listed = listed_hashes_](const std::stop_token& stop) {
    auto result = LookBeforeStart(rooms_, item, listed, stop);
    Post([this, key, result = std::move(result)]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      Run* at = FindRun(key);
      if (at == nullptr) return;
      if (!result) {
        Tell(key, FailedEvent(result.error()));
        return;
      }
      at->reader = result->reader;
      Tell(key, event::Looked{result->look});
    });
  });
}

void Scheduler::Perform(Run& run, const action::Start& /*start*/) {
  // Its own path may have been another's while this one went on where it was begun.
  const bool free = agenda_.Claim(run.session.upload_path(), run.item.id) &&
                    agenda_.Claim(rooms_.ServerPath(run.item.path), run.item.id);
  if (!free) {
    run.ending = true;
    Post([this, key = run.key]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { Finalise(key); });
    return;
  }
  Work(run.key,
       [this, item = run.item, path = run.session.upload_path(),
        replaced = run.session.replaced()](const std::stop_token& stop) -> Event {
         const auto started = StartUpload(rooms_, item, path, replaced, stop);
         if (!started) return FailedEvent(started.error());
         return event::Started{started->upload_id, started->hash_given};
       });
}

Source Scheduler::SourceOf(const Run& run) const {
  return Source{run.key, run.session.upload_id(), run.item.id, run.item.generation, run.reader};
}

void Scheduler::Perform(Run& run, const action::Serve& /*serve*/) {
  const std::string& id = run.session.upload_id();
  by_upload_id_[id] = run.key;
  reads_.Open(SourceOf(run));
  const std::optional<Item> now = rooms_.store.Get(run.item.id);
  hasher_.Open(SourceOf(run), now ? now->digests : cache::Digests{});
  Heard(run);
  run.patience = std::min(options_.first_word, options_.silence);
  for (remote::ChannelEvent& event : pen_.Take(id)) Deliver(std::move(event));
  if (pen_.HasLost(id)) channel_.Reopen();
}

// ---- Serving ----------------------------------------------------------------------------------

void Scheduler::Perform(Run& run, const action::AnswerRead& answer) {
  const remote::ReadRequest& request = answer.request;
  switch (reads_.Add(run.key, request)) {
    case ReadServer::Admission::kQueued:
    case ReadServer::Admission::kDuplicate:
    case ReadServer::Admission::kClosed:
      return;
    case ReadServer::Admission::kPastEnd:
      Absurd(run, fmt::format("the server asked for {} bytes at {} of a file of {}", request.length,
                              request.offset, run.item.size));
      return;
    case ReadServer::Admission::kTooMany:
      Absurd(run, "the server asked for too many ranges at once");
      return;
  }
}

void Scheduler::Perform(Run& run, const action::AnswerHash& answer) {
  switch (hasher_.Ask(run.key, answer.request)) {
    case Hasher::Admission::kQueued:
    case Hasher::Admission::kClosed:
      return;
    case Hasher::Admission::kUnknownType:  // no negative answer exists: the server has to go on
      ++refused_;
      Log::Warning("{}: the server asks for hash type {}, which is unknown", run.item.path,
                   answer.request.type);
      return;
    case Hasher::Admission::kTooManyBlocks:
      Absurd(run, fmt::format("the server asked for hashes of blocks of {} bytes",
                              answer.request.block_size));
      return;
  }
}

void Scheduler::Absurd(Run& run, std::string text) {
  ++refused_;
  Log::Warning("{}: {}", run.item.path, text);
  Post([this, key = run.key, text = std::move(text)]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Tell(key, event::Troubled{{Trouble::Kind::kAbsurd, Error{EPROTO, Retry::kPark, text}}});
  });
}

void Scheduler::Perform(Run& run, const action::StopWork& stop) {
  run.bytes_served = std::max(run.bytes_served, reads_.ProgressOf(run.key).served);
  run.bytes_hashed = std::max(run.bytes_hashed, hasher_.BytesHashed(run.key));
  using How = action::StopWork::How;
  if (stop.how == How::kGently) {
    run.busy = (reads_.CloseGently(run.key) ? 0 : 1) + (hasher_.CloseGently(run.key) ? 0 : 1);
  } else {
    reads_.Close(run.key);
    hasher_.Close(run.key, stop.how == How::kTellServer);
  }
  DropReader(run);
  const auto it = by_upload_id_.find(run.session.upload_id());
  // Late messages of a finished upload are no unknown ones: they go to the session, which ignores
  // them.
  if (it != by_upload_id_.end() && run.session.state() == Session::State::kEnded) {
    by_upload_id_.erase(it);
  }
}

// The last pin may remove the bytes of a deleted file: not on this thread.
void Scheduler::DropReader(Run& run) {
  if (run.reader == nullptr) return;
  workers_.Post([reader = std::move(run.reader)](const std::stop_token& /*stop*/) {});
  run.reader = nullptr;
}

void Scheduler::Heard(Run& run) {
  run.last_heard = run.last_word = rooms_.clock.Now();
  run.patience = options_.silence;
}

void Scheduler::CheckSilence(SteadyTime now) {
  std::vector<RunKey> silent;
  for (const RunKey key : active_) {
    Run* run = FindRun(key);
    if (run->session.state() != Session::State::kServing) continue;
    if (now < run->last_heard + run->patience) continue;
    const uint64_t bytes = reads_.ProgressOf(key).served + hasher_.BytesHashed(key);
    if (std::exchange(run->last_bytes, bytes) != bytes) {
      Heard(*run);
      continue;
    }
    run->last_heard = now;
    run->patience = run->patience < options_.silence
                        ? options_.silence
                        : std::min<std::chrono::nanoseconds>(run->patience * 2, kMaxPatience);
    silent.push_back(key);
  }
  for (const RunKey key : silent) Tell(key, event::Silent{});
}

void Scheduler::Perform(Run& run, const action::LookUp& /*look*/) {
  workers_.Post([this, key = run.key, id = run.item.id,
                 upload_id = run.session.upload_id()](const std::stop_token& stop) {
    const std::optional<Item> item = ItemOf(id);
    const auto found =
        item ? LookUp(rooms_, *item, upload_id, stop) : Result<Lookup>(Fail(ESTALE, "deleted"));
    Post([this, key, found]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
      if (!found) {
        Tell(key, FailedEvent(found.error()));
        return;
      }
      Run* at = FindRun(key);
      if (at == nullptr) return;
      const bool long_silent =
          rooms_.clock.Now() - at->last_word >= options_.silence * kLongSilence;
      Tell(key, event::LookedUp{*found, long_silent});
      at = FindRun(key);
      if (at != nullptr && at->session.missed()) at->patience = kSoon;
    });
  });
}

void Scheduler::Perform(Run& run, const action::AskReplay& /*ask*/) {
  Log::Info("{}: the server waits, but nothing is asked: opening the channel again", run.item.path);
  channel_.Reopen();
}

}  // namespace outboxfs::upload
