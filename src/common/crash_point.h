// Places at which tests let the program die as by kill -9. Compiled in with -Dtests=true only.
//
//   OUTBOXFS_CRASH=PLACE:N   dies when it comes to that place for the N-th time
#pragma once

#include <string_view>

namespace outboxfs {

#ifdef OUTBOXFS_CRASH_POINTS
// Thread-safe. The place is called "NAME" or "NAME DETAIL".
void CrashPoint(std::string_view name, std::string_view detail = "");
#else
inline void CrashPoint(std::string_view /*name*/, std::string_view /*detail*/ = "") {}
#endif

}  // namespace outboxfs
