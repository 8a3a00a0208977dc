#include "fs/decision.h"

#include "cache/paths.h"
#include "fs/facts.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

using Kind = ChangeStep::Kind;

std::string Parent(const std::string& path) { return std::string(cache::ParentOf(path)); }
std::string Name(const std::string& path) { return std::string(cache::NameOf(path)); }

}  // namespace

Places PlacesOf(const cache::Intent& intent) {
  Places places;
  places.from = ServerPath(intent.folder, intent.remote_from);
  if (!intent.aside.empty() && intent.kind == cache::Intent::Kind::kRemove) {
    places.aside = JoinPath(Parent(places.from), intent.aside);
  }
  if (intent.kind == cache::Intent::Kind::kRemove) return places;
  places.to = ServerPath(intent.folder, intent.remote_to);
  if (!intent.passing.empty()) {
    places.passing_at_from = JoinPath(Parent(places.from), intent.passing);
    places.passing_at_to = JoinPath(Parent(places.to), intent.passing);
  }
  if (!intent.aside.empty()) places.aside = JoinPath(Parent(places.to), intent.aside);
  return places;
}

std::vector<ChangeStep> StepsOf(const cache::Intent& intent) {
  const Places at = PlacesOf(intent);
  if (intent.kind == cache::Intent::Kind::kRemove && !intent.aside.empty()) {
    return {{Kind::kRename, at.from, intent.aside, true}};
  }
  if (intent.kind == cache::Intent::Kind::kRemove) return {{Kind::kDelete, at.from, ""}};
  std::vector<ChangeStep> steps;
  if (!intent.aside.empty()) steps.push_back({Kind::kRename, at.to, intent.aside, true});
  if (Parent(at.from) == Parent(at.to)) {
    steps.push_back({Kind::kRename, at.from, Name(at.to)});
  } else if (Name(at.from) == Name(at.to)) {
    steps.push_back({Kind::kMove, at.from, Parent(at.to)});
  } else {
    // On its way it has a name that is nobody's in either directory.
    steps.push_back({Kind::kRename, at.from, intent.passing});
    steps.push_back({Kind::kMove, at.passing_at_from, Parent(at.to)});
    steps.push_back({Kind::kRename, at.passing_at_to, Name(at.to)});
  }
  return steps;
}

std::string KeptName(const std::string& name, const std::string& temporary) {
  constexpr size_t kLongest = 180;  // bytes, so that all of it is a name yet
  return (name.size() > kLongest ? "file" : name) + ".kept" + temporary.substr(temporary.find('-'));
}

bool IsSource(const cache::Intent& intent, const remote::Entry& entry) {
  if (entry.is_dir != (intent.what == cache::ItemKind::kDir)) return false;
  if (entry.is_dir || !intent.source) return true;
  cache::Identity was = *intent.source;
  cache::Identity is = IdentityOf(entry);
  if (!was.id.empty() && was.id == is.id && was.size == is.size) return true;
  was.id.clear();
  return cache::SameVersion(was, is);
}

SettlingStep Decide(const cache::Intent& intent, const Evidence& evidence, bool forward) {
  if (intent.kind == cache::Intent::Kind::kRemove) {
    return evidence.from ? SettlingStep::kNot : SettlingStep::kHappened;
  }
  const bool stays = evidence.from && IsSource(intent, *evidence.from);
  const bool arrived = evidence.to && IsSource(intent, *evidence.to) && !stays &&
                       !evidence.passing_at_from && !evidence.passing_at_to;
  // While an old version is moved, an upload may put the newer one in its place, and that is moved.
  const bool newer_arrived = intent.newer_here && evidence.to && !evidence.from &&
                             !evidence.passing_at_from && !evidence.passing_at_to;
  if (arrived || newer_arrived) {
    return evidence.aside ? SettlingStep::kDropAside : SettlingStep::kHappened;
  }
  if (evidence.passing_at_to) {
    return forward && !evidence.to ? SettlingStep::kNameThere : SettlingStep::kMoveBack;
  }
  if (evidence.passing_at_from) {
    return evidence.from ? SettlingStep::kKeepPassing : SettlingStep::kNameBack;
  }
  if (evidence.aside) return evidence.to ? SettlingStep::kKeepAside : SettlingStep::kPutBack;
  // Only an old version was to move; what is newer goes its own way.
  if (intent.newer_here && !evidence.from) return SettlingStep::kHappened;
  return SettlingStep::kNot;
}

}  // namespace outboxfs::fs
