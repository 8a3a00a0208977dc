#include "remote/convert.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>

namespace outboxfs::remote {
namespace {

using testing::ElementsAre;
using testing::Pair;

clouddrive::CloudDriveFile File(const std::string& name, int64_t size) {
  clouddrive::CloudDriveFile file;
  file.set_name(name);
  file.set_size(size);
  file.set_filetype(clouddrive::CloudDriveFile::File);
  file.set_iscloudfile(true);
  return file;
}

TEST(IsUsableName, RefusesWhatCannotBeAFileName) {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("/"),
        std::string("a\0b", 3), std::string(256, 'x')}) {
    EXPECT_FALSE(IsUsableName(name)) << name;
  }
  for (const std::string& name :
       {std::string("a"), std::string("..."), std::string(".hidden"), std::string("with space"),
        std::string("中文"), std::string("a\\b"), std::string(255, 'x')}) {
    EXPECT_TRUE(IsUsableName(name)) << name;
  }
}

TEST(CheckPath, OnlyAbsoluteUtf8PathsAreSent) {
  EXPECT_TRUE(CheckPath("/"));
  EXPECT_TRUE(CheckPath("/115open/中文"));
  EXPECT_EQ(CheckPath("").error().code, EINVAL);
  EXPECT_EQ(CheckPath("relative").error().code, EINVAL);
  EXPECT_EQ(CheckPath(std::string("/a\0b", 4)).error().code, EINVAL);
  EXPECT_EQ(CheckPath("/a\xff").error().code, EILSEQ);
  EXPECT_EQ(CheckPath("/a\xff").error().retry, Retry::kPark);
  EXPECT_EQ(CheckPath("/" + std::string(4096, 'x')).error().code, ENAMETOOLONG);
  EXPECT_EQ(CheckName("a/b").error().code, EINVAL);
  EXPECT_EQ(CheckName("\xff").error().code, EILSEQ);
  EXPECT_EQ(CheckName(std::string(256, 'x')).error().code, ENAMETOOLONG);
}

TEST(ToEntry, TakesEverythingThatIsKnown) {
  clouddrive::CloudDriveFile file = File("a.bin", 1234);
  file.set_id("id7");
  file.mutable_writetime()->set_seconds(5);
  file.mutable_writetime()->set_nanos(6);
  (*file.mutable_filehashes())[1] = "D41D8CD98F00B204E9800998ECF8427E";
  (*file.mutable_filehashes())[2] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
  (*file.mutable_filehashes())[3] = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
  const Entry entry = ToEntry(file).value();
  EXPECT_EQ(entry.name, "a.bin");
  EXPECT_FALSE(entry.is_dir);
  EXPECT_EQ(entry.size, 1234U);
  EXPECT_EQ(entry.id, "id7");
  EXPECT_EQ(entry.mtime_ns, 5'000'000'006);
  EXPECT_FALSE(entry.pending);
  EXPECT_FALSE(entry.read_only);
  EXPECT_THAT(entry.hashes,
              ElementsAre(Pair(HashType::kMd5, "d41d8cd98f00b204e9800998ecf8427e"),
                          Pair(HashType::kSha1, "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
                          Pair(HashType::kPikPakSha1, "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709")));
}

TEST(ToEntry, DropsNamesThatCannotBeShown) {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("../etc"),
        std::string("a\0b", 3), std::string(300, 'n')}) {
    EXPECT_FALSE(ToEntry(File(name, 1))) << name;
  }
}

TEST(ToEntry, FiguresOutOfRangeBecomeZero) {
  EXPECT_EQ(ToEntry(File("a", -1))->size, 0U);
  EXPECT_EQ(ToEntry(File("a", std::numeric_limits<int64_t>::min()))->size, 0U);
  clouddrive::CloudDriveFile file = File("a", 1);
  file.mutable_writetime()->set_seconds(std::numeric_limits<int64_t>::max());
  EXPECT_EQ(ToEntry(file)->mtime_ns, 0);
  file.mutable_writetime()->set_seconds(1);
  file.mutable_writetime()->set_nanos(-5);
  EXPECT_EQ(ToEntry(file)->mtime_ns, 0);
}

