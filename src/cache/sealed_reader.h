// Reads one sealed generation and checks every byte that it gives out. Private to the room.
#pragma once

#include <memory>

#include "cache/block_sums.h"
#include "cache/row.h"
#include "cache/store.h"

namespace outboxfs::cache {

class StoreImpl;

// `store` must outlive the reader. `pin` is of the file, `seal` and `sums` of the generation.
std::unique_ptr<SealedReader> MakeSealedReader(StoreImpl& store, Pin pin, Generation generation,
                                               const Mark& seal, BlockSums sums);

}  // namespace outboxfs::cache
