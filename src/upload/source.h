// What an upload in flight is served from, and why it cannot be served any more. Plain values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "cache/item.h"
#include "cache/staged_file.h"
#include "common/error.h"

namespace outboxfs::upload {

// Names one run of one item; never used again, so that late news of an old run is recognised.
using RunKey = uint64_t;

struct Source {
  RunKey key = 0;
  std::string upload_id;
  cache::ItemId item = 0;
  cache::Generation generation = 0;
  std::shared_ptr<cache::SealedReader> reader;
};

struct Trouble {
  enum class Kind {
    kUnknownUpload,  // the server has no such session: look what became of it
    kChanged,        // this generation is over
    kUnreadable,     // damaged bytes or a failing disk
    kRefused,        // the server refuses our answers for good
    kAbsurd,         // it asked for what cannot be answered (docs/PROTOCOL.md, rule 5)
  };
  Kind kind = Kind::kRefused;
  Error error;
};

// News from the pools that serve an upload, from their threads; none may block.
class ServeSink {
 public:
  virtual ~ServeSink() = default;
  virtual void OnTrouble(RunKey key, Trouble trouble) = 0;
  // The call that CloseGently left running has ended.
  virtual void OnIdle(RunKey key) = 0;
  // A final hash message was delivered.
  virtual void OnHashGiven(RunKey key) = 0;
  // What Hasher::Compute asked for is in the store.
  virtual void OnComputed(RunKey key) = 0;
};

}  // namespace outboxfs::upload
