// Files of the server's that are deleted or replaced here while they are open, and not all of whose
// bytes are here: they are put aside on the server and read on (cache/store_holds.cc).
#include <algorithm>

#include "cache/paths.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr std::chrono::milliseconds kMoment{100};

}  // namespace

// 0: nobody reads it, or all of it is here.
cache::HoldId Filesystem::HoldReaders(const NodePtr& dir, const std::string& name,
                                      const std::string& path) {
  const NodePtr node = nodes_.Child(dir, name);
  if (!node || node->is_dir()) return 0;
  MutexLock lock(node->mu);
  const bool needed = node->open.handles > 0 && (node->open.item == 0 || node->open.partial);
  if (!needed || node->hold != 0 || ServerPathOf(path).empty()) return 0;
  node->hold = rooms_.store.Hold(path);
  return node->hold;
}

// It keeps its name.
void Filesystem::EndHold(const NodePtr& dir, const std::string& name, cache::HoldId hold) {
  if (hold == 0) return;
  rooms_.store.ReleaseHold(hold);
  const NodePtr node = nodes_.Child(dir, name);
  if (!node) return;
  MutexLock lock(node->mu);
  if (node->hold == hold) node->hold = 0;
}

// After the last handle.
void Filesystem::LetGoOfHold(Node& node) {
  if (node.hold == 0) return;
  rooms_.store.ReleaseHold(node.hold);
  node.hold = 0;
  changes_moved_.NotifyAll();
}

Result<std::string> Filesystem::ReadPathOf(const NodePtr& node) const {
  cache::HoldId hold = 0;
  {
    MutexLock lock(node->mu);
    hold = node->hold;
  }
  const auto path = PathOf(node);
  const std::string own = path ? ServerPathOf(*path) : "";
  if (path && (hold == 0 || !rooms_.store.IsBusy(own))) return own;
  const std::string at = rooms_.store.HeldAt(hold);
  if (at.empty()) return Fail(EIO, "deleted on the server");
  return ServerPath(options_.remote_folder, at);
}

// What is put aside is for a moment neither here nor there. False when that cannot be the reason.
bool Filesystem::MayHaveMoved(const NodePtr& node, const std::string& from) {
  const auto now = ReadPathOf(node);
  if (!now) return false;
  if (*now != from) return true;
  const bool moving = rooms_.store.IsBusy(from) || !PathOf(node);
  if (!moving) return false;
  const SteadyTime until = CondVar::Clock::now() + kMoment;
  MutexLock lock(changes_mu_);
  changes_moved_.WaitUntil(changes_mu_, lane_.exit.get_token(), until);
  return true;
}

// Before the first step of a change that would delete what is held.
Status Filesystem::PutAside(const cache::Intent& intent, cache::HoldId hold) {
  if (hold == 0) return {};
  const bool removed = intent.kind == cache::Intent::Kind::kRemove;
  const std::string& from = removed ? intent.remote_from : intent.remote_to;
  const std::string aside = JoinPath(cache::ParentOf(from), intent.aside);
  return rooms_.store.PutAside(intent.folder, from, aside);
}

void Filesystem::PutBack(const cache::Intent& intent, cache::HoldId hold) {
  const auto all = rooms_.store.Intents();
  const bool undecided = std::any_of(all.begin(), all.end(), [&](const cache::Intent& other) {
    return other.id == intent.id && !other.deferred;
  });
  if (hold == 0 || undecided) return;
  const bool removed = intent.kind == cache::Intent::Kind::kRemove;
  const std::string& from = removed ? intent.remote_from : intent.remote_to;
  const auto back = rooms_.store.PutBack(JoinPath(cache::ParentOf(from), intent.aside), from);
  if (!back) Log::Warning("{}: {}", from, back.error().text);
}

bool Filesystem::IsAside(const std::string& server_path) const {
  if (!rooms_.store.AnyDeferred()) return false;
  const auto all = rooms_.store.Intents();
  return std::any_of(all.begin(), all.end(), [&](const cache::Intent& intent) {
    return intent.is_aside() && ServerPath(intent.folder, intent.remote_from) == server_path;
  });
}

bool Filesystem::IsReadOn(const std::string& server_path) const {
  const auto remote = MountPath(options_.remote_folder, server_path);
  return remote && rooms_.store.IsHeld(*remote);
}

}  // namespace outboxfs::fs
