// Bytes: what does not go past us in passthrough mode.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "cache/paths.h"
#include "fs/filesystem.h"

namespace outboxfs::fs {
namespace {

constexpr int kMostMoves = 20;  // of an open file, during one read

}  // namespace

Result<ReadReply> Filesystem::Read(Call& call, uint64_t number, size_t size, uint64_t offset) {
  const auto handle = handles_.Get(number);
  if (!handle) return FailErrno(EBADF, "read");
  ReadReply reply;
  cache::ItemId partial = 0;
  {
    MutexLock lock(handle->node->mu);
    const OpenFile& open = handle->node->open;
    if (open.read_pin) {
      reply.fd = (*open.read_pin)->read_fd();
      reply.offset = offset;
      reply.size = size;
      reply.keep = open.read_pin;
      if (!open.partial) return reply;
      partial = open.item;
    }
  }
  if (partial != 0) {
    SlowLane lane(lane_, call);
    const ByteRange range{offset, offset + size};
    if (auto here = Hydrate(handle->node, range, lane); !here) return Fail(here.error());
    return reply;
  }
  if (offset >= handle->remote_size) return reply;
  reply.bytes.resize(std::min<uint64_t>(size, handle->remote_size - offset));
  if (auto read = ReadRemote(call, *handle, reply.bytes, offset); !read) return Fail(read.error());
  return reply;
}

Status Filesystem::ReadRemote(Call& call, Handle& handle, std::span<std::byte> out,
                              uint64_t offset) {
  SlowLane lane(lane_, call);
  for (int moves = 0;; ++moves) {
    const auto server_path = ReadPathOf(handle.node);
    if (!server_path) return Fail(server_path.error());
    if (const auto path = PathOf(handle.node)) {
      if (auto same = CheckVersion(handle, *path, lane); !same) return same;
    }
    if (handle.reader.TryRead(*server_path, out, offset)) return {};
    const auto token = lane.Enter();
    if (!token) return Fail(token.error());
    const auto status = handle.reader.Read(*server_path, handle.remote_size, out, offset, *token);
    if (status) return {};
    // It may have been put aside just now, or be about to be.
    if (moves < kMostMoves && MayHaveMoved(handle.node, *server_path)) continue;
    Error error = lane.Explain(status.error());
    if (error.code != EINTR) error.code = EIO;
    return Fail(error.Prepend("read " + *server_path));
  }
}

// What is read must be of one version from the first byte to the last. A listing that cannot be had
// says nothing: then the bytes cannot be had either, or it is the old listing's fault only.
Status Filesystem::CheckVersion(Handle& handle, const std::string& path, SlowLane& lane) {
  const std::string at = ServerPathOf(path);
  const std::string folder(cache::ParentOf(at));
  const std::string name(cache::NameOf(at));
  remote::ListingPtr listing = rooms_.dirs.Peek(folder, name);
  if (!listing && rooms_.clock.Now() >= offline_until_.load()) {
    const auto token = lane.Enter();
    if (!token) return Fail(token.error());
    listing = rooms_.dirs.Get(folder, name, *token).value_or(nullptr);
  }
  const remote::Entry* entry = listing ? listing->Find(name) : nullptr;
  if (entry == nullptr || cache::SameVersion(IdentityOf(*entry), handle.remote_version)) return {};
  // What we have uploaded is newer than a listing that lags.
  if (rooms_.store.Lookup(path).kind != cache::Overlay::Kind::kNone) return {};
  handle.reader.Forget();
  return Fail(EIO, "read " + path + ": changed on the server since it was opened");
}

Status Filesystem::Write(uint64_t number, std::span<const std::byte> data, uint64_t offset) {
  const auto handle = handles_.Get(number);
  if (!handle || !handle->writable) return FailErrno(EBADF, "write");
  std::shared_ptr<cache::Pin> pin;
  bool partial = false;
  {
    MutexLock lock(handle->node->mu);
    pin = handle->node->open.write_pin;
    handle->node->open.dirty = true;
    partial = handle->node->open.partial;
  }
  return partial ? rooms_.store.WritePart(*pin, offset, data) : (*pin)->Write(data, offset);
}

Status Filesystem::Sync(Call& call, uint64_t number) {
  const auto handle = handles_.Get(number);
  if (!handle) return FailErrno(EBADF, "fsync");
  cache::ItemId item = 0;
  {
    MutexLock lock(handle->node->mu);
    item = handle->node->open.item;
  }
  if (item == 0) return {};
  SlowLane lane(lane_, call);
  if (const auto token = lane.Enter(); !token) return Fail(token.error());
  auto status = rooms_.store.Sync(item);
  if (!status && status.error().code == ENOENT) return {};  // deleted: nothing to keep
  return status;
}

Status Filesystem::Allocate(Call& call, uint64_t number, int mode, const ByteRange& range) {
  const auto handle = handles_.Get(number);
  if (!handle || !handle->writable) return FailErrno(EBADF, "fallocate");
  SlowLane lane(lane_, call);
  if (const auto token = lane.Enter(); !token) return Fail(token.error());
  std::shared_ptr<cache::Pin> pin;
  {
    MutexLock lock(handle->node->mu);
    pin = handle->node->open.write_pin;
    handle->node->open.dirty = true;
  }
  return rooms_.store.AllocatePart(*pin, mode, range);
}

Result<uint64_t> Filesystem::Seek(uint64_t number, uint64_t offset, int whence) {
  const auto handle = handles_.Get(number);
  if (!handle) return FailErrno(EBADF, "lseek");
  std::shared_ptr<cache::Pin> pin;
  uint64_t size = handle->remote_size;
  bool partial = false;
  {
    MutexLock lock(handle->node->mu);
    pin = handle->node->open.read_pin;
    partial = handle->node->open.partial;
  }
  if (pin && partial) {  // its holes are not zeros: data throughout
    const auto st = (*pin)->Stat();
    if (!st) return Fail(st.error());
    size = static_cast<uint64_t>(st->st_size);
  } else if (pin) {
    // The descriptor's own position is nobody's: all reads name their offset.
    const off_t found = ::lseek((*pin)->read_fd(), static_cast<off_t>(offset), whence);
    if (found < 0) return FailErrno(errno, "lseek");
    return static_cast<uint64_t>(found);
  }
  if (offset >= size) return FailErrno(ENXIO, "lseek");
  return whence == SEEK_HOLE ? size : offset;
}

}  // namespace outboxfs::fs
