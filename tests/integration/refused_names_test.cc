// Names that the server does not take, or takes for another's: the file is parked with the reason,
// stays readable, and goes up when it is renamed; nothing is overwritten.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/program.h"
#include "support/test_server.h"

namespace outboxfs {
namespace {

namespace fs = std::filesystem;
using server::Knobs;
using test::Eventually;
using test::ProgramMount;
using test::ReadWholeFile;
using test::TestServer;
using test::WriteFile;
using ::testing::HasSubstr;

class RefusedNames : public ::testing::Test {
 protected:
  void Start(Knobs knobs) {
    server_ = std::make_unique<TestServer>(std::move(knobs));
    fs::create_directory(There(""));
    mount_ = std::make_unique<ProgramMount>(
        test::MountSpec{.remote = (*server_)->endpoint() + "/work", .token = (*server_)->token()});
    ASSERT_TRUE(mount_->ok()) << mount_->error();
  }
  std::string Here(const std::string& path) const { return mount_->path() + path; }
  std::string There(const std::string& path) const { return server_->Local("/work" + path); }
  std::string Ask(const std::string& path, const std::string& member) const {
    return mount_->Status(".items[] | select(.path == \"" + path + "\") | ." + member);
  }
  // The exit code of `wait` says that something needs a person.
  void ExpectParked(const std::string& path, const std::string& reason) {
    EXPECT_EQ(mount_->WaitUploaded().exit_code, 1);
    EXPECT_EQ(Ask(path, "state"), "parked");
    EXPECT_THAT(Ask(path, "note"), HasSubstr(reason));
  }
  void ExpectAllUploaded() {
    const auto waited = mount_->WaitUploaded();
    EXPECT_EQ(waited.exit_code, 0) << waited.err << mount_->Status(".items");
  }

  std::unique_ptr<TestServer> server_;
  std::unique_ptr<ProgramMount> mount_;
};

TEST_F(RefusedNames, AFileIsParkedAndGoesUpUnderAnotherName) {
  Start({.refused_chars = ":?"});
  WriteFile(Here("/what?"), "content");
  WriteFile(Here("/fine"), "other");
  ExpectParked("/what?", "not allowed");
  EXPECT_EQ(ReadWholeFile(Here("/what?")), "content");
  EXPECT_EQ(ReadWholeFile(There("/fine")), "other");
  fs::rename(Here("/what?"), Here("/what"));
  ExpectAllUploaded();
  EXPECT_EQ(ReadWholeFile(There("/what")), "content");
}

TEST_F(RefusedNames, ADirectoryKeepsWhatIsInItUntilItIsRenamed) {
  Start({.refused_chars = ":"});
  fs::create_directory(Here("/C:"));
  WriteFile(Here("/C:/file"), "content");
  ASSERT_TRUE(Eventually([&] { return Ask("/C:", "state") == "parked"; }));
  EXPECT_THAT(Ask("/C:", "note"), HasSubstr("invalid name"));
  ASSERT_TRUE(Eventually([&] { return Ask("/C:/file", "state") == "queued"; }));
  EXPECT_THAT(Ask("/C:/file", "note"), HasSubstr("parked"));
  EXPECT_EQ(ReadWholeFile(Here("/C:/file")), "content");
  fs::rename(Here("/C:"), Here("/C"));
  ExpectAllUploaded();
  EXPECT_EQ(ReadWholeFile(There("/C/file")), "content");
}

TEST_F(RefusedNames, ANameThatDiffersInItsCaseOnlyIsNotWrittenOverTheOther) {
  Start({.ignore_case = true});
  WriteFile(Here("/readme"), "the small one");
  ExpectAllUploaded();
  WriteFile(Here("/README"), "THE LARGE ONE");
  ExpectParked("/README", "for 'readme'");
  EXPECT_EQ(ReadWholeFile(Here("/readme")), "the small one");
  EXPECT_EQ(ReadWholeFile(Here("/README")), "THE LARGE ONE");
  EXPECT_EQ(ReadWholeFile(There("/readme")), "the small one");
  fs::rename(Here("/README"), Here("/README.txt"));
  ExpectAllUploaded();
  EXPECT_EQ(ReadWholeFile(There("/README.txt")), "THE LARGE ONE");
}

TEST_F(RefusedNames, NorAreTwoThatComeAtOnce) {
  Start({.ignore_case = true});
  for (const std::string& name : {std::string("/ab"), std::string("/aB"), std::string("/AB")}) {
    WriteFile(Here(name), "content of " + name);
  }
  EXPECT_EQ(mount_->WaitUploaded().exit_code, 1);
  size_t uploaded = 0;
  for (const std::string& name : {std::string("/ab"), std::string("/aB"), std::string("/AB")}) {
    EXPECT_EQ(ReadWholeFile(Here(name)), "content of " + name);
    if (!fs::exists(There(name))) continue;
    ++uploaded;
    EXPECT_EQ(ReadWholeFile(There(name)), "content of " + name);
  }
  EXPECT_EQ(uploaded, 1U);
  EXPECT_EQ(mount_->Status(".uploads.files_parked"), "2");
}

TEST_F(RefusedNames, DirectoriesAreNotMerged) {
  Start({.ignore_case = true});
  fs::create_directory(Here("/dir"));
  WriteFile(Here("/dir/file"), "small");
  ExpectAllUploaded();
  fs::create_directory(Here("/DIR"));
  WriteFile(Here("/DIR/file"), "LARGE");
  ASSERT_TRUE(Eventually([&] { return Ask("/DIR", "state") == "parked"; }));
  EXPECT_THAT(Ask("/DIR", "note"), HasSubstr("for 'dir'"));
  EXPECT_EQ(ReadWholeFile(Here("/dir/file")), "small");
  EXPECT_EQ(ReadWholeFile(Here("/DIR/file")), "LARGE");
  EXPECT_EQ(ReadWholeFile(There("/dir/file")), "small");
}

TEST_F(RefusedNames, WhereCaseCountsBothGoUp) {
  Start({});
  for (const std::string& name : {std::string("/ab"), std::string("/aB")}) {
    WriteFile(Here(name), "content of " + name);
  }
  ExpectAllUploaded();
  for (const std::string& name : {std::string("/ab"), std::string("/aB")}) {
    EXPECT_EQ(ReadWholeFile(There(name)), "content of " + name);
  }
}

}  // namespace
}  // namespace outboxfs
