// One rename that is being looked at and carried out. Private to the room.
#pragma once

#include <string>

#include "fs/filesystem.h"

namespace outboxfs::fs {

struct Filesystem::Renaming {
  NodePtr from_dir;
  std::string from_name;
  NodePtr to_dir;
  std::string to_name;
  Found from;
  Found to;
  // An upload that may still put something at the source.
  bool from_uploading = false;
  // Something at the source is the server's to move. What our own upload just put there is not: the
  // uploader places it.
  bool remote = false;
  // An upload of the source was let through, or took too long: it is not waited for again.
  mutable bool waited = false;
};

}  // namespace outboxfs::fs
