// A directory of the local file system as the cloud: server paths to entries and back. Files appear
// atomically: they are written below a private folder of the same file system and renamed. Only
// regular files and directories are shown; symbolic links are neither shown nor followed, wherever
// they stand in a path: nothing outside of the directory can be reached.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/disk.h"
#include "common/result.h"
#include "server/hash_memory.h"
#include "server/knobs.h"

namespace outboxfs::server {

// One file or folder as listed.
struct Entry {
  std::string path;  // server path
  std::string id;    // stays the same over renames, differs for a new file of the same name
  bool is_directory = false;
  bool pending = false;  // still being uploaded: shown, but no file of the cloud yet
  uint64_t size = 0;
  int64_t created_ns = 0;  // wall clock
  int64_t modified_ns = 0;
  Hashes hashes;
};

// Where a finished upload went.
struct Published {
  std::string path;       // server path, not the wanted one after Existing::kNewName
  bool replaced = false;  // something of that name was there
  bool skipped = false;   // Existing::kSkip: nothing was done
};

// What a move does to an entry that is in its way.
enum class MoveConflict { kOverwrite, kRename, kSkip, kRefuse };

struct Space {
  uint64_t total = 0;
  uint64_t free = 0;
};

// Thread-safe: it holds no state of its own beyond the locked directory; concurrent changes are as
// atomic as the system calls below it. Errors carry the errno and a text for a client.
class DirStore {
 public:
  // Creates the directory if missing and locks it: EBUSY when another server has it.
  static Result<std::unique_ptr<DirStore>> Open(const std::string& directory);
  ~DirStore();
  DirStore(const DirStore&) = delete;
  DirStore& operator=(const DirStore&) = delete;

  Result<Entry> Find(const std::string& path) const;
  // Calls `batch` with at most `batch_size` entries at a time until it returns false.
  Status List(const std::string& folder, size_t batch_size,
              const std::function<bool(std::vector<Entry>)>& batch) const;
  // EEXIST, ENOENT (no parent).
  Result<Entry> CreateFolder(const std::string& parent, const std::string& name);
  // Inside its folder. EEXIST when the name is taken. Returns the new path.
  Result<std::string> Rename(const std::string& path, const std::string& new_name);
  // Into another folder under its own name. Returns the new path; nullopt when skipped.
  Result<std::optional<std::string>> Move(const std::string& path, const std::string& folder,
                                          MoveConflict conflict);
  // A file, or a folder with everything below it.
  Status Delete(const std::string& path);
  Result<Space> GetSpace() const;
  // For reading.
  Result<FileDescriptor> OpenFile(const std::string& path) const;

  // A private file called `name`, sparse, `size` bytes; an existing one is opened as it is.
  Result<FileDescriptor> OpenPrivate(const std::string& name, uint64_t size);
  Status RemovePrivate(const std::string& name);
  std::string PrivatePath(const std::string& name) const;
  // Gives the private file `name` its place. ENOENT: no such folder; EEXIST: Existing::kError.
  Result<Published> Publish(const std::string& name, const std::string& path, Existing existing);
  // Makes the private file `name` a copy of a file of this store whose hashes are `hashes`; false
  // when there is none.
  Result<bool> CopyKnown(uint64_t size, const Hashes& hashes, const std::string& name);

  // From now on "A" and "a" are one name.
  void IgnoreCase(bool on) { ignore_case_ = on; }
  HashMemory& hash_memory() { return hash_memory_; }
  std::string Local(const std::string& path) const;

 private:
  // Where an entry is, or would be: its folder, held open, and its name in there.
  struct Place {
    FileDescriptor folder;
    std::string name;
    // For calls that want a path: nothing on it can be exchanged.
    std::string ByHandle() const;
  };

  DirStore(std::string directory, FileDescriptor lock);
  // ENOENT also when a symbolic link is on the way.
  Result<FileDescriptor> OpenFolder(const std::string& path) const;
  // What the folder calls it: `name`, unless case is ignored and only another spelling is there.
  std::string NameIn(int folder, const std::string& name) const;
  Result<Place> PlaceOf(const std::string& path) const;
  Result<Entry> Describe(const Place& place, const std::string& path) const;
  Result<std::string> RenameFree(const std::string& from, const std::string& path);
  void IndexFile(const Place& place, const std::string& path);

  const std::string directory_;
  FileDescriptor lock_;
  HashMemory hash_memory_;
  std::atomic<bool> ignore_case_ = false;
};

}  // namespace outboxfs::server
