#include "remote/dir_cache.h"

#include <algorithm>
#include <cerrno>
#include <utility>

namespace outboxfs::remote {
namespace {

struct ByName {
  bool operator()(const EntryPtr& a, const EntryPtr& b) const { return a->name < b->name; }
  bool operator()(const EntryPtr& a, const std::string& b) const { return a->name < b; }
  bool operator()(const std::string& a, const EntryPtr& b) const { return a < b->name; }
};

auto RangeOf(const std::vector<EntryPtr>& entries, const std::string& name) {
  return std::equal_range(entries.begin(), entries.end(), name, ByName());
}

Result<ListingPtr> MakeListing(SteadyTime begun, Result<DirContent> content) {
  if (!content) return Fail(std::move(content.error()));
  return std::make_shared<const Listing>(Listing::Of(begun, *std::move(content)));
}

// More doubts than that about one directory, and its listing is dropped.
constexpr size_t kMaxChanges = 10'000;

bool IsAtOrBelow(const std::string& dir, const std::string& top) {
  if (top == "/" || dir == top) return true;
  return dir.size() > top.size() && dir.starts_with(top) && dir[top.size()] == '/';
}

}  // namespace

Listing Listing::Of(SteadyTime begun, DirContent content) {
  Listing listing;
  listing.begun = begun;
  listing.refused = content.refused;
  listing.entries.reserve(content.entries.size());
  for (Entry& entry : content.entries) {
    listing.entries.push_back(std::make_shared<const Entry>(std::move(entry)));
  }
  std::stable_sort(listing.entries.begin(), listing.entries.end(), ByName());
  return listing;
}

const Entry* Listing::Find(const std::string& name) const {
  const auto [first, last] = RangeOf(entries, name);
  return first == last ? nullptr : first->get();
}

size_t Listing::Count(const std::string& name) const {
  const auto [first, last] = RangeOf(entries, name);
  return static_cast<size_t>(last - first);
}

// Its fields are guarded by the cache's mu_, except those that never change.
struct DirCache::Flight {
  Flight(SteadyTime begun_at, bool is_forced) : begun(begun_at), forced(is_forced) {}
  const SteadyTime begun;
  const bool forced;
  bool outdated = false;  // something changed meanwhile: for those who wait already, not for later
  std::optional<Result<ListingPtr>> result;
  CondVar landed;
};

DirCache::DirCache(NamespaceApi& api, const Clock& clock, std::chrono::nanoseconds ttl,
                   Limits limits)
    : api_(api), clock_(clock), ttl_(ttl), limits_(limits) {}
DirCache::DirCache(NamespaceApi& api, const Clock& clock, std::chrono::nanoseconds ttl)
    : DirCache(api, clock, ttl, Limits()) {}
DirCache::~DirCache() = default;

bool DirCache::Doubtful(const Slot& slot, const std::string* name) {
  if (name == nullptr) {
    return std::any_of(slot.changes.begin(), slot.changes.end(),
                       [](const auto& change) { return !change.second.known; });
  }
  const auto at = slot.changes.find(*name);
  return at != slot.changes.end() && !at->second.known;
}

bool DirCache::Overtaken(const Slot& slot, const Flight& flight, const std::string* name) {
  if (flight.outdated) return true;
  const auto after = [&flight](const Change& change) { return change.at > flight.begun; };
  if (name == nullptr) {
    return std::any_of(slot.changes.begin(), slot.changes.end(),
                       [&](const auto& change) { return after(change.second); });
  }
  const auto at = slot.changes.find(*name);
  return at != slot.changes.end() && after(at->second);
}

ListingPtr DirCache::FreshLocked(const std::string& dir, const std::string* name) const {
  const auto at = slots_.find(dir);
  if (at == slots_.end() || !at->second.listing) return nullptr;
  if (clock_.Now() - at->second.listing->begun >= ttl_) return nullptr;
  if (Doubtful(at->second, name)) return nullptr;
  ages_.splice(ages_.end(), ages_, at->second.age);
  return at->second.listing;
}

DirCache::Slot& DirCache::SlotLocked(const std::string& dir) {
  auto [at, made] = slots_.try_emplace(dir);
  if (made) at->second.age = ages_.insert(ages_.end(), dir);
  return at->second;
}

ListingPtr DirCache::Peek(const std::string& dir) const {
  MutexLock lock(mu_);
  return FreshLocked(dir, nullptr);
}

ListingPtr DirCache::Peek(const std::string& dir, const std::string& name) const {
  MutexLock lock(mu_);
  return FreshLocked(dir, &name);
}

ListingPtr DirCache::Last(const std::string& dir) const {
  MutexLock lock(mu_);
  const auto at = slots_.find(dir);
  return at == slots_.end() ? nullptr : at->second.listing;
}

Result<ListingPtr> DirCache::Get(const std::string& dir, const std::stop_token& stop) {
  return GetFor(dir, nullptr, stop);
}

Result<ListingPtr> DirCache::Get(const std::string& dir, const std::string& name,
                                 const std::stop_token& stop) {
  return GetFor(dir, &name, stop);
}

Result<ListingPtr> DirCache::GetFor(const std::string& dir, const std::string* name,
                                    const std::stop_token& stop) {
  MutexLock lock(mu_);
  for (;;) {
    if (ListingPtr listing = FreshLocked(dir, name)) return listing;
    Slot& slot = SlotLocked(dir);
    if (slot.flights.empty() || Overtaken(slot, *slot.flights.back(), name)) {
      return Fly(dir, false, stop);
    }
    // A copy: the slot lets go of it while we wait.
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization)
    const std::shared_ptr<Flight> flight = slot.flights.back();
    if (auto result = Join(flight, stop)) return *std::move(result);
  }
}

