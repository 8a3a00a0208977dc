// Precompiled for every room: only what is slow to parse and named nearly everywhere. Sources
// include what they use all the same; `meson setup -Db_pch=false` shows whether they do.
#ifndef OUTBOXFS_PCH_STD_H  // not #pragma once: the compiler warns of it in a main file
#define OUTBOXFS_PCH_STD_H

#include <absl/base/thread_annotations.h>
#include <spdlog/fmt/fmt.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <shared_mutex>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <tl/expected.hpp>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>
#endif
