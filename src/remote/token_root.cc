#include "remote/token_root.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/log.h"

namespace outboxfs::remote {
namespace {

bool IsWithin(const std::string& path, const std::string& folder) {
  return folder == "/" || path == folder ||
         (path.starts_with(folder) && path[folder.size()] == '/');
}

std::string Convert(const std::string& path, const std::string& root, bool from_full,
                    bool to_full) {
  if (root == "/" || from_full == to_full) return path;
  if (to_full) return path == "/" ? root : root + path;
  if (!IsWithin(path, root)) return path;  // outside: the server will say so
  return path == root ? "/" : path.substr(root.size());
}

// No answer, as opposed to a negative one.
bool IsSilence(const Error& error) {
  return error.code == EIO || error.code == ETIMEDOUT || error.code == EAGAIN ||
         error.code == ECANCELED;
}

}  // namespace

std::string PathForms::ToServer(const std::string& path) const {
  return Convert(path, root, ours_full, servers_full);
}

std::string PathForms::ToOurs(const std::string& path) const {
  return Convert(path, root, IsWithin(path, root), ours_full);
}

bool ShowsWayTo(const std::string& root, const std::vector<std::string>& paths) {
  return !paths.empty() && std::all_of(paths.begin(), paths.end(), [&](const std::string& path) {
    return IsWithin(root, path);
  });
}

TokenRoot::TokenRoot(Questions questions, std::string folder)
    : questions_(std::move(questions)), folder_(std::move(folder)) {}

Result<std::shared_ptr<const PathForms>> TokenRoot::Get(const std::stop_token& stop) {
  {
    MutexLock lock(mu_);
    if (known_) return known_;
  }
  Result<PathForms> forms = Ask(stop);  // several at once ask the same and get the same
  if (!forms) return Fail(forms.error());
  MutexLock lock(mu_);
  if (!known_) known_ = std::make_shared<const PathForms>(*std::move(forms));
  return known_;
}

Result<PathForms> TokenRoot::Ask(const std::stop_token& stop) const {
  PathForms forms;
  if (!questions_.root) return forms;
  Result<std::string> root = questions_.root(stop);
  if (!root && IsSilence(root.error())) return Fail(root.error());
  if (!root) return forms;  // no API token, or none that is accepted: the call itself will tell
  while (root->size() > 1 && root->ends_with('/')) root->pop_back();
  if (root->empty() || *root == "/") return forms;
  const Result<std::vector<std::string>> listed = questions_.list(stop);
  if (!listed && IsSilence(listed.error())) return Fail(listed.error());
  forms.root = *root;
  forms.ours_full = IsWithin(folder_, *root);
  // Who may not even list "/" has its paths from there.
  forms.servers_full = !listed || ShowsWayTo(*root, *listed);
  Log::Notice("the token is restricted to {}; the server's paths start at {}", *root,
              forms.servers_full ? "its own root" : "that folder");
  return forms;
}

}  // namespace outboxfs::remote
