#include "common/log.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace outboxfs {
namespace {

TEST(LogTest, ASecretIsNeverWritten) {
  std::string pattern = (std::filesystem::temp_directory_path() / "outboxfs-XXXXXX").string();
  const std::string directory = ::mkdtemp(pattern.data());
  ASSERT_TRUE(InitLog({LogLevel::kInfo, directory + "/log"}));
  RegisterSecret("t0ken");
  RegisterSecret("");
  Log::Info("authorisation: {} and {}", "Bearer t0ken", "t0kent0ken");
  Log::Debug("below the threshold: {}", 1);
  std::ifstream file(directory + "/log");
  std::stringstream text;
  text << file.rdbuf();
  EXPECT_NE(std::string::npos, text.str().find("authorisation: Bearer *** and ******"));
  EXPECT_EQ(std::string::npos, text.str().find("t0ken"));
  EXPECT_EQ(std::string::npos, text.str().find("threshold"));
  std::filesystem::remove_all(directory);
}

TEST(LogTest, ALogFileThatCannotBeOpenedIsSaid) {
  EXPECT_FALSE(InitLog({LogLevel::kNotice, "/proc/no/such/log"}));
}

TEST(LogTest, TheThresholdIsKept) {
  InitLog({LogLevel::kWarning, ""});
  EXPECT_TRUE(LogEnabled(LogLevel::kError));
  EXPECT_TRUE(LogEnabled(LogLevel::kWarning));
  EXPECT_FALSE(LogEnabled(LogLevel::kNotice));
}

}  // namespace
}  // namespace outboxfs
