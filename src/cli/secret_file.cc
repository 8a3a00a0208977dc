#include "cli/secret_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "common/disk.h"

namespace outboxfs::cli {
namespace {

constexpr size_t kMaxSecret = 16 << 10;  // a JWT has about 1 KiB

// Of an open file, so that it cannot be exchanged between the check and the reading.
Status CheckPrivateFd(int fd, const std::string& path) {
  const Result<struct stat> info = disk::Stat(fd);
  if (!info) return Fail(info.error());
  if (info->st_uid != ::geteuid() && info->st_uid != 0) {
    return Fail(EACCES, fmt::format("{} belongs to another user", path));
  }
  if ((info->st_mode & 077) != 0) {
    return Fail(EACCES, fmt::format("{} can be read by others; run: chmod 600 {}", path, path));
  }
  return {};
}

}  // namespace

Status CheckPrivate(const std::string& path) {
  const Result<FileDescriptor> file = disk::Open(path, O_RDONLY);
  if (!file) return Fail(file.error());
  return CheckPrivateFd(file->get(), path);
}

Result<std::string> ReadSecretFile(const std::string& path) {
  const Result<FileDescriptor> file = disk::Open(path, O_RDONLY);
  if (!file) return Fail(file.error());
  if (const Status check = CheckPrivateFd(file->get(), path); !check) return Fail(check.error());
  std::string text(kMaxSecret + 1, '\0');
  const Result<size_t> size = disk::ReadAt(file->get(), std::as_writable_bytes(std::span(text)), 0);
  if (!size) return Fail(size.error());
  text.resize(*size);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) return Fail(EINVAL, fmt::format("{} is empty", path));
  if (text.size() > kMaxSecret) return Fail(EINVAL, fmt::format("{} is too long", path));
  if (text.find('\n') != std::string::npos) {
    return Fail(EINVAL, fmt::format("{} has more than one line", path));
  }
  return text;
}

Status WriteSecretFile(const std::string& path, const std::string& secret) {
  const Result<FileDescriptor> file = disk::Open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
  if (!file) return Fail(file.error());
  const std::string line = secret + "\n";
  return disk::WriteAt(file->get(), std::as_bytes(std::span(line)), 0);
}

std::string RandomToken() {
  std::array<unsigned char, 32> bytes{};
  size_t filled = 0;
  while (filled < bytes.size()) {
    const ssize_t n = ::getrandom(bytes.data() + filled, bytes.size() - filled, 0);
    if (n > 0) filled += static_cast<size_t>(n);
  }
  std::string text;
  for (const unsigned char byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

}  // namespace outboxfs::cli
