// The words of the room: what a staged item is, the states it passes, what is known of its remote
// side. Plain values, copied freely; no I/O.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outboxfs::cache {

using ItemId = uint64_t;      // names the backing file; never reused
using Ino = uint64_t;         // inode number; given once, never reused
using HoldId = uint64_t;      // 0: none
using Generation = uint64_t;  // counts the seals of one item, from 1; 0 = never sealed

enum class ItemKind { kFile, kDir };

// Where an item is on its way. Journalled; the finer phases that only status shows are `Phase`.
// Legal transitions are in item.cc (IsLegal) and drawn in docs/ARCHITECTURE.md.
enum class State {
  kOpen,         // a writable handle is open: bytes change
  kInterrupted,  // was open when the daemon died: kept, shown, not uploaded
  kSealing,      // closed; the sealer makes it durable and takes its checksums
  kWaiting,      // sealed: settles, is held back, backs off or waits for a place
  kUploading,    // Start (or CreateFolder) is journalled and may have been sent
  kVerifying,    // the server reported success for this generation; the listing decides
  kPlacing,      // verified at its upload path, which is not (or no longer) its own path
  kParked,       // needs a person (reason says why); bytes kept
  kClean,        // equals the remote file; the local bytes are only a cache of it
  kRemoving,     // deleted by the user; remote work (cancel, delete) is unfinished
  kHydrating,    // closed and changed, but some of its bytes are still only on the server
};
std::string_view ToString(State state);
bool IsLegal(State from, State to);

// POSIX attributes that the remote cannot keep. Times in ns since 1970 UTC.
struct Attr {
  mode_t mode = 0;  // permission bits and S_ISVTX & co, without the file type
  uid_t uid = 0;
  gid_t gid = 0;
  int64_t atime_ns = 0;
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  bool operator==(const Attr&) const = default;
};

// Wire hash type (1 MD5, 2 SHA-1, 3 PikPakSha1) -> hex text as the server wants it.
using Digests = std::map<uint32_t, std::string>;

// What identifies one version of a remote file.
struct Identity {
  uint64_t size = 0;
  int64_t mtime_ns = 0;  // the server's writeTime; 0 unknown
  std::string id;        // the cloud's id; empty unknown
  Digests digests;
  bool operator==(const Identity&) const = default;
};
// Sizes must agree; then a hash type present on both sides decides alone; else the id and the
// writeTime (to the second), where both sides have them, must agree.
bool SameVersion(const Identity& a, const Identity& b);

// The error of a parked file that the server reports and shows as uploaded, with nothing to prove
// that those are our bytes.
inline constexpr int kUnprovenCode = ENODATA;

// A snapshot of one item.
struct Item {
  ItemId id = 0;
  Ino ino = 0;
  ItemKind kind = ItemKind::kFile;
  std::string path;  // mount path, "/a/b"; of a kRemoving item: where it was
  State state = State::kOpen;
  uint64_t size = 0;     // bytes; of a kOpen item: as of the last seal or closed mark
  bool partial = false;  // a copy of a remote file, some bytes of which may be missing here
  Attr attr;

  Generation generation = 0;  // the last sealed one
  Digests digests;            // of that generation, as far as they are known
  int64_t sealed_ns = 0;      // wall time of the seal: settling counts from here
  int64_t changed_ns = 0;     // wall time of the last change of name or attributes

  // The upload that was started and is not finished. It may be of an older generation than the one
  // above (then it has to be cancelled) and at another path than the item's (then placing follows).
  Generation upload_generation = 0;  // 0: none
  std::string upload_path;           // full server path that Start named
  std::string upload_id;             // empty until the server told it
  std::optional<Identity> replaced;  // the entry at upload_path before Start: proves nothing new
  // Itself, since Start: `replaced` says nothing of `path`. Not with a directory, which takes along
  // what `replaced` is about.
  bool renamed = false;
  bool based = false;     // its bytes are a change of the version `replaced`; until the next Start
  bool accepted = false;  // a person vouches for what stands on the server; until the next Start
  // The upload is over; what it left, at the item's own path, is overwritten by the next one. Until
  // then it matters: when the item is renamed or deleted, it has to go.
  bool kept = false;
  bool stands = false;  // it was seen at `upload_path`, where a step of ours had brought it
  std::optional<Identity> sent;  // size and digests (as far as known) of what is going up

  // The last failure.
  int attempts = 0;           // since the last success or seal
  int64_t not_before_ns = 0;  // wall time of the next try; 0: now
  int error_code = 0;         // errno; 0 none; kUnprovenCode
  std::string reason;         // words for a person: why parked, backing off, held or interrupted
};

// What stays known of a path after its bytes were evicted, or of a remote entry whose attributes
// were changed here (attribute memory).
struct Memory {
  std::string path;  // mount path
  Ino ino = 0;
  ItemKind kind = ItemKind::kFile;
  Attr attr;
  Identity identity;       // the version that the attributes belong to (files)
  bool confirmed = false;  // a listing begun after the upload has shown it
};

// A change of the remote that takes more than a moment: journalled before its first step, until it
// is known whether it happened. Until then every name shows as before; only then comes the local
// half.
// A deferred one is the other way round: here it has happened, and the server follows when no
// upload is under way beneath any more. Until then what the mount shows at `to` is at `remote_from`
// on the server, or (a removed directory) what is there is not shown (renames.h).
struct Intent {
  enum class Kind { kRemove, kRename };
  uint64_t id = 0;  // given by Store::BeginIntent
  Kind kind = Kind::kRemove;
  ItemKind what = ItemKind::kFile;
  std::string folder;  // full server path that the mount's root stands for
  std::string from;    // mount path; of a deferred one: as it was
  std::string to;      // mount path; kRename; of a deferred one: follows later renames
  // Where the server has them, as paths below `folder`.
  std::string remote_from;
  std::string remote_to;  // kRename; of a deferred one: once it is begun
  bool deferred = false;
  bool begun = false;  // deferred: the server may have been told
  // Names under which things stand meanwhile; empty: never.
  std::string passing;  // the source, on its way to another directory under another name
  std::string aside;    // the replaced target, until the source stands in its place; a removed file
                        // that is read on
  std::optional<Identity> source;  // what the server had at `from`
  std::optional<Identity> target;  // ... at `to`; nullopt: nothing is replaced there
  ItemId source_item = 0;          // what was staged at `from`; 0: nothing
  ItemId target_item = 0;          // ... at `to`: it goes when the source has come
  bool newer_here = false;  // `source_item` will be uploaded: the server has an old version only
  // When the item that goes (the removed or the replaced one) was last closed; kUnknown: not known.
  int64_t closed_ns = kUnknown;
  static constexpr int64_t kUnknown = -1;
  std::string trouble;  // deferred: why the last try failed; not journalled

  bool under_way() const { return !deferred || begun; }
  // Of a file that was put aside for its readers (Store::PutAside): its name is nobody else's.
  bool is_aside() const { return deferred && kind == Kind::kRemove && what == ItemKind::kFile; }
};

}  // namespace outboxfs::cache
