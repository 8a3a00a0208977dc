// How a remote removal or rename goes, step by step, and what has become of one that was cut short:
// decided from what forced listings show, never from what was sent (docs/ARCHITECTURE.md, "Remote
// renames and removals"). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cache/item.h"
#include "remote/namespace_api.h"

namespace outboxfs::fs {

// Full server paths of the names of an intent that is under way. All but `from` are empty where the
// intent has none.
struct Places {
  std::string from;
  std::string to;
  std::string passing_at_from;  // beside `from`
  std::string passing_at_to;    // beside `to`
  std::string aside;
};
Places PlacesOf(const cache::Intent& intent);

// One call. Names that two steps need are journalled with the intent, before the first of them.
struct ChangeStep {
  enum class Kind { kDelete, kRename, kMove };
  Kind kind = Kind::kDelete;
  std::string path;
  std::string argument;      // new name, or the directory to move to
  bool may_be_gone = false;  // nothing at `path` is as good
};
// All of them but the deletion of what was put aside: that waits for a listing.
std::vector<ChangeStep> StepsOf(const cache::Intent& intent);

// What forced listings show at the places.
struct Evidence {
  std::optional<remote::Entry> from;
  std::optional<remote::Entry> to;
  bool passing_at_from = false;
  bool passing_at_to = false;
  bool aside = false;
};

enum class SettlingStep {
  kHappened,   // all is done
  kNot,        // the names are as before
  kNameThere,  // beside the target under its passing name: give it its new name
  kMoveBack,   // ... or back to the source's directory
  kNameBack,   // beside the source: give it its old name again
  kDropAside,  // the source stands in its place: what it replaced goes
  kPutBack,    // it does not: what was to be replaced gets its name again
  // Its own name was taken by somebody else meanwhile: it gets one that is seen.
  kKeepPassing,
  kKeepAside,
};
// Forward where the source is known to have arrived, else back. `forward`: giving it the new name
// has not failed yet.
SettlingStep Decide(const cache::Intent& intent, const Evidence& evidence, bool forward);

// Beside a name that somebody else has taken.
std::string KeptName(const std::string& name, const std::string& temporary);

// Is `entry` what the intent found at its source? A move may change the id.
bool IsSource(const cache::Intent& intent, const remote::Entry& entry);

}  // namespace outboxfs::fs