Result<ListingPtr> DirCache::Refresh(const std::string& dir, SteadyTime not_before,
                                     const std::stop_token& stop) {
  MutexLock lock(mu_);
  for (;;) {
    const Slot& slot = SlotLocked(dir);
    if (slot.listing && slot.forced && slot.listing->begun >= not_before) return slot.listing;
    const auto fits = [not_before](const std::shared_ptr<Flight>& flight) {
      return flight->forced && flight->begun >= not_before;
    };
    const auto at = std::find_if(slot.flights.begin(), slot.flights.end(), fits);
    if (at == slot.flights.end()) return Fly(dir, true, stop);
    // NOLINTNEXTLINE(performance-unnecessary-copy-initialization): as above
    const std::shared_ptr<Flight> flight = *at;
    if (auto result = Join(flight, stop)) return *std::move(result);
  }
}

std::optional<Result<ListingPtr>> DirCache::Join(const std::shared_ptr<Flight>& flight,
                                                 const std::stop_token& stop) {
  while (!flight->result) {
    if (stop.stop_requested()) return Fail(ECANCELED, "GetSubFiles: stopped");
    flight->landed.Wait(mu_, stop);
  }
  if (!*flight->result && flight->result->error().code == ECANCELED) return std::nullopt;
  return flight->result;
}

Result<ListingPtr> DirCache::Fly(const std::string& dir, bool forced, const std::stop_token& stop) {
  const auto flight = std::make_shared<Flight>(clock_.Now(), forced);
  SlotLocked(dir).flights.push_back(flight);
  mu_.unlock();
  Result<ListingPtr> result = MakeListing(flight->begun, api_.List(dir, forced, stop));
  mu_.lock();
  flight->result = result;
  flight->landed.NotifyAll();
  LandLocked(dir, flight);
  return result;
}

void DirCache::LandLocked(const std::string& dir, const std::shared_ptr<Flight>& flight) {
  const auto at = slots_.find(dir);  // there: a slot lives as long as its flights
  Slot& slot = at->second;
  std::erase(slot.flights, flight);
  const Result<ListingPtr>& result = *flight->result;
  // An older answer never replaces a newer one.
  const bool store =
      result && !flight->outdated && (!slot.listing || slot.listing->begun <= (*result)->begun);
  if (store) {
    StoreLocked(slot, *result, flight->forced);
    std::erase_if(slot.changes,
                  [&flight](const auto& change) { return change.second.at <= flight->begun; });
    for (auto& [name, change] : slot.changes) change.known = false;
    ShrinkLocked(dir);
  } else if (!slot.listing && slot.flights.empty()) {
    DropLocked(at);
    return;
  }
  if (slot.flights.empty()) {
    std::erase_if(slot.changes, [](const auto& change) { return change.second.known; });
  }
}

