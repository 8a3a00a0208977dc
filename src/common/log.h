// Logging: spdlog behind one door, so that its heavy headers stay out of the rooms and so that
// every line passes the scrubber: a registered secret is never written.
//
//   Log::Info("mounted {} at {}", remote, mountpoint);
//
// Thread-safe after InitLog. The log lock is a leaf: nothing else is taken under it.
#pragma once

#include <spdlog/fmt/fmt.h>

#include <string>
#include <string_view>
#include <utility>

namespace outboxfs {

enum class LogLevel { kDebug, kInfo, kNotice, kWarning, kError };

struct LogOptions {
  LogLevel level = LogLevel::kNotice;
  std::string file;  // empty: standard error
};

// Once, before the first thread starts. On a log file that cannot be opened: keeps standard error
// and returns false.
bool InitLog(const LogOptions& options);
// From now on `secret` is written as "***". Empty strings are ignored.
void RegisterSecret(std::string secret);
// `text` with every registered secret replaced by "***".
std::string Scrub(std::string text);
bool LogEnabled(LogLevel level);
void WriteLog(LogLevel level, std::string text);

namespace Log {

template <typename... Args>
void Debug(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kDebug)) {
    WriteLog(LogLevel::kDebug, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void Info(fmt::format_string<Args...> format, Args&&... args) {
  if (LogEnabled(LogLevel::kInfo)) {
    WriteLog(LogLevel::kInfo, fmt::format(format, std::forward<Args>(args)...));
  }
}
template <typename... Args>
void Notice(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kNotice, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Warning(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void Error(fmt::format_string<Args...> format, Args&&... args) {
  WriteLog(LogLevel::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace Log
}  // namespace outboxfs
