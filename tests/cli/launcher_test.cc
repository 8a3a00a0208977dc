#include "cli/launcher.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "support/temp_dir.h"

namespace outboxfs::cli {
namespace {

// What systemd's side of a notify socket receives.
class NotifyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    socket_ = FileDescriptor(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  }

  test::TempDir dir_;
  const std::string path_ = dir_ / "notify";
  FileDescriptor socket_;
};

TEST_F(NotifyTest, SystemdIsTold) {
  NotifySystemd({{"NOTIFY_SOCKET", path_}}, "READY=1\nSTATUS=mounted");
  std::array<char, 100> buffer{};
  const ssize_t n = ::recv(socket_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
  ASSERT_GT(n, 0);
  EXPECT_EQ(std::string(buffer.data(), static_cast<size_t>(n)), "READY=1\nSTATUS=mounted");
}

TEST(Notify, WithoutASocketNothingHappens) {
  NotifySystemd({}, "READY=1");
  NotifySystemd({{"NOTIFY_SOCKET", "/does/not/exist"}}, "READY=1");
}

TEST(ReadyPipe, WithoutALauncherIsSilent) {
  ReadyPipe pipe(Environment{});
  EXPECT_FALSE(pipe.has_launcher());
  EXPECT_TRUE(pipe.Ready());
}

}  // namespace
}  // namespace outboxfs::cli
