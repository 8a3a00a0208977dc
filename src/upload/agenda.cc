#include "upload/agenda.h"

#include "upload/name_cases.h"
#include "upload/paths.h"

namespace outboxfs::upload {

using cache::ItemId;

void Agenda::Put(Task task) {
  Drop(task.id);
  const ItemId id = task.id;
  timers_.emplace(task.due, id);
  Slot& slot = tasks_[id];
  slot.task = std::move(task);
}

void Agenda::Drop(ItemId id) {
  const auto it = tasks_.find(id);
  if (it == tasks_.end()) return;
  Unlink(it->second);
  tasks_.erase(it);
}

void Agenda::Unlink(const Slot& slot) {
  const Task& task = slot.task;
  switch (slot.where) {
    case Where::kTimer:
      timers_.erase({task.due, task.id});
      return;
    case Where::kReady:
      ReadyOf(task.lane).erase({task.order, task.id});
      return;
    case Where::kBlocked:
      for (auto [it, end] = blocked_.equal_range(slot.blocked_on); it != end; ++it) {
        if (it->second == task.id) {
          blocked_.erase(it);
          return;
        }
      }
      return;
  }
}

void Agenda::MakeReady(Slot& slot) {
  Unlink(slot);
  slot.where = Where::kReady;
  slot.task.phase = Phase::kQueued;
  slot.blocked_on.clear();
  ReadyOf(slot.task.lane).emplace(slot.task.order, slot.task.id);
}

void Agenda::Block(Slot& slot, const std::string& on) {
  Unlink(slot);
  slot.where = Where::kBlocked;
  slot.blocked_on = on;
  blocked_.emplace(on, slot.task.id);
}

void Agenda::Unblock(const std::string& path) {
  std::vector<ItemId> freed;
  for (auto [it, end] = blocked_.equal_range(path); it != end; ++it) freed.push_back(it->second);
  for (const ItemId id : freed) MakeReady(tasks_.at(id));
}

std::optional<ItemId> Agenda::TakeNext(SteadyTime now, const Places& places) {
  while (!timers_.empty() && timers_.begin()->first <= now) {
    MakeReady(tasks_.at(timers_.begin()->second));
  }
  while (const std::optional<ItemId> id = FirstReady(places)) {
    Slot& slot = tasks_.at(*id);
    const std::string blocker = BlockerOf(slot.task);
    if (!blocker.empty()) {
      Block(slot, blocker);
      continue;
    }
    if (!slot.task.begun.empty()) Claim(slot.task.begun, *id);
    Claim(slot.task.path, *id);
    Drop(*id);
    return id;
  }
  return std::nullopt;
}

std::optional<ItemId> Agenda::FirstReady(const Places& places) {
  std::optional<Order> first;
  const auto consider = [this, &first](bool allowed, Lane lane) {
    const std::set<Order>& ready = ReadyOf(lane);
    if (!allowed || ready.empty()) return;
    if (!first || *ready.begin() < *first) first = *ready.begin();
  };
  consider(places.clean, Lane::kClean);
  consider(places.dir, Lane::kDir);
  consider(places.small, Lane::kSmall);
  consider(places.large, Lane::kLarge);
  if (!first) return std::nullopt;
  return first->second;
}

std::string Agenda::BlockerOf(const Task& task) const {
  const std::string& needed = task.begun.empty() ? task.path : task.begun;
  const ItemId holder = HolderOf(needed);
  if (holder != 0 && holder != task.id) return FoldCase(needed);
  if (task.lane == Lane::kClean) return "";
  for (std::string dir = ParentOf(task.path);; dir = ParentOf(dir)) {
    if (const auto it = missing_.find(dir); it != missing_.end() && it->second.id != task.id) {
      return dir;
    }
    if (dir == "/") return "";
  }
}

void Agenda::SetMissingDir(ItemId id, const std::string& path, bool parked) {
  const auto it = missing_of_.find(id);
  if (it == missing_of_.end() || it->second != path) {
    ClearMissingDir(id);
    missing_of_[id] = path;
  }
  missing_[path] = {id, parked};
}

void Agenda::ClearMissingDir(ItemId id) {
  const auto it = missing_of_.find(id);
  if (it == missing_of_.end()) return;
  const std::string path = it->second;
  missing_of_.erase(it);
  if (const auto dir = missing_.find(path); dir != missing_.end() && dir->second.id == id) {
    missing_.erase(dir);
  }
  Unblock(path);
}

bool Agenda::IsBelowParked(const Task& task) const {
  for (std::string dir = ParentOf(task.path);; dir = ParentOf(dir)) {
    if (const auto it = missing_.find(dir); it != missing_.end() && it->second.parked) return true;
    if (dir == "/") return false;
  }
}

bool Agenda::WaitsForParked(const Slot& slot) const {
  return IsBelowParked(slot.task) || parked_holders_.contains(HolderOf(slot.blocked_on));
}

size_t Agenda::CountStuck(bool renames_stuck) const {
  size_t stuck = 0;
  for (const auto& [id, slot] : tasks_) {
    const bool held = slot.where == Where::kTimer && (slot.task.phase == Phase::kHeld ||
                                                      (renames_stuck && slot.task.awaits_rename));
    if (held || (slot.where == Where::kBlocked && WaitsForParked(slot))) ++stuck;
  }
  return stuck;
}

bool Agenda::Claim(const std::string& path, ItemId id) {
  const std::string name = FoldCase(path);
  const auto [it, is_new] = claims_.emplace(name, id);
  if (is_new) claims_of_[id].push_back(name);
  return it->second == id;
}

void Agenda::KeepOnly(ItemId id, const std::string& at, bool parked) {
  const std::string path = FoldCase(at);
  const auto held = claims_of_.extract(id);
  if (!held.empty()) {
    for (const std::string& other : held.mapped()) {
      if (other == path) continue;
      claims_.erase(other);
      Unblock(other);
    }
    if (HolderOf(path) == id) claims_of_[id] = {path};
  }
  if (!path.empty()) Claim(path, id);
  if (parked && !path.empty()) {
    parked_holders_.insert(id);
  } else {
    parked_holders_.erase(id);
  }
}

void Agenda::ReleaseAll(ItemId id) {
  parked_holders_.erase(id);
  const auto held = claims_of_.extract(id);
  if (held.empty()) return;
  for (const std::string& path : held.mapped()) {
    claims_.erase(path);
    Unblock(path);
  }
}

ItemId Agenda::HolderOf(const std::string& path) const {
  const auto it = claims_.find(FoldCase(path));
  return it == claims_.end() ? 0 : it->second;
}

std::optional<SteadyTime> Agenda::NextDue() const {
  if (timers_.empty()) return std::nullopt;
  return timers_.begin()->first;
}

std::string Agenda::WaitsFor(ItemId id) const {
  const auto it = tasks_.find(id);
  if (it == tasks_.end()) return "";
  if (it->second.task.awaits_rename) return "for the rename of its directory on the server";
  if (it->second.where != Where::kBlocked) return "";
  const std::string& on = it->second.blocked_on;
  if (const auto dir = missing_.find(on); dir != missing_.end()) {
    return "for its directory " + NameOf(on) + (dir->second.parked ? ", which is parked" : "");
  }
  return "for another operation on this name";
}

const Agenda::Task* Agenda::Find(ItemId id) const {
  const auto it = tasks_.find(id);
  return it == tasks_.end() ? nullptr : &it->second.task;
}

}  // namespace outboxfs::upload
