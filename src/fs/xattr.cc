// Extended attributes: the user's own, which the journal keeps, and ours, which tell about the
// file.
#include <cerrno>
#include <string_view>

#include "cache/paths.h"
#include "fs/filesystem.h"

namespace outboxfs::fs {
namespace {

constexpr std::string_view kUser = "user.";
constexpr std::string_view kOurs = "user.outboxfs.";

bool IsOurs(std::string_view name) { return name.starts_with(kOurs); }

Status CheckChangeable(std::string_view name) {
  if (!name.starts_with(kUser) || name == kUser) return FailErrno(EOPNOTSUPP, name);
  if (IsOurs(name)) return FailErrno(EPERM, name);
  return {};
}

// By what the attributes of an uploaded file are tied to the server's version (docs/SEMANTICS.md).
std::string IdentityWord(const cache::Identity& identity) {
  if (!identity.digests.empty()) return "hash";
  if (!identity.id.empty()) return "id";
  return identity.mtime_ns != 0 ? "time" : "weak";
}

std::optional<uint32_t> HashType(std::string_view name) {
  if (name == "hash.md5") return static_cast<uint32_t>(remote::HashType::kMd5);
  if (name == "hash.sha1") return static_cast<uint32_t>(remote::HashType::kSha1);
  if (name == "hash.pikpak_sha1") return static_cast<uint32_t>(remote::HashType::kPikPakSha1);
  return std::nullopt;
}

}  // namespace

Result<Filesystem::Known> Filesystem::KnownOf(const NodePtr& node) const {
  const auto path = PathOf(node);
  if (!path) return Fail(path.error());
  if (*path == "/") {
    Known known{.path = *path, .facts = RootFacts()};
    known.facts.remembered = true;
    return known;
  }
  MutexLock lock(node->mu);
  return Recollect(*path, node->entry);
}

bool Filesystem::IsDeletedOpen(const NodePtr& node) {
  MutexLock lock(node->mu);
  return node->open.item != 0;
}

Result<std::string> Filesystem::OurXattr(const Known& known, const std::string& name) {
  const std::string_view what = std::string_view(name).substr(kOurs.size());
  const bool item = known.overlay.kind == cache::Overlay::Kind::kItem;
  if (what == "state") return std::string(item ? ToString(known.overlay.item.state) : "remote");
  if (what == "error" && item && !known.overlay.item.reason.empty()) {
    return known.overlay.item.reason;
  }
  if (known.facts.is_dir()) return FailErrno(ENODATA, name);
  if (what == "identity" && !item) return IdentityWord(known.identity);
  if (const auto type = HashType(what)) {
    const cache::Digests& digests = item ? known.overlay.item.digests : known.identity.digests;
    const auto digest = digests.find(*type);
    if (digest != digests.end()) return digest->second;
  }
  return FailErrno(ENODATA, name);
}

Result<std::string> Filesystem::GetXattr(cache::Ino ino, const std::string& name) {
  if (!name.starts_with(kUser)) return FailErrno(ENODATA, name);  // asked for with every write
  const auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  const auto known = KnownOf(*node);
  if (!known && !IsDeletedOpen(*node)) return Fail(known.error());
  if (!known || known->facts.remembered) {
    if (!IsOurs(name)) return rooms_.store.Xattr(ino, name);
  }
  if (!known || !IsOurs(name)) return FailErrno(ENODATA, name);
  return OurXattr(*known, name);
}

Result<std::vector<std::string>> Filesystem::ListXattr(cache::Ino ino) {
  const auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  const auto known = KnownOf(*node);
  if (!known && !IsDeletedOpen(*node)) return Fail(known.error());
  // Ours are not listed: programs that copy xattrs would carry them elsewhere.
  if (known && !known->facts.remembered) return std::vector<std::string>();
  return rooms_.store.XattrNames(ino);
}

// The change of the times makes a row for a file that is only on the server, and drops what an
// older version of it had.
Status Filesystem::SetXattr(cache::Ino ino, const std::string& name, std::string_view value,
                            cache::Store::XattrMode mode) {
  if (auto status = CheckWritable(); !status) return status;
  if (auto status = CheckChangeable(name); !status) return status;
  const auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  if (auto status = ChangeAttr(*node, {}); !status) return status;
  return rooms_.store.SetXattr(ino, name, value, mode);
}

Status Filesystem::RemoveXattr(cache::Ino ino, const std::string& name) {
  if (auto status = CheckWritable(); !status) return status;
  if (auto status = CheckChangeable(name); !status) return status;
  const auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  if (auto status = ChangeAttr(*node, {}); !status) return status;
  return rooms_.store.RemoveXattr(ino, name);
}

}  // namespace outboxfs::fs
