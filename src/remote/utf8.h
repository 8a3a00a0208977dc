// UTF-8 as protobuf's string fields demand it.
#pragma once

#include <string_view>

namespace outboxfs::remote {

// No overlong forms, no surrogates, nothing above U+10FFFF.
bool IsUtf8(std::string_view text);

}  // namespace outboxfs::remote
