#include "status/collect.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace outboxfs::status {
namespace {

using cache::Item;
using cache::State;
using upload::Phase;
using upload::Progress;

constexpr size_t kNamed = 10;  // of each kind in a summary

using ProgressById = std::unordered_map<cache::ItemId, Progress>;

ProgressById ById(std::vector<Progress> items) {
  ProgressById result;
  for (Progress& progress : items) result.emplace(progress.id, std::move(progress));
  return result;
}

const Progress* Of(const ProgressById& progress, const Item& item) {
  const auto found = progress.find(item.id);
  return found == progress.end() ? nullptr : &found->second;
}

bool IsStuck(const Item& item) {
  return item.state == State::kParked || item.state == State::kInterrupted;
}

// Neither a cached copy nor in need of a person.
bool IsPending(const Item& item) { return item.state != State::kClean && !IsStuck(item); }

// The order of the list: what moves, what needs a person, what waits.
int Rank(const Line& line) {
  for (const Phase phase :
       {Phase::kServing, Phase::kVerifying, Phase::kPlacing, Phase::kStarting, Phase::kPaused}) {
    if (line.state == ToString(phase)) return 0;
  }
  const bool stuck =
      line.state == ToString(State::kParked) || line.state == ToString(State::kInterrupted);
  return stuck ? 1 : 2;
}

// The uploader speaks of an item only while it has one to do; an open or sealing item has none yet.
bool HasPhase(State state) {
  return state == State::kWaiting || state == State::kUploading || state == State::kVerifying ||
         state == State::kPlacing;
}

Line MakeLine(const Item& item, const Progress* progress) {
  Line line;
  line.path = item.path;
  line.is_dir = item.kind == cache::ItemKind::kDir;
  line.state = ToString(item.state);
  line.size = item.size;
  line.attempts = item.attempts;
  line.next_try_ns = item.not_before_ns;
  line.note = item.reason;
  if (progress != nullptr && HasPhase(item.state)) {
    line.state = ToString(progress->phase);
    line.bytes_done = std::min(progress->bytes_served, item.size);
    if (line.note.empty()) line.note = progress->note;
  }
  return line;
}

// A rename or removal that is done here and not yet on the server.
Line MakeLine(const cache::Intent& rename) {
  Line line;
  const bool removed = rename.kind == cache::Intent::Kind::kRemove;
  line.path = removed ? rename.from : rename.to;
  line.is_dir = rename.what == cache::ItemKind::kDir;
  line.state = removed ? "removing" : "renaming";
  if (!rename.trouble.empty()) line.state = ToString(State::kParked);
  line.note = rename.trouble.empty() ? "on the server, when the uploads in it have ended"
                                     : "on the server: " + rename.trouble;
  return line;
}

std::vector<cache::Intent> Renames(const cache::Store& store) {
  if (!store.AnyDeferred()) return {};
  std::vector<cache::Intent> intents = store.Intents();
  // What is put aside for a reader waits for him.
  std::erase_if(intents, [&](const cache::Intent& intent) {
    return !intent.deferred || (intent.is_aside() && store.IsHeld(intent.remote_from));
  });
  return intents;
}

// What is in a directory whose rename needs a person waits for that.
bool IsBlocked(const std::vector<cache::Intent>& renames, const std::string& path) {
  return std::any_of(renames.begin(), renames.end(), [&](const cache::Intent& rename) {
    const std::string& name = rename.to.empty() ? rename.from : rename.to;
    return !rename.trouble.empty() && IsAtOrBelow(path, name);
  });
}

void AddPending(Summary& summary, const Line& line) {
  ++summary.items_pending;
  summary.bytes_pending += line.size;
  summary.bytes_done += line.bytes_done;
  if (summary.waiting.size() < kNamed) summary.waiting.push_back(line);
}

void AddStuck(Summary& summary, const Line& line) {
  ++summary.items_stuck;
  if (summary.stuck.size() < kNamed) summary.stuck.push_back(line);
}

}  // namespace

bool IsAtOrBelow(const std::string& path, const std::string& dir) {
  if (dir == "/" || path == dir) return true;
  return path.size() > dir.size() && path.starts_with(dir) && path[dir.size()] == '/';
}

bool IsAtOrBelowAny(const std::string& path, const std::vector<std::string>& paths) {
  return paths.empty() ||
         std::any_of(paths.begin(), paths.end(), [&](auto& dir) { return IsAtOrBelow(path, dir); });
}

Snapshot Collect(const Rooms& rooms, const About& about, size_t limit) {
  Snapshot snapshot;
  snapshot.about = about;
  snapshot.now_ns = rooms.clock.WallNs();
  snapshot.mount = rooms.session.Snapshot();
  snapshot.totals = rooms.store.Totals();
  snapshot.recovery = rooms.store.recovery();
  snapshot.uploads = rooms.uploader.Snapshot();
  const ProgressById progress = ById(std::exchange(snapshot.uploads.items, {}));
  for (const Item& item : rooms.store.All()) {
    if (item.state == State::kClean) continue;
    snapshot.lines.push_back(MakeLine(item, Of(progress, item)));
  }
  for (const cache::Intent& rename : Renames(rooms.store)) {
    snapshot.lines.push_back(MakeLine(rename));
  }
  std::stable_sort(snapshot.lines.begin(), snapshot.lines.end(),
                   [](const Line& a, const Line& b) { return Rank(a) < Rank(b); });
  if (limit != 0 && snapshot.lines.size() > limit) {
    snapshot.lines_left_out = snapshot.lines.size() - limit;
    snapshot.lines.resize(limit);
  }
  return snapshot;
}

Summary Summarise(const cache::Store& store, const upload::Uploader& uploader,
                  const std::vector<std::string>& paths) {
  const ProgressById progress = ById(uploader.Snapshot().items);
  Summary summary;
  const std::vector<cache::Intent> renames = Renames(store);
  for (const Item& item : store.All()) {
    if (!IsAtOrBelowAny(item.path, paths)) continue;
    const Line line = MakeLine(item, Of(progress, item));
    if (IsStuck(item) || (IsPending(item) && IsBlocked(renames, item.path))) {
      AddStuck(summary, line);
    } else if (IsPending(item)) {
      AddPending(summary, line);
    }
  }
  for (const cache::Intent& rename : renames) {
    if (!IsAtOrBelowAny(rename.to.empty() ? rename.from : rename.to, paths)) continue;
    rename.trouble.empty() ? AddPending(summary, MakeLine(rename))
                           : AddStuck(summary, MakeLine(rename));
  }
  return summary;
}

}  // namespace outboxfs::status
