// Room on the cache disk that is held back for the journal: a preallocated file. When the disk is
// nearly full it goes, and its room is given to the journal's log. So what frees space can still be
// committed: removals, and the steps of uploads (HARD-CASES 11 of the design).
//
// Not thread-safe: the journal's.
#pragma once

#include <cstdint>
#include <string>

namespace outboxfs::cache {

class Ballast {
 public:
  // At most so much, and a sixteenth of the disk. Bytes.
  static constexpr uint64_t kMost = uint64_t{64} << 20;

  // Nothing is done before Watch. `path`: of the file, which may be there from an earlier run.
  Ballast(std::string path, std::string journal_path);

  // Call it before each write of the journal. Lays the file in when there is much room, and gives
  // it up when there is little.
  void Watch();
  // There is no room for anything new. False on a disk that cannot preallocate.
  bool is_short() const { return short_; }

 private:
  void LayIn();
  void GiveUp();

  const std::string path_;
  const std::string journal_path_;
  uint64_t size_ = 0;  // bytes; 0: not known yet, or there is none
  bool laid_in_ = false;
  bool short_ = false;
  bool impossible_ = false;  // this disk cannot preallocate
};

}  // namespace outboxfs::cache
