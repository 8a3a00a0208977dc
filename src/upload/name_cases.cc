#include "upload/name_cases.h"

#include <algorithm>
#include <cerrno>

#include "upload/paths.h"

namespace outboxfs::upload {
namespace {

std::string CloudOf(const std::string& path) { return path.substr(0, path.find('/', 1)); }

}  // namespace

std::string FoldCase(std::string name) {
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return name;
}

const remote::Entry* FindOtherCase(const remote::Listing& listing, const std::string& name) {
  const std::string folded = FoldCase(name);
  const auto found = std::find_if(listing.entries.begin(), listing.entries.end(),
                                  [&](const remote::EntryPtr& entry) {
                                    return entry->name.size() == name.size() &&
                                           entry->name != name && FoldCase(entry->name) == folded;
                                  });
  return found == listing.entries.end() ? nullptr : found->get();
}

Status NameCases::Check(remote::NamespaceApi& names, const remote::Listing& listing,
                        const std::string& path, const std::stop_token& stop) {
  const std::string cloud = CloudOf(path);
  {
    MutexLock lock(mu_);
    if (const auto known = one_name_.find(cloud); known != one_name_.end() && !known->second) {
      return {};
    }
  }
  const std::string name = NameOf(path);
  const remote::Entry* other = FindOtherCase(listing, name);
  if (other == nullptr) return {};
  // Both are there, or only the other one is: then it answers to this name, or nothing does.
  bool one_name = listing.Find(name) == nullptr;
  if (one_name) {
    const auto found = names.Find(path, stop);
    if (!found && found.error().code != ENOENT) return Fail(found.error());
    one_name = found.has_value();
  }
  {
    MutexLock lock(mu_);
    one_name_[cloud] = one_name;
  }
  return one_name ? Status(OtherCase(other->name)) : Status();
}

tl::unexpected<Error> OtherCase(const std::string& other) {
  return Fail(EEXIST,
              "the server takes this name for '" + other +
                  "', which is there already: rename one of them, then 'outboxfs retry'",
              Retry::kPark);
}

}  // namespace outboxfs::upload
