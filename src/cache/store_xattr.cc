// Extended attributes. They stay with the inode number over upload and eviction.
#include <cerrno>

#include "cache/store_impl.h"

namespace outboxfs::cache {

Result<std::string> StoreImpl::Xattr(Ino ino, const std::string& name) const {
  MutexLock lock(mu_);
  auto value = journal_->FindXattr(ino, name);
  if (!value) return Fail(value.error());
  if (!*value) return FailErrno(ENODATA, name);
  return **std::move(value);
}

Result<std::vector<std::string>> StoreImpl::XattrNames(Ino ino) const {
  MutexLock lock(mu_);
  return journal_->XattrNames(ino);
}

Status StoreImpl::SetXattr(Ino ino, const std::string& name, std::string_view value,
                           XattrMode mode) {
  MutexLock lock(mu_);
  if (mode != XattrMode::kSet) {
    const auto there = journal_->FindXattr(ino, name);
    if (!there) return Fail(there.error());
    if (*there && mode == XattrMode::kCreate) return FailErrno(EEXIST, name);
    if (!*there && mode == XattrMode::kReplace) return FailErrno(ENODATA, name);
  }
  return journal_->PutXattr(ino, name, value);
}

Status StoreImpl::RemoveXattr(Ino ino, const std::string& name) {
  MutexLock lock(mu_);
  const auto there = journal_->FindXattr(ino, name);
  if (!there) return Fail(there.error());
  if (!*there) return FailErrno(ENODATA, name);
  return journal_->DropXattr(ino, name);
}

}  // namespace outboxfs::cache
