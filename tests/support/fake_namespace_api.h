// A remote tree in memory: counts calls, fails or blocks them on request, pushes what a test says.
// Thread-safe.
#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/mutex.h"
#include "remote/namespace_api.h"

namespace outboxfs::test {

class FakeNamespaceApi final : public remote::NamespaceApi {
 public:
  using Entry = remote::Entry;

  FakeNamespaceApi() { dirs_["/"]; }

  // --- The tree. Parents are made as needed; entries of one name may be added twice.
  void AddDir(const std::string& path) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    MakeDirLocked(path);
  }
  void AddEntry(const std::string& dir, Entry entry) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    MakeDirLocked(dir);
    dirs_[dir].push_back(std::move(entry));
  }
  void AddFile(const std::string& path, uint64_t size, remote::Hashes hashes = {}) {
    Entry entry;
    entry.name = Base(path);
    entry.size = size;
    entry.hashes = std::move(hashes);
    AddEntry(Parent(path), std::move(entry));
  }
  // So many entries of `dir` have names that cannot be shown.
  void SetRefused(const std::string& dir, size_t count) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    refused_[dir] = count;
  }
  // Every entry of that name goes, and what is below it.
  void Remove(const std::string& path) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    RemoveLocked(path);
  }
  std::vector<Entry> Content(const std::string& dir) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return dirs_[dir];
  }

  // --- Calls. `call` is the method's name: "List", "MakeDir", ...
  int Count(const std::string& call) const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    const auto at = counts_.find(call);
    return at == counts_.end() ? 0 : at->second;
  }
  // "List /a force", "Move /a/b /c", ... in order.
  std::vector<std::string> Log() const ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    return log_;
  }
  void FailNext(const std::string& call, Error error, int times = 1) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    for (int i = 0; i < times; ++i) failures_[call].push_back(error);
  }
  // From now on these calls wait until Release or their stop token.
  void Hold(const std::string& call) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    held_[call] = true;
  }
  void Release(const std::string& call) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    held_[call] = false;
    changed_.NotifyAll();
  }
  // Until `call` was made `count` times in all. False after 10 s.
  bool AwaitCount(const std::string& call, int count) ABSL_LOCKS_EXCLUDED(mu_) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu_);
    while (counts_[call] < count) {
      if (!changed_.WaitUntil(mu_, {}, deadline)) return false;
    }
    return true;
  }

  // --- Push.
  void Announce(remote::FsChange change) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    pushes_.push_back(std::move(change));
    changed_.NotifyAll();
  }
  // Every open stream ends with `error`.
  void BreakPush(Error error) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    push_error_ = std::move(error);
    ++push_breaks_;
    changed_.NotifyAll();
  }

  void SetSpace(remote::Space space) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    space_ = space;
  }
  // What GetDownloadLink gives: `prefix` + path.
  void SetLinkPrefix(std::string prefix) ABSL_LOCKS_EXCLUDED(mu_) {
    MutexLock lock(mu_);
    link_prefix_ = std::move(prefix);
  }

  // --- NamespaceApi.
  Result<remote::DirContent> List(const std::string& dir, bool force_refresh,
                                  const std::stop_token& stop) override {
    MutexLock lock(mu_);
    Status fine = EnterLocked("List", dir + (force_refresh ? " force" : ""), stop);
    if (!fine) return Fail(fine.error());
    const auto at = dirs_.find(dir);
    if (at == dirs_.end()) return Fail(ENOENT, "List: no such directory");
    return remote::DirContent{at->second, refused_[dir]};
  }
  Result<Entry> Find(const std::string& path, const std::stop_token& stop) override {
    MutexLock lock(mu_);
    Status fine = EnterLocked("Find", path, stop);
    if (!fine) return Fail(fine.error());
    const Entry* entry = FindLocked(path);
    if (entry == nullptr) return Fail(ENOENT, "Find: no such entry");
    return *entry;
  }
  Status MakeDir(const std::string& parent, const std::string& name,
                 const std::stop_token& stop) override {
    MutexLock lock(mu_);
    const std::string path = Join(parent, name);
    if (Status fine = EnterLocked("MakeDir", path, stop); !fine) return fine;
    if (!dirs_.contains(parent)) return Fail(ENOENT, "MakeDir: no such parent");
    if (FindLocked(path) != nullptr) return Fail(EEXIST, "MakeDir: exists");
    MakeDirLocked(path);
    return {};
  }
  Status Rename(const std::string& path, const std::string& new_name,
                const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("Rename", path + " " + new_name, stop); !fine) return fine;
    return RelocateLocked(path, Join(Parent(path), new_name));
  }
  Status Move(const std::string& path, const std::string& dest_dir,
              const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("Move", path + " " + dest_dir, stop); !fine) return fine;
    if (!dirs_.contains(dest_dir)) return Fail(ENOENT, "Move: no such directory");
    return RelocateLocked(path, Join(dest_dir, Base(path)));
  }
  Status Delete(const std::string& path, const std::stop_token& stop) override {
    MutexLock lock(mu_);
    if (Status fine = EnterLocked("Delete", path, stop); !fine) return fine;
    if (FindLocked(path) == nullptr) return Fail(ENOENT, "Delete: no such entry");
    RemoveLocked(path);
    return {};
  }
  Result<remote::Space> GetSpace(const std::string& path, const std::stop_token& stop) override {
    MutexLock lock(mu_);
    Status fine = EnterLocked("GetSpace", path, stop);
    if (!fine) return Fail(fine.error());
    return space_;
  }
  Result<remote::DownloadLink> GetDownloadLink(const std::string& path,
                                               const std::stop_token& stop) override {
    MutexLock lock(mu_);
    Status fine = EnterLocked("GetDownloadLink", path, stop);
    if (!fine) return Fail(fine.error());
    remote::DownloadLink link;
    link.url = link_prefix_ + path;
    return link;
  }
  Result<std::unique_ptr<remote::PushStream>> OpenPush(const std::stop_token& stop) override {
    MutexLock lock(mu_);
    Status fine = EnterLocked("OpenPush", "", stop);
    if (!fine) return Fail(fine.error());
    return std::make_unique<Stream>(*this, push_breaks_);
  }
  Result<remote::TokenFacts> Probe(const std::stop_token& stop) override {
    MutexLock lock(mu_);
    Status fine = EnterLocked("Probe", "", stop);
    if (!fine) return Fail(fine.error());
    return remote::TokenFacts{"/", true, true, true, std::nullopt};
  }

 private:
  // Takes the announcements in order; one stream at a time gets each.
  class Stream final : public remote::PushStream {
   public:
    Stream(FakeNamespaceApi& api, int breaks) : api_(api), breaks_(breaks) {}
    Result<remote::FsChange> Next() override {
      MutexLock lock(api_.mu_);
      while (!cancelled_ && api_.push_breaks_ == breaks_ && api_.pushes_.empty()) {
        api_.changed_.Wait(api_.mu_, {});
      }
      if (cancelled_) return Fail(ECANCELED, "push: cancelled");
      if (api_.push_breaks_ != breaks_) return Fail(api_.push_error_);
      remote::FsChange change = std::move(api_.pushes_.front());
      api_.pushes_.pop_front();
      return change;
    }
    void Cancel() override {
      MutexLock lock(api_.mu_);
      cancelled_ = true;
      api_.changed_.NotifyAll();
    }

   private:
    FakeNamespaceApi& api_;
    const int breaks_;
    bool cancelled_ = false;
  };

  static std::string Parent(const std::string& path) {
    const size_t slash = path.rfind('/');
    return slash == 0 ? "/" : path.substr(0, slash);
  }
  static std::string Base(const std::string& path) { return path.substr(path.rfind('/') + 1); }
  static std::string Join(const std::string& dir, const std::string& name) {
    return dir == "/" ? "/" + name : dir + "/" + name;
  }

  Status EnterLocked(const std::string& call, const std::string& what, const std::stop_token& stop)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    ++counts_[call];
    log_.push_back(what.empty() ? call : call + " " + what);
    changed_.NotifyAll();
    while (held_[call] && !stop.stop_requested()) changed_.Wait(mu_, stop);
    if (stop.stop_requested()) return Fail(ECANCELED, call + ": stopped");
    std::deque<Error>& failures = failures_[call];
    if (failures.empty()) return {};
    Error error = std::move(failures.front());
    failures.pop_front();
    return Fail(std::move(error));
  }
  Entry* FindLocked(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const auto at = dirs_.find(Parent(path));
    if (at == dirs_.end()) return nullptr;
    const std::string name = Base(path);
    for (Entry& entry : at->second) {
      if (entry.name == name) return &entry;
    }
    return nullptr;
  }
  void MakeDirLocked(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (dirs_.contains(path)) return;
    MakeDirLocked(Parent(path));
    Entry entry;
    entry.name = Base(path);
    entry.is_dir = true;
    dirs_[Parent(path)].push_back(std::move(entry));
    dirs_[path];
  }
  void RemoveLocked(const std::string& path) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    const std::string name = Base(path);
    std::erase_if(dirs_[Parent(path)], [&name](const Entry& e) { return e.name == name; });
    std::erase_if(dirs_, [&path](const auto& dir) {
      return dir.first == path || dir.first.starts_with(path + "/");
    });
  }
  Status RelocateLocked(const std::string& from, const std::string& to)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    Entry* found = FindLocked(from);
    if (found == nullptr) return Fail(ENOENT, "no such entry");
    if (FindLocked(to) != nullptr) return Fail(EEXIST, "the target exists");
    Entry entry = *found;
    entry.name = Base(to);
    std::map<std::string, std::vector<Entry>> below;
    for (auto& [dir, entries] : dirs_) {
      if (dir == from || dir.starts_with(from + "/")) below[to + dir.substr(from.size())] = entries;
    }
    RemoveLocked(from);
    dirs_.merge(below);
    dirs_[Parent(to)].push_back(std::move(entry));
    return {};
  }

  mutable Mutex mu_;
  mutable CondVar changed_;
  std::map<std::string, std::vector<Entry>> dirs_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, size_t> refused_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, int> counts_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, std::deque<Error>> failures_ ABSL_GUARDED_BY(mu_);
  std::map<std::string, bool> held_ ABSL_GUARDED_BY(mu_);
  std::vector<std::string> log_ ABSL_GUARDED_BY(mu_);
  std::deque<remote::FsChange> pushes_ ABSL_GUARDED_BY(mu_);
  Error push_error_ ABSL_GUARDED_BY(mu_);
  int push_breaks_ ABSL_GUARDED_BY(mu_) = 0;
  remote::Space space_ ABSL_GUARDED_BY(mu_) = {uint64_t{1} << 40, 0, uint64_t{1} << 40};
  std::string link_prefix_ ABSL_GUARDED_BY(mu_);
};

}  // namespace outboxfs::test