TEST(ToEntry, IgnoresHashesThatAreNone) {
  clouddrive::CloudDriveFile file = File("a", 1);
  (*file.mutable_filehashes())[0] = "d41d8cd98f00b204e9800998ecf8427e";
  (*file.mutable_filehashes())[1] = "d41d8cd9";
  (*file.mutable_filehashes())[2] = "zz39a3ee5e6b4b0d3255bfef95601890afd80709";
  (*file.mutable_filehashes())[9] = "d41d8cd98f00b204e9800998ecf8427e";
  EXPECT_TRUE(ToEntry(file)->hashes.empty());
}

TEST(ToEntry, KnowsPendingDirectoryAndReadOnly) {
  clouddrive::CloudDriveFile file = File("a", 1);
  file.set_iscloudfile(false);
  EXPECT_TRUE(ToEntry(file)->pending);
  (*file.mutable_filehashes())[1] = "d41d8cd98f00b204e9800998ecf8427e";
  EXPECT_FALSE(ToEntry(file)->pending);
  file.mutable_cloudapi()->set_readonly(true);
  EXPECT_TRUE(ToEntry(file)->read_only);

  clouddrive::CloudDriveFile dir;
  dir.set_name("d");
  dir.set_isdirectory(true);
  dir.set_size(4096);
  EXPECT_TRUE(ToEntry(dir)->is_dir);
  EXPECT_FALSE(ToEntry(dir)->pending);
  EXPECT_EQ(ToEntry(dir)->size, 0U);
}

TEST(ToSpace, StaysConsistentWhateverComes) {
  clouddrive::SpaceInfo wire;
  wire.set_totalspace(100);
  wire.set_usedspace(30);
  wire.set_freespace(70);
  EXPECT_EQ(ToSpace(wire).free, 70U);
  wire.set_freespace(1000);
  EXPECT_EQ(ToSpace(wire).free, 70U);
  wire.set_totalspace(-5);
  EXPECT_EQ(ToSpace(wire).total, 30U);
  EXPECT_EQ(ToSpace(wire).free, 0U);
}

TEST(ToDownloadLink, ADirectAddressWinsWithItsHeaders) {
  clouddrive::DownloadUrlPathInfo info;
  info.set_downloadurlpath("/static/{SCHEME}/{HOST}/x");
  EXPECT_EQ(ToDownloadLink(info).url, "/static/{SCHEME}/{HOST}/x");
  EXPECT_FALSE(ToDownloadLink(info).expires_in_s);
  info.set_expiresin(60);
  info.set_useragent("UA");
  EXPECT_EQ(ToDownloadLink(info).user_agent, "") << "belongs to the direct address only";
  info.set_directurl("https://cdn/x");
  (*info.mutable_additionalheaders())["Cookie"] = "c=1";
  const DownloadLink link = ToDownloadLink(info);
  EXPECT_EQ(link.url, "https://cdn/x");
  EXPECT_EQ(link.user_agent, "UA");
  EXPECT_EQ(link.expires_in_s, 60);
  EXPECT_THAT(link.headers, ElementsAre(Pair("Cookie", "c=1")));
}

clouddrive::CloudDrivePushMessage Push(int type, const std::string& path) {
  clouddrive::CloudDrivePushMessage message;
  message.mutable_filesystemchange()->set_changetype(
      static_cast<clouddrive::FileSystemChange::ChangeType>(type));
  message.mutable_filesystemchange()->set_path(path);
  return message;
}

TEST(ToFsChange, KnowsEveryKindAndTakesTheUnknownAsModify) {
  EXPECT_EQ(ToFsChange(Push(0, "/a"))->kind, FsChange::Kind::kCreate);
  EXPECT_EQ(ToFsChange(Push(1, "/a"))->kind, FsChange::Kind::kDelete);
  EXPECT_EQ(ToFsChange(Push(3, "/a"))->kind, FsChange::Kind::kModify);
  EXPECT_EQ(ToFsChange(Push(17, "/a"))->kind, FsChange::Kind::kModify);
  clouddrive::CloudDrivePushMessage rename = Push(2, "/a/");
  EXPECT_EQ(ToFsChange(rename)->kind, FsChange::Kind::kDelete) << "went somewhere unknown";
  rename.mutable_filesystemchange()->set_newpath("/b/c/");
  EXPECT_EQ(ToFsChange(rename)->kind, FsChange::Kind::kRename);
  EXPECT_EQ(ToFsChange(rename)->path, "/a");
  EXPECT_EQ(ToFsChange(rename)->new_path, "/b/c");
}