void DirCache::StoreLocked(Slot& slot, ListingPtr listing, bool forced) {
  if (slot.listing) entries_ -= slot.listing->entries.size();
  if (listing) entries_ += listing->entries.size();
  slot.listing = std::move(listing);
  slot.forced = forced;
  ages_.splice(ages_.end(), ages_, slot.age);
}

// Forgets what is known; flights under way keep the slot.
void DirCache::DropLocked(Slots::iterator at) {
  Slot& slot = at->second;
  if (slot.listing) entries_ -= slot.listing->entries.size();
  slot.listing = nullptr;
  slot.forced = false;
  slot.changes.clear();
  for (const auto& flight : slot.flights) flight->outdated = true;
  if (!slot.flights.empty()) return;
  ages_.erase(slot.age);
  slots_.erase(at);
}

void DirCache::ShrinkLocked(const std::string& keep) {
  auto age = ages_.begin();
  while ((slots_.size() > limits_.dirs || entries_ > limits_.entries) && age != ages_.end()) {
    const auto at = slots_.find(*age);
    ++age;
    if (at->first != keep && at->second.flights.empty()) DropLocked(at);
  }
}

// Calls under way may have missed it.
void DirCache::EditedLocked(Slot& slot, const std::string& name) {
  if (slot.flights.empty()) {
    slot.changes.erase(name);
  } else {
    slot.changes[name] = {clock_.Now(), true};
  }
}

void DirCache::Doubt(const std::string& dir, const std::string& name, bool gone) {
  MutexLock lock(mu_);
  const auto at = slots_.find(dir);
  if (at == slots_.end()) return;
  Slot& slot = at->second;
  const bool known =
      gone && slot.listing && slot.listing->Find(name) == nullptr && !Doubtful(slot, &name);
  if (known && slot.flights.empty()) return;
  if (slot.changes.size() >= kMaxChanges) return DropLocked(at);
  slot.changes[name] = {clock_.Now(), known};
}

void DirCache::Put(const std::string& dir, const Entry& entry) {
  MutexLock lock(mu_);
  const auto at = slots_.find(dir);
  if (at == slots_.end()) return;
  Slot& slot = at->second;
  EditedLocked(slot, entry.name);
  if (!slot.listing) return;
  // Which of several entries of one name it is cannot be known.
  if (slot.listing->Count(entry.name) > 1) return DropLocked(at);
  auto edited = std::make_shared<Listing>(*slot.listing);
  const auto place =
      std::lower_bound(edited->entries.begin(), edited->entries.end(), entry.name, ByName());
  auto made = std::make_shared<const Entry>(entry);
  if (place != edited->entries.end() && (*place)->name == entry.name) {
    *place = std::move(made);
  } else {
    edited->entries.insert(place, std::move(made));
  }
  StoreLocked(slot, std::move(edited), false);
}

void DirCache::Erase(const std::string& dir, const std::string& name) {
  MutexLock lock(mu_);
  const auto at = slots_.find(dir);
  if (at == slots_.end()) return;
  Slot& slot = at->second;
  EditedLocked(slot, name);
  if (!slot.listing) return;
  const size_t count = slot.listing->Count(name);
  if (count == 0) return;
  if (count > 1) return DropLocked(at);
  auto edited = std::make_shared<Listing>(*slot.listing);
  const auto [first, last] = RangeOf(edited->entries, name);
  edited->entries.erase(first, last);
  StoreLocked(slot, std::move(edited), false);
}

void DirCache::Invalidate(const std::string& dir) {
  MutexLock lock(mu_);
  const auto at = slots_.find(dir);
  if (at != slots_.end()) DropLocked(at);
}

void DirCache::InvalidateTree(const std::string& dir) {
  MutexLock lock(mu_);
  for (auto at = slots_.begin(); at != slots_.end();) {
    const auto here = at++;
    if (IsAtOrBelow(here->first, dir)) DropLocked(here);
  }
}

void DirCache::InvalidateAll() { InvalidateTree("/"); }

}  // namespace outboxfs::remote
