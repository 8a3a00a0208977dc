// Bytes: what does not go past us in passthrough mode.
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fs/filesystem.h"

namespace outboxfs::fs {

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
  if (handle->reader.TryRead(reply.bytes, offset)) return reply;
  SlowLane lane(lane_, call);
  const auto token = lane.Enter();
  if (!token) return Fail(token.error());
  const auto path = PathOf(handle->node);
  if (!path) return Fail(EIO, "deleted on the server");
  const auto status =
      handle->reader.Read(ServerPathOf(*path), handle->remote_size, reply.bytes, offset, *token);
  if (status) return reply;
  Error error = lane.Explain(status.error());
  if (error.code != EINTR) error.code = EIO;
  return Fail(error.Prepend("read " + *path));
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
