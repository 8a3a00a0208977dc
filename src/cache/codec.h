// Small values as text and blobs in the journal. Pure; what is read back is checked, because a
// damaged disk may have changed it.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cache/extent_map.h"
#include "cache/item.h"

namespace outboxfs::cache {

// "1=9e10…;2=da39…"; empty for none.
std::string EncodeDigests(const Digests& digests);
std::optional<Digests> DecodeDigests(std::string_view text);

// "size mtime_ns digests id" with "-" for no digests; the id is the rest of the text.
std::string EncodeIdentity(const Identity& identity);
std::optional<Identity> DecodeIdentity(std::string_view text);

// The ranges present, whatever their kind: "0-4096;8192-9000".
std::string EncodeRanges(const ExtentMap& map);
std::optional<ExtentMap> DecodeRanges(std::string_view text);

}  // namespace outboxfs::cache
