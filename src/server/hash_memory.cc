#include "server/hash_memory.h"

#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <sstream>

#include "server/path.h"

namespace outboxfs::server {
namespace {

constexpr const char* kAttribute = "user.outboxfs.server.hashes";

// What ties a record to one state of a file.
std::string Stamp(const struct stat& st) {
  return std::to_string(st.st_size) + " " + std::to_string(st.st_mtim.tv_sec) + "." +
         std::to_string(st.st_mtim.tv_nsec);
}

// "STAMP TYPE=HEX TYPE=HEX"
std::string FormatRecord(const struct stat& st, const Hashes& hashes) {
  std::string record = Stamp(st);
  for (const auto& [type, hex] : hashes) record += " " + std::to_string(type) + "=" + hex;
  return record;
}

Hashes ParseRecord(const std::string& record, const struct stat& st) {
  const std::string stamp = Stamp(st) + " ";
  if (!record.starts_with(stamp)) return {};
  Hashes hashes;
  std::istringstream words(record.substr(stamp.size()));
  std::string word;
  while (words >> word) {
    const size_t equals = word.find('=');
    if (equals == 1 && std::isdigit(static_cast<unsigned char>(word[0])) != 0) {
      hashes[static_cast<uint32_t>(word[0] - '0')] = word.substr(2);
    }
  }
  return hashes;
}

std::string Key(uint32_t type, uint64_t size, std::string hex) {
  std::transform(hex.begin(), hex.end(), hex.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::to_string(type) + " " + std::to_string(size) + " " + hex;
}

}  // namespace

void HashMemory::Remember(int fd, const Hashes& hashes) {
  struct stat st {};
  if (hashes.empty() || ::fstat(fd, &st) < 0) return;
  const std::string record = FormatRecord(st, hashes);
  if (::fsetxattr(fd, kAttribute, record.data(), record.size(), 0) == 0) return;
  MutexLock lock(mu_);
  fallback_[st.st_ino] = record;
}

Hashes HashMemory::Recall(const std::string& local_path, const struct stat& st) const {
  std::array<char, 512> record{};
  const ssize_t size = ::lgetxattr(local_path.c_str(), kAttribute, record.data(), record.size());
  if (size >= 0) return ParseRecord(std::string(record.data(), static_cast<size_t>(size)), st);
  MutexLock lock(mu_);
  const auto found = fallback_.find(st.st_ino);
  return found == fallback_.end() ? Hashes() : ParseRecord(found->second, st);
}

void HashMemory::Index(const std::string& local_path, uint64_t size, const Hashes& hashes) {
  MutexLock lock(mu_);
  for (const auto& [type, hex] : hashes) index_[Key(type, size, hex)] = local_path;
}

std::optional<std::string> HashMemory::Find(uint64_t size, const Hashes& hashes) {
  WalkOnce();
  std::optional<std::string> path;
  {
    MutexLock lock(mu_);
    for (const auto& [type, hex] : hashes) {
      const auto found = index_.find(Key(type, size, hex));
      if (found != index_.end()) path = found->second;
    }
  }
  struct stat st {};
  if (!path || ::lstat(path->c_str(), &st) < 0) return std::nullopt;
  if (!S_ISREG(st.st_mode) || static_cast<uint64_t>(st.st_size) != size) return std::nullopt;
  const Hashes known = Recall(*path, st);
  bool one_equal = false;
  for (const auto& [type, hex] : hashes) {
    const auto other = known.find(type);
    if (other == known.end()) continue;
    if (Key(type, size, hex) != Key(type, size, other->second)) return std::nullopt;
    one_equal = true;
  }
  return one_equal ? path : std::nullopt;
}

void HashMemory::WalkOnce() {
  {
    MutexLock lock(mu_);
    if (std::exchange(walked_, true)) return;
  }
  namespace fs = std::filesystem;
  std::error_code ignored;
  fs::recursive_directory_iterator it(directory_, fs::directory_options::skip_permission_denied,
                                      ignored);
  for (; it != fs::recursive_directory_iterator(); it.increment(ignored)) {
    if (it->path().filename() == kPrivateFolder) it.disable_recursion_pending();
    struct stat st {};
    if (::lstat(it->path().c_str(), &st) < 0 || !S_ISREG(st.st_mode)) continue;
    Index(it->path().string(), static_cast<uint64_t>(st.st_size), Recall(it->path().string(), st));
  }
}

}  // namespace outboxfs::server
