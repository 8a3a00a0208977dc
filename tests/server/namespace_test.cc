// Listing, lookup, folders, renames, moves, deletes, space, and what lags after an upload.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "raw_client.h"

namespace outboxfs::test {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using server::Knobs;
using Stub = clouddrive::CloudDriveFileSrv::Stub;
using Policy = clouddrive::MoveFileRequest;

std::vector<std::string> Names(const std::vector<clouddrive::CloudDriveFile>& files) {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.name());
  return names;
}

grpc::Status Find(RawClient& client, const std::string& parent, const std::string& path,
                  clouddrive::CloudDriveFile* file) {
  clouddrive::FindFileByPathRequest request;
  request.set_parentpath(parent);
  request.set_path(path);
  return client.Call(&Stub::FindFileByPath, request, file);
}

clouddrive::CreateFolderResult MakeFolder(RawClient& client, const std::string& parent,
                                          const std::string& name) {
  clouddrive::CreateFolderRequest request;
  request.set_parentpath(parent);
  request.set_foldername(name);
  clouddrive::CreateFolderResult reply;
  const grpc::Status status = client.Call(&Stub::CreateFolder, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return reply;
}

clouddrive::FileOperationResult Rename(RawClient& client, const std::string& path,
                                       const std::string& name) {
  clouddrive::RenameFileRequest request;
  request.set_thefilepath(path);
  request.set_newname(name);
  clouddrive::FileOperationResult reply;
  EXPECT_TRUE(client.Call(&Stub::RenameFile, request, &reply).ok());
  return reply;
}

clouddrive::FileOperationResult Move(RawClient& client, const std::string& path,
                                     const std::string& folder,
                                     std::optional<Policy::ConflictPolicy> policy = {}) {
  clouddrive::MoveFileRequest request;
  request.add_thefilepaths(path);
  request.set_destpath(folder);
  if (policy) request.set_conflictpolicy(*policy);
  clouddrive::FileOperationResult reply;
  EXPECT_TRUE(client.Call(&Stub::MoveFile, request, &reply).ok());
  return reply;
}

clouddrive::FileOperationResult Delete(RawClient& client, const std::string& path) {
  clouddrive::FileRequest request;
  request.set_path(path);
  clouddrive::FileOperationResult reply;
  EXPECT_TRUE(client.Call(&Stub::DeleteFile, request, &reply).ok());
  return reply;
}

TEST(Listing, ShowsFilesAndFoldersWithTheirFacts) {
  TestServer server;
  RawClient client(server);
  fs::create_directories(server.Local("/文件夹/sub"));
  WriteFile(server.Local("/文件夹/a b.txt"), "hello");
  const auto files = client.List("/文件夹/");
  EXPECT_THAT(Names(files), testing::UnorderedElementsAre("sub", "a b.txt"));
  const auto file = client.Entry("/文件夹", "a b.txt");
  EXPECT_EQ(file.fullpathname(), "/文件夹/a b.txt");
  EXPECT_EQ(file.size(), 5);
  EXPECT_FALSE(file.isdirectory());
  EXPECT_TRUE(file.iscloudfile());
  EXPECT_EQ(file.filetype(), clouddrive::CloudDriveFile::File);
  EXPECT_GT(file.writetime().seconds(), 1'600'000'000);
  EXPECT_FALSE(file.id().empty());
  const auto folder = client.Entry("/文件夹", "sub");
  EXPECT_TRUE(folder.isdirectory());
  EXPECT_EQ(folder.filetype(), clouddrive::CloudDriveFile::Directory);
}

TEST(Listing, ComesInBatches) {
  Knobs knobs;
  knobs.list_batch = 4;
  TestServer server(knobs);
  RawClient client(server);
  for (int i = 0; i < 10; ++i) WriteFile(server.Local("/f" + std::to_string(i)), "");
  std::vector<int> batches;
  EXPECT_EQ(client.List("/", &batches).size(), 10U);
  EXPECT_THAT(batches, testing::ElementsAre(4, 4, 2));
}

TEST(Listing, OfAMissingFolderIsNotFoundAndOfAFileInvalid) {
  TestServer server;
  RawClient client(server);
  WriteFile(server.Local("/f"), "");
  client.List("/missing");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::NOT_FOUND);
  client.List("/f");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  client.List("/..");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST(Listing, HidesLinksAndTheServersOwnFolder) {
  TestServer server;
  RawClient client(server);
  fs::create_symlink("/etc/passwd", server.Local("/link"));
  client.Open();
  client.Start("/pending", 5);  // makes the private folder
  EXPECT_TRUE(client.List("/").empty());
  clouddrive::CloudDriveFile file;
  EXPECT_EQ(Find(client, "", "/link", &file).error_code(), grpc::StatusCode::NOT_FOUND);
}

// Whoever serves a directory has links in it; they must not give away what is beside it.
TEST(Links, LeadNowhereInTheMiddleOfAPathEither) {
  TestServer server;
  RawClient client(server);
  TempDir outside;
  fs::create_directories(outside / "folder");
  WriteFile(outside / "secret", "secret");
  fs::create_directories(server.Local("/sub/inside"));
  WriteFile(server.Local("/sub/inside/file"), "x");
  WriteFile(server.Local("/mine"), "mine");
  fs::create_symlink(outside.path(), server.Local("/sub/link"));
  fs::create_symlink("inside", server.Local("/sub/near"));

  clouddrive::CloudDriveFile file;
  for (const char* path : {"/sub/link/secret", "/sub/link/folder", "/sub/near/file", "/sub/near"}) {
    EXPECT_EQ(Find(client, "", path, &file).error_code(), grpc::StatusCode::NOT_FOUND) << path;
  }
  client.List("/sub/link");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::NOT_FOUND);
  client.List("/sub/link/folder");
  EXPECT_EQ(client.list_status().error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_FALSE(MakeFolder(client, "/sub/link", "made").result().success());
  EXPECT_FALSE(Rename(client, "/sub/link/secret", "renamed").success());
  EXPECT_FALSE(Move(client, "/mine", "/sub/link").success());
  EXPECT_FALSE(Move(client, "/sub/link/secret", "/").success());
  EXPECT_FALSE(Delete(client, "/sub/link/secret").success());
  EXPECT_FALSE(Delete(client, "/sub/link").success());

  EXPECT_EQ(ReadWholeFile(outside / "secret"), "secret");
  EXPECT_EQ(std::distance(fs::directory_iterator(outside.path()), fs::directory_iterator()), 2);
  EXPECT_TRUE(Delete(client, "/sub").success()) << "the links go, what they point to stays";
  EXPECT_EQ(ReadWholeFile(outside / "secret"), "secret");
}

TEST(Lookup, TakesAFullPathOrAParentAndARelativePath) {
  TestServer server;
  RawClient client(server);
  fs::create_directories(server.Local("/a/b"));
  WriteFile(server.Local("/a/b/c"), "xyz");
  clouddrive::CloudDriveFile file;
  EXPECT_TRUE(Find(client, "", "/a/b/c", &file).ok());
  EXPECT_EQ(file.size(), 3);
  EXPECT_TRUE(Find(client, "/a/b", "c", &file).ok());
  EXPECT_TRUE(Find(client, "/a", "b/c", &file).ok());
  EXPECT_TRUE(Find(client, "", "/", &file).ok());
  EXPECT_TRUE(file.isroot());
  EXPECT_EQ(Find(client, "/a", "x", &file).error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST(Folders, AreCreatedOnce) {
  TestServer server;
  RawClient client(server);
  const auto made = MakeFolder(client, "/", "new");
  EXPECT_TRUE(made.result().success());
  EXPECT_EQ(made.foldercreated().fullpathname(), "/new");
  EXPECT_THAT(made.result().resultfilepaths(), testing::ElementsAre("/new"));
  const auto again = MakeFolder(client, "/", "new");
  EXPECT_FALSE(again.result().success());
  EXPECT_THAT(again.result().errormessage(), testing::HasSubstr("already exists"));
  EXPECT_FALSE(MakeFolder(client, "/missing", "x").result().success());
}

TEST(Folders, WithImpossibleNamesAreRefused) {
  TestServer server;
  RawClient client(server);
  for (const char* name : {"", ".", "..", "a/b", ".outboxfs-server"}) {
    clouddrive::CreateFolderRequest request;
    request.set_parentpath("/");
    request.set_foldername(name);
    clouddrive::CreateFolderResult reply;
    EXPECT_EQ(client.Call(&Stub::CreateFolder, request, &reply).error_code(),
              grpc::StatusCode::INVALID_ARGUMENT);
  }
}

TEST(VirtualRoot, IsReadOnly) {
  Knobs knobs;
  knobs.virtual_root = true;
  TestServer server(knobs);
  RawClient client(server);
  fs::create_directories(server.Local("/cloud/sub"));
  clouddrive::CreateFolderRequest request;
  request.set_parentpath("/");
  request.set_foldername("x");
  clouddrive::CreateFolderResult reply;
  const grpc::Status status = client.Call(&Stub::CreateFolder, request, &reply);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(), "create_folder is not supported");
  EXPECT_FALSE(Rename(client, "/cloud", "other").success());
  EXPECT_FALSE(Delete(client, "/cloud").success());
  EXPECT_FALSE(Move(client, "/cloud/sub", "/", Policy::Rename).success());
  EXPECT_EQ(client.Upload("/f", "abc").status(), UploadStatus::Error);
  EXPECT_TRUE(client.Entry("/", "cloud").iscloudroot());
  EXPECT_TRUE(MakeFolder(client, "/cloud", "x").result().success());
  EXPECT_EQ(client.Upload("/cloud/f", "abc").status(), UploadStatus::Finish);
}

TEST(Renaming, StaysInItsFolderAndKeepsTheIdentity) {
  TestServer server;
  RawClient client(server);
  client.Upload("/old", "abc");
  const auto before = client.Entry("/", "old");
  const auto reply = Rename(client, "/old", "new");
  EXPECT_TRUE(reply.success());
  EXPECT_THAT(reply.resultfilepaths(), testing::ElementsAre("/new"));
  const auto after = client.Entry("/", "new");
  EXPECT_EQ(after.id(), before.id());
  EXPECT_EQ(after.filehashes().at(2), before.filehashes().at(2));
  EXPECT_EQ(client.List("/").size(), 1U);
}

TEST(Renaming, OntoATakenNameOrOfNothingOrWithASlashFails) {
  TestServer server;
  RawClient client(server);
  WriteFile(server.Local("/a"), "a");
  WriteFile(server.Local("/b"), "b");
  EXPECT_THAT(Rename(client, "/a", "b").errormessage(), testing::HasSubstr("already exists"));
  EXPECT_FALSE(Rename(client, "/missing", "c").success());
  EXPECT_FALSE(Rename(client, "/a", "x/y").success());
  EXPECT_FALSE(Rename(client, "/a", "..").success());
  EXPECT_EQ(ReadWholeFile(server.Local("/b")), "b");
}

TEST(Renaming, OfSeveralStopsAtTheFirstFailure) {
  TestServer server;
  RawClient client(server);
  WriteFile(server.Local("/a"), "a");
  WriteFile(server.Local("/c"), "c");
  clouddrive::RenameFilesRequest request;
  for (auto [path, name] : {std::pair{"/a", "a2"}, std::pair{"/b", "b2"}, std::pair{"/c", "c2"}}) {
    auto* one = request.add_renamefiles();
    one->set_thefilepath(path);
    one->set_newname(name);
  }
  clouddrive::FileOperationResult reply;
  EXPECT_TRUE(client.Call(&Stub::RenameFiles, request, &reply).ok());
  EXPECT_FALSE(reply.success());
  EXPECT_THAT(Names(client.List("/")), testing::UnorderedElementsAre("a2", "c"));
}

TEST(Moving, KeepsTheNameAndTreatsConflictsByPolicy) {
  TestServer server;
  RawClient client(server);
  fs::create_directories(server.Local("/to"));
  const auto put = [&] {
    WriteFile(server.Local("/f.x"), "new");
    WriteFile(server.Local("/to/f.x"), "old");
  };
  WriteFile(server.Local("/g"), "g");
  EXPECT_THAT(Move(client, "/g", "/to").resultfilepaths(), testing::ElementsAre("/to/g"));
  put();
  EXPECT_FALSE(Move(client, "/f.x", "/to").success());  // no policy: no guess
  EXPECT_TRUE(Move(client, "/f.x", "/to", Policy::Skip).success());
  EXPECT_EQ(ReadWholeFile(server.Local("/f.x")), "new");
  EXPECT_TRUE(Move(client, "/f.x", "/to", Policy::Rename).success());
  EXPECT_EQ(ReadWholeFile(server.Local("/to/f(1).x")), "new");
  put();
  EXPECT_TRUE(Move(client, "/f.x", "/to", Policy::Overwrite).success());
  EXPECT_EQ(ReadWholeFile(server.Local("/to/f.x")), "new");
  EXPECT_FALSE(fs::exists(server.Local("/f.x")));
}

TEST(Moving, IntoAMissingFolderOrIntoItselfFails) {
  TestServer server;
  RawClient client(server);
  fs::create_directories(server.Local("/a/b"));
  EXPECT_FALSE(Move(client, "/a", "/missing", Policy::Skip).success());
  EXPECT_FALSE(Move(client, "/a", "/a/b", Policy::Skip).success());
  EXPECT_FALSE(Move(client, "/nothing", "/a", Policy::Skip).success());
}

TEST(Deleting, TakesFilesAndWholeFolders) {
  TestServer server;
  RawClient client(server);
  fs::create_directories(server.Local("/a/b"));
  WriteFile(server.Local("/a/b/f"), "x");
  WriteFile(server.Local("/g"), "x");
  EXPECT_TRUE(Delete(client, "/a").success());
  EXPECT_FALSE(Delete(client, "/a").success());
  EXPECT_FALSE(Delete(client, "/").success());
  clouddrive::MultiFileRequest many;
  many.add_path("/g");
  many.add_path("/missing");
  clouddrive::FileOperationResult reply;
  EXPECT_TRUE(client.Call(&Stub::DeleteFiles, many, &reply).ok());
  EXPECT_FALSE(reply.success());
  EXPECT_TRUE(client.List("/").empty());
}

TEST(Space, IsThatOfTheDirectory) {
  TestServer server;
  RawClient client(server);
  clouddrive::FileRequest request;
  request.set_path("/");
  clouddrive::SpaceInfo space;
  ASSERT_TRUE(client.Call(&Stub::GetSpaceInfo, request, &space).ok());
  EXPECT_GT(space.totalspace(), 0);
  EXPECT_GT(space.freespace(), 0);
  EXPECT_EQ(space.usedspace(), space.totalspace() - space.freespace());
}

TEST(Lag, AListingStaysStaleAfterFinish) {
  Knobs knobs;
  knobs.listing_lag = 1h;
  TestServer server(knobs);
  RawClient client(server);
  WriteFile(server.Local("/replaced"), "old");
  const auto before = client.Entry("/", "replaced");
  EXPECT_EQ(client.Upload("/replaced", "newer").status(), UploadStatus::Finish);
  EXPECT_EQ(client.Upload("/fresh", "abc").status(), UploadStatus::Finish);
  EXPECT_EQ(client.Entry("/", "replaced").SerializeAsString(), before.SerializeAsString());
  EXPECT_EQ(client.List("/").size(), 1U);
  clouddrive::CloudDriveFile file;
  EXPECT_EQ(Find(client, "", "/fresh", &file).error_code(), grpc::StatusCode::NOT_FOUND);
  server.Change([](Knobs& k) { k.listing_lag = 0ms; });
  EXPECT_EQ(client.Entry("/", "fresh").size(), 3);
  EXPECT_EQ(client.Entry("/", "replaced").size(), 5);
}

TEST(Lag, AnEntryLacksItsHashesAfterFinish) {
  Knobs knobs;
  knobs.hash_lag = 1h;
  TestServer server(knobs);
  RawClient client(server);
  client.Upload("/f", "abc");
  EXPECT_TRUE(client.Entry("/", "f").filehashes().empty());
  server.Change([](Knobs& k) { k.hash_lag = 0ms; });
  EXPECT_EQ(client.Entry("/", "f").filehashes().size(), 1U);
}

TEST(Lag, ARunningUploadCanBeListedAlready) {
  Knobs knobs;
  knobs.pending_entries = true;
  TestServer server(knobs);
  RawClient client(server);
  const auto channel = client.Open();
  client.Start("/pending", 1234);
  const auto entry = client.Entry("/", "pending");
  EXPECT_EQ(entry.size(), 1234);
  EXPECT_TRUE(entry.filehashes().empty());
  EXPECT_FALSE(entry.iscloudfile()) << "not in the cloud yet";
  server.Change([](Knobs& k) { k.pending_entries = false; });
  EXPECT_TRUE(client.List("/").empty());
}

}  // namespace
}  // namespace outboxfs::test
