#include "upload/paths.h"

#include <gtest/gtest.h>

namespace outboxfs::upload {
namespace {

TEST(Paths, PartsAndWholes) {
  EXPECT_EQ(ParentOf("/a/b"), "/a");
  EXPECT_EQ(ParentOf("/a"), "/");
  EXPECT_EQ(ParentOf("/"), "/");
  EXPECT_EQ(NameOf("/a/b"), "b");
  EXPECT_EQ(JoinPath("/", "a"), "/a");
  EXPECT_EQ(JoinPath("/a", "b"), "/a/b");
}

TEST(Paths, MountPathsAndServerPaths) {
  EXPECT_EQ(ToServerPath("/", "/a"), "/a");
  EXPECT_EQ(ToServerPath("/cloud/x", "/"), "/cloud/x");
  EXPECT_EQ(ToServerPath("/cloud/x", "/a"), "/cloud/x/a");
  EXPECT_EQ(ToMountPath("/cloud/x", "/cloud/x/a/b"), "/a/b");
  EXPECT_EQ(ToMountPath("/cloud/x", "/cloud/x"), "/");
  EXPECT_EQ(ToMountPath("/cloud/x", "/cloud/xy"), "");
  EXPECT_EQ(ToMountPath("/", "/a"), "/a");
}

TEST(Paths, TheDeviceTagIsHexAndStable) {
  EXPECT_EQ(DeviceTag("0123abcd-rest"), "0123abcd");
  const std::string tag = DeviceTag("My laptop");
  EXPECT_EQ(tag.size(), 8U);
  EXPECT_EQ(tag, DeviceTag("My laptop"));
  EXPECT_NE(tag, DeviceTag("My desktop"));
}

TEST(Paths, TemporaryNamesKeepTheExtensionAndStayShort) {
  EXPECT_EQ(TempName("0123abcd", 0x1f, "film.mkv"), ".obx-0123abcd-0000001f.mkv");
  EXPECT_EQ(TempName("0123abcd", 1, "README"), ".obx-0123abcd-00000001");
  EXPECT_EQ(TempName("0123abcd", 1, ".bashrc"), ".obx-0123abcd-00000001");
  EXPECT_EQ(TempName("0123abcd", 1, "a." + std::string(17, 'x')).size(), 40U);
  EXPECT_EQ(TempName("0123abcd", 1, "a." + std::string(18, 'x')), ".obx-0123abcd-00000001");
}

TEST(Paths, TemporaryNamesAreRecognised) {
  EXPECT_TRUE(IsTempName(".obx-0123abcd-0000001f.mkv"));
  EXPECT_TRUE(IsTempName(".obx-0123abcd-0000001f"));
  EXPECT_FALSE(IsTempName(".obx-0123abcd-0000001f2"));
  EXPECT_FALSE(IsTempName(".obx-0123abcd"));
  EXPECT_FALSE(IsTempName("obx-0123abcd-0000001f"));
}

TEST(Paths, TheNumberOfOurUploadsNames) {
  EXPECT_EQ(remote::TempNumber("0123abcd", ".obx-0123abcd-0000001f.mkv"), 0x1fU);
  EXPECT_EQ(remote::TempNumber("0123abce", ".obx-0123abcd-0000001f.mkv"), std::nullopt);
  EXPECT_EQ(remote::TempNumber("0123abcd", remote::PassingName("0123abcd", 7, "f")), std::nullopt);
  EXPECT_EQ(remote::TempNumber("0123abcd", "f"), std::nullopt);
}

TEST(Paths, ARenamesTemporaryNameIsOursButNeverAnUploads) {
  const std::string name = remote::PassingName("0123abcd", 7, "film.mkv");
  EXPECT_TRUE(remote::IsTempNameOf("0123abcd", name));
  EXPECT_FALSE(remote::IsTempNameOf("0123abce", name));
  EXPECT_NE(name, TempName("0123abcd", 7, "film.mkv"));
  EXPECT_TRUE(name.ends_with(".mkv"));
}

}  // namespace
}  // namespace outboxfs::upload