TEST(ToFsChange, SkipsWhatIsNotAboutFiles) {
  EXPECT_FALSE(ToFsChange(clouddrive::CloudDrivePushMessage()));
  EXPECT_FALSE(ToFsChange(Push(0, "")));
  EXPECT_FALSE(ToFsChange(Push(0, "relative")));
}

TEST(ToTokenFacts, ZeroSecondsMeansNever) {
  clouddrive::TokenInfo info;
  info.set_rootdir("/115open");
  info.mutable_permissions()->set_allow_push_message(true);
  info.set_expires_in(0);
  const TokenFacts facts = ToTokenFacts(info);
  EXPECT_EQ(facts.root_dir, "/115open");
  EXPECT_TRUE(facts.may_push);
  EXPECT_FALSE(facts.may_list_uploads);
  EXPECT_FALSE(facts.may_get_space);
  EXPECT_FALSE(facts.expires_in_s);
}

TEST(ToChannelEvent, KeepsEveryFieldAsItCame) {
  clouddrive::RemoteUploadChannelReply reply;
  EXPECT_FALSE(ToChannelEvent(reply));
  reply.set_upload_id("u");
  EXPECT_FALSE(ToChannelEvent(reply)) << "a kind of request that we do not know";
  reply.mutable_read_data()->set_offset(~0ULL);
  reply.mutable_read_data()->set_length(7);
  reply.mutable_read_data()->set_lazy_read(true);
  EXPECT_EQ(std::get<ReadRequest>(ToChannelEvent(reply)->what), (ReadRequest{~0ULL, 7, true}));
  reply.mutable_hash_data()->set_hash_type(42);
  reply.mutable_hash_data()->set_block_size(4096);
  EXPECT_EQ(std::get<HashRequest>(ToChannelEvent(reply)->what), (HashRequest{42, 4096}));
  reply.mutable_status_changed()->set_status(static_cast<clouddrive::UploadFileInfo::Status>(99));
  reply.mutable_status_changed()->set_error_message("why");
  const auto change = std::get<StatusChange>(ToChannelEvent(reply)->what);
  EXPECT_EQ(static_cast<int>(change.status), 99);
  EXPECT_EQ(change.message, "why");
  EXPECT_FALSE(IsTerminal(change.status));
  EXPECT_EQ(ToString(change.status), "status 99");
}

TEST(FromHashReport, TheHashIsOnTheWireOnlyWhenItIsThere) {
  HashReport report;
  report.upload_id = "u";
  report.type = HashType::kSha1;
  report.bytes_hashed = 5;
  report.total_bytes = 9;
  EXPECT_FALSE(FromHashReport(report).has_hash_value());
  report.hash = "abc";
  report.block_hashes = {"x", "y"};
  const auto wire = FromHashReport(report);
  EXPECT_EQ(wire.hash_value(), "abc");
  EXPECT_EQ(wire.block_hashes_size(), 2);
  EXPECT_EQ(wire.hash_type(), clouddrive::CloudDriveFile::Sha1);
}

TEST(FromControl, SetsTheRightArm) {
  EXPECT_TRUE(FromControl("u", Control::kCancel).has_cancel());
  EXPECT_TRUE(FromControl("u", Control::kPause).has_pause());
  EXPECT_TRUE(FromControl("u", Control::kResume).has_resume());
}

TEST(FromStartRequest, CarriesTheKnownHashes) {
  const auto wire = FromStartRequest({"/a/b", 77, {{HashType::kMd5, "m"}}});
  EXPECT_EQ(wire.file_path(), "/a/b");
  EXPECT_EQ(wire.file_size(), 77U);
  EXPECT_TRUE(wire.client_can_calculate_hashes());
  EXPECT_EQ(wire.known_hashes().at(1), "m");
}

TEST(IsTerminal, FollowsTheTableOfTheProtocol) {
  for (const int number : {2, 5, 6, 8, 9, 10}) {
    EXPECT_TRUE(IsTerminal(static_cast<UploadStatus>(number))) << number;
  }
  for (const int number : {0, 1, 3, 4, 7, 11, -1}) {
    EXPECT_FALSE(IsTerminal(static_cast<UploadStatus>(number))) << number;
  }
}

}  // namespace
}  // namespace outboxfs::remote
