// Symbolic links (--links): no cloud has them, so each is kept as a small file NAME.rclonelink with
// the target in it, as rclone does, and shown as the link NAME. A file of the plain name hides it.
// The operations themselves know files only; here and at the kernel's edge names are translated.
#include <fcntl.h>
#include <stdio.h>

#include <cerrno>
#include <cstring>

#include "cache/paths.h"
#include "common/disk.h"
#include "common/log.h"
#include "fs/filesystem.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr size_t kMaxTarget = 4095;  // PATH_MAX without its NUL
constexpr mode_t kLinkMode = 0777;

}  // namespace

bool Filesystem::ShowsAsLink(const std::string& name, const Facts& facts) const {
  return options_.links && !facts.is_dir() && IsLinkName(name);
}

std::string Filesystem::ShownName(const std::string& name) const {
  return options_.links && IsLinkName(name) ? PlainName(name) : name;
}

Status Filesystem::CheckNoLinkName(const std::string& name) const {
  if (!options_.links || !IsLinkName(name)) return {};
  return Fail(EPERM, name + ": with --links such names keep symlinks");
}

std::string Filesystem::StoredName(Call& call, cache::Ino parent, const std::string& name) {
  if (!options_.links || !CheckName(LinkName(name))) return name;
  const auto dir = DirOf(parent);
  if (!dir) return name;
  SlowLane lane(lane_, call);
  const auto plain = FindAny(*dir, name, lane);
  if (!plain || plain->facts) return name;
  const auto link = FindAny(*dir, LinkName(name), lane);
  const bool found = link && link->facts && !link->facts->is_dir();
  return found ? LinkName(name) : name;
}

Result<EntryReply> Filesystem::MakeSymlink(Call& call, cache::Ino parent, const std::string& name,
                                           const std::string& target) {
  // As on file systems without them: cp and tar then say so and go on, ln -s fails.
  if (!options_.links) return Fail(EPERM, name + " -> " + target + ": --links keeps symlinks");
  if (target.size() > kMaxTarget) return FailErrno(ENAMETOOLONG, name);
  auto created = Create(call, parent, LinkName(name), kLinkMode, O_WRONLY);
  if (!created) return Fail(created.error());
  const auto bytes = std::as_bytes(std::span(target));
  Status done = Write(created->opened.handle, bytes, 0);
  if (done) done = Flush(created->opened.handle);
  Release(created->opened.handle);
  if (!done) {  // half a link must not be uploaded
    const auto undone = Unlink(call, parent, LinkName(name));
    Forget(created->entry.ino, 1);
    if (!undone) Log::Warning("{}: {}", name, undone.error().text);
    return Fail(done.error());
  }
  created->entry.st.st_size = static_cast<off_t>(target.size());
  return created->entry;
}

Result<std::string> Filesystem::ReadLink(Call& call, cache::Ino ino) {
  const auto node = NodeOf(ino);
  if (!node) return Fail(node.error());
  const auto path = PathOf(*node);
  if (!path) return Fail(path.error());
  if (!options_.links || !IsLinkName(cache::NameOf(*path))) return FailErrno(EINVAL, *path);
  const auto opened = Open(call, ino, O_RDONLY);
  if (!opened) return Fail(opened.error());
  auto reply = Read(call, opened->handle, kMaxTarget, 0);
  if (reply && reply->fd >= 0) {
    reply->bytes.resize(kMaxTarget);
    const auto got = disk::ReadAt(reply->fd, reply->bytes, reply->offset);
    if (got) reply->bytes.resize(*got);
    if (!got) reply = Fail(got.error());
  }
  Release(opened->handle);
  if (!reply) return Fail(reply.error());
  std::string target(reply->bytes.size(), '\0');
  std::memcpy(target.data(), reply->bytes.data(), target.size());
  if (target.empty() || target.find('\0') != std::string::npos) {
    return Fail(EINVAL, *path + ": holds no link");
  }
  return target;
}

// A link that replaces a file, or a file that replaces a link, leaves the other one behind: it
// goes.
Status Filesystem::RenameShown(Call& call, cache::Ino from_dir, const std::string& from,
                               cache::Ino to_dir, const std::string& to, unsigned flags) {
  if (!options_.links) return Rename(call, from_dir, from, to_dir, to, flags);
  if (auto status = CheckNoLinkName(to); !status) return status;
  const std::string source = StoredName(call, from_dir, from);
  const std::string there = StoredName(call, to_dir, to);
  const std::string target = source == from ? to : LinkName(to);
  if (auto status = CheckName(target); !status) return status;
  const auto dir = DirOf(to_dir);
  if (!dir) return Fail(dir.error());
  bool other = there != target;  // what shows as `to` now, if anything, is of the other kind
  if (other) {
    SlowLane lane(lane_, call);
    const auto found = FindAny(*dir, there, lane);
    if (!found) return Fail(found.error());
    other = found->facts.has_value();
    if (other && (flags & RENAME_NOREPLACE) != 0) return FailErrno(EEXIST, to);
    if (other && found->facts->is_dir()) return FailErrno(EISDIR, to);
  }
  if (auto renamed = Rename(call, from_dir, source, to_dir, target, flags); !renamed) {
    return renamed;
  }
  return other ? Unlink(call, to_dir, there) : Status();
}

}  // namespace outboxfs::fs
