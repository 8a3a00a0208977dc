#include "common/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <memory>
#include <vector>

#include "common/mutex.h"

namespace outboxfs {
namespace {

struct Secrets {
  Mutex mu;
  std::vector<std::string> list ABSL_GUARDED_BY(mu);
};

// Never destroyed: threads may log until the very end of the process.
Secrets& TheSecrets() {
  static auto* secrets = new Secrets;
  return *secrets;
}

std::atomic<LogLevel> threshold{LogLevel::kNotice};

std::shared_ptr<spdlog::logger>& TheLogger() {
  static auto* logger = new std::shared_ptr<spdlog::logger>(std::make_shared<spdlog::logger>(
      "outboxfs", std::make_shared<spdlog::sinks::stderr_sink_mt>()));
  return *logger;
}

spdlog::level::level_enum ToSpdlog(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
    case LogLevel::kNotice:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

}  // namespace

bool InitLog(const LogOptions& options) {
  threshold = options.level;
  bool opened = true;
  if (!options.file.empty()) {
    try {
      TheLogger() = std::make_shared<spdlog::logger>(
          "outboxfs", std::make_shared<spdlog::sinks::basic_file_sink_mt>(options.file));
    } catch (const spdlog::spdlog_ex&) {
      opened = false;
    }
  }
  TheLogger()->set_level(spdlog::level::debug);  // the threshold above decides
  TheLogger()->flush_on(spdlog::level::debug);
  TheLogger()->set_pattern("%Y-%m-%d %H:%M:%S.%e %l: %v");
  return opened;
}

void RegisterSecret(std::string secret) {
  if (secret.empty()) return;
  Secrets& secrets = TheSecrets();
  MutexLock lock(secrets.mu);
  secrets.list.push_back(std::move(secret));
}

std::string Scrub(std::string text) {
  Secrets& secrets = TheSecrets();
  MutexLock lock(secrets.mu);
  for (const std::string& secret : secrets.list) {
    for (size_t at = text.find(secret); at != std::string::npos; at = text.find(secret, at)) {
      text.replace(at, secret.size(), "***");
      at += 3;
    }
  }
  return text;
}

bool LogEnabled(LogLevel level) { return level >= threshold.load(std::memory_order_relaxed); }

void WriteLog(LogLevel level, std::string text) {
  if (LogEnabled(level)) TheLogger()->log(ToSpdlog(level), Scrub(std::move(text)));
}

}  // namespace outboxfs
