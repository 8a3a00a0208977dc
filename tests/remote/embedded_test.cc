// The room as a whole against the embedded server.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <thread>

#include "remote/push.h"
#include "remote/remote.h"
#include "support/fake_clock.h"
#include "support/test_server.h"

namespace outboxfs::remote {
namespace {

using test::TestServer;
using testing::UnorderedElementsAre;
namespace fs = std::filesystem;

ConnectOptions OptionsFor(TestServer& server) {
  ConnectOptions options;
  options.endpoint = ParseRemote(server->endpoint()).value().endpoint;
  options.credentials.token = server->token();
  return options;
}

// Serves one upload until it has ended; false when the channel broke.
class Uploader {
 public:
  Uploader(UploadApi& api, std::string content) : api_(api), content_(std::move(content)) {}

  // The terminal status of one upload to `path`.
  UploadStatus Upload(const std::string& path) {
    auto channel = api_.OpenChannel("device-1", {});
    if (!channel) return Fail(channel.error());
    Result<std::string> id = api_.Start({path, content_.size(), {}}, {});
    if (!id) return Fail(id.error());
    for (;;) {
      Result<ChannelEvent> event = (*channel)->Next();
      if (!event) return Fail(event.error());
      if (event->upload_id != *id) continue;
      if (const auto* read = std::get_if<ReadRequest>(&event->what)) Answer(*id, *read);
      if (const auto* hash = std::get_if<HashRequest>(&event->what)) ADD_FAILURE() << hash->type;
      if (const auto* change = std::get_if<StatusChange>(&event->what)) {
        if (IsTerminal(change->status)) return change->status;
      }
    }
  }

 private:
  static UploadStatus Fail(const Error& error) {
    ADD_FAILURE() << error.text;
    return UploadStatus::kFatalError;
  }
  void Answer(const std::string& id, const ReadRequest& read) {
    const std::span<const char> all(content_);
    ReadAnswer answer{id, read.offset, read.lazy_read, read.offset + read.length == all.size(),
                      std::as_bytes(all.subspan(read.offset, read.length))};
    Status sent = api_.AnswerRead(answer, {});
    if (!sent) Fail(sent.error());
  }

  UploadApi& api_;
  const std::string content_;
};

class EmbeddedTest : public testing::Test {
 protected:
  void Write(const std::string& path, const std::string& content) {
    fs::create_directories(fs::path(server_.Local(path)).parent_path());
    std::ofstream(server_.Local(path)) << content;
  }
  std::vector<std::string> Names(const std::string& dir) {
    std::vector<std::string> names;
    Result<DirContent> content = names_.List(dir, true, {});
    EXPECT_TRUE(content);
    if (!content) return names;
    for (const Entry& entry : content->entries) names.push_back(entry.name);
    return names;
  }
  static std::string Content(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  TestServer server_;
  const ConnectOptions options_ = OptionsFor(server_);
  std::unique_ptr<Remote> remote_ = Remote::Connect(options_).value();
  NamespaceApi& names_ = remote_->names();
};

TEST_F(EmbeddedTest, ProbeTellsWhatTheTokenMayDo) {
  Result<TokenFacts> facts = names_.Probe({});
  ASSERT_TRUE(facts) << facts.error().text;
  EXPECT_TRUE(facts->may_push);
  server_.Change([](server::Knobs& knobs) { knobs.denied_permissions = "allow_push_message"; });
  EXPECT_FALSE(names_.Probe({})->may_push);
  server_.Change([](server::Knobs& knobs) { knobs.system_ready = false; });
  EXPECT_EQ(names_.Probe({}).error().code, EAGAIN);
}

TEST_F(EmbeddedTest, AWrongTokenIsSaidToBeWrong) {
  ConnectOptions options = options_;
  options.credentials.token = "wrong";
  auto remote = Remote::Connect(options).value();
  Result<TokenFacts> facts = remote->names().Probe({});
  ASSERT_FALSE(facts);
  EXPECT_EQ(facts.error().code, EACCES);
  EXPECT_EQ(facts.error().retry, Retry::kPauseAll);
  EXPECT_EQ(remote->names().List("/", false, {}).error().code, EACCES);
  EXPECT_EQ(remote->uploads().OpenChannel("d", {}).error().code, EACCES);
}

TEST_F(EmbeddedTest, ATokenThatMayNotIsRefusedPerCall) {
  server_.Change([](server::Knobs& knobs) { knobs.denied_permissions = "allow_list"; });
  Result<DirContent> entries = names_.List("/", false, {});
  ASSERT_FALSE(entries);
  EXPECT_EQ(entries.error().code, EACCES);
  EXPECT_EQ(entries.error().retry, Retry::kPark);
}

TEST_F(EmbeddedTest, APasswordWorksAndIsRenewedAfterARefusal) {
  ConnectOptions options = options_;
  options.credentials = {"", TestServer::kUser, TestServer::kPassword};
  auto remote = Remote::Connect(options).value();
  EXPECT_TRUE(remote->names().Probe({}));
  EXPECT_TRUE(remote->names().List("/", false, {}));
  server_->RevokeLogins();
  EXPECT_TRUE(remote->uploads().OpenChannel("d", {})) << "streams renew as well";
  EXPECT_TRUE(remote->names().MakeDir("/", "new", {}));
  options.credentials.password = "not it";
  EXPECT_EQ(Remote::Connect(options).value()->names().List("/", false, {}).error().code, EACCES);
}

TEST_F(EmbeddedTest, TheTreeCanBeReadAndChanged) {
  Write("/a/file one.txt", "hello");
  Write("/a/中文.bin", std::string(100'000, 'x'));
  EXPECT_THAT(Names("/"), UnorderedElementsAre("a"));
  EXPECT_THAT(Names("/a"), UnorderedElementsAre("file one.txt", "中文.bin"));
  Result<Entry> entry = names_.Find("/a/file one.txt", {});
  ASSERT_TRUE(entry) << entry.error().text;
  EXPECT_EQ(entry->name, "file one.txt");
  EXPECT_EQ(entry->size, 5U);
  EXPECT_FALSE(entry->is_dir);
  EXPECT_FALSE(entry->pending);
  EXPECT_GT(entry->mtime_ns, 0);
  EXPECT_TRUE(names_.Find("/a", {})->is_dir);

  ASSERT_TRUE(names_.MakeDir("/a", "new", {}));
  EXPECT_TRUE(fs::is_directory(server_.Local("/a/new")));
  ASSERT_TRUE(names_.Rename("/a/file one.txt", "two", {}));
  ASSERT_TRUE(names_.Move("/a/two", "/a/new", {}));
  EXPECT_EQ(Content(server_.Local("/a/new/two")), "hello");
  ASSERT_TRUE(names_.Delete("/a/new", {}));
  EXPECT_FALSE(fs::exists(server_.Local("/a/new")));
}

TEST_F(EmbeddedTest, TheRightErrnoForEveryNamespaceFailure) {
  Write("/a/f", "x");
  Write("/b/f", "y");
  EXPECT_EQ(names_.List("/nowhere", true, {}).error().code, ENOENT);
  EXPECT_EQ(names_.List("/a/f", true, {}).error().code, ENOTDIR);
  EXPECT_EQ(names_.Find("/a/g", {}).error().code, ENOENT);
  EXPECT_EQ(names_.MakeDir("/", "a", {}).error().code, EEXIST);
  EXPECT_EQ(names_.MakeDir("/nowhere", "a", {}).error().code, ENOENT);
  EXPECT_EQ(names_.Rename("/a/g", "h", {}).error().code, ENOENT);
  EXPECT_EQ(names_.Delete("/a/g", {}).error().code, ENOENT);
  EXPECT_EQ(names_.GetDownloadLink("/a/g", {}).error().code, ENOENT);
  server_.Change([](server::Knobs& knobs) { knobs.virtual_root = true; });
  EXPECT_EQ(names_.MakeDir("/", "new", {}).error().code, EPERM);
}

TEST_F(EmbeddedTest, AMoveOntoAnExistingNameDestroysNothing) {
  Write("/a/f", "x");
  Write("/b/f", "y");
  (void)names_.Move("/a/f", "/b", {});
  EXPECT_EQ(Content(server_.Local("/b/f")), "y");
  EXPECT_EQ(Content(server_.Local("/a/f")), "x");
}

TEST_F(EmbeddedTest, ALargeDirectoryComesWhole) {
  server_.Change([](server::Knobs& knobs) { knobs.list_batch = 100; });
  for (int i = 0; i < 1000; ++i) Write("/many/" + std::to_string(i), "");
  EXPECT_EQ(Names("/many").size(), 1000U);
}

TEST_F(EmbeddedTest, SpaceIsThatOfTheDirectory) {
  Result<Space> space = names_.GetSpace("/", {});
  ASSERT_TRUE(space) << space.error().text;
  EXPECT_GT(space->total, 0U);
  EXPECT_LE(space->free + space->used, space->total);
}

TEST_F(EmbeddedTest, FilesCanBeDownloadedByRange) {
  std::string content(300'000, '\0');
  for (size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 + i / 251);
  Write("/a/ümlaut & 100%.bin", content);
  auto downloader = MakeDownloader(names_, options_);
  std::string out(70'000, '\0');
  Status got =
      downloader->Fetch("/a/ümlaut & 100%.bin", 12'345, std::as_writable_bytes(std::span(out)), {});
  ASSERT_TRUE(got) << got.error().text;
  EXPECT_EQ(out, content.substr(12'345, out.size()));
  EXPECT_EQ(downloader
                ->Fetch("/a/ümlaut & 100%.bin", content.size() - 1,
                        std::as_writable_bytes(std::span(out)), {})
                .error()
                .code,
            EIO);
}

TEST_F(EmbeddedTest, AnUploadArrives) {
  const std::string content(3'500'000, 'u');
  EXPECT_EQ(Uploader(remote_->uploads(), content).Upload("/up.bin"), UploadStatus::kFinish);
  EXPECT_EQ(Content(server_.Local("/up.bin")), content);
  Result<std::vector<QueuedUpload>> list = remote_->uploads().ListUploads({});
  ASSERT_TRUE(list) << list.error().text;
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().path, "/up.bin");
  EXPECT_EQ(list->front().size, content.size());
  EXPECT_EQ(list->front().status, UploadStatus::kFinish);
}

TEST_F(EmbeddedTest, AnUploadIdThatNobodyKnowsIsENOENT) {
  UploadApi& uploads = remote_->uploads();
  for (const int code : {5, 2, 13}) {  // NOT_FOUND, UNKNOWN, INTERNAL
    server_.Change([code](server::Knobs& knobs) { knobs.unknown_id_code = code; });
    EXPECT_EQ(uploads.AnswerRead({"nobody", 0, false, false, {}}, {}).error().code, ENOENT);
    HashReport report;
    report.upload_id = "nobody";
    report.type = HashType::kMd5;
    EXPECT_EQ(uploads.ReportHash(report, {}).error().code, ENOENT);
    EXPECT_EQ(uploads.ControlUpload("nobody", Control::kCancel, {}).error().code, ENOENT);
  }
  server_.Change([](server::Knobs& k) { k.unknown_id = server::UnknownId::kSuccessFalse; });
  EXPECT_EQ(uploads.AnswerRead({"nobody", 0, false, false, {}}, {}).error().code, ENOENT);
}

TEST_F(EmbeddedTest, AReadAnswerWithTheWrongFlagIsESTALE) {
  auto channel = remote_->uploads().OpenChannel("d", {}).value();
  const std::string id = remote_->uploads().Start({"/f", 10, {}}, {}).value();
  for (;;) {
    const ChannelEvent event = channel->Next().value();
    const auto* read = std::get_if<ReadRequest>(&event.what);
    if (read == nullptr) continue;
    const std::vector<std::byte> data(10);
    for (const bool as_status : {false, true}) {
      server_.Change([&](server::Knobs& knobs) { knobs.no_waiter_as_status = as_status; });
      ReadAnswer answer{id, read->offset, !read->lazy_read, true, data};
      EXPECT_EQ(remote_->uploads().AnswerRead(answer, {}).error().code, ESTALE);
    }
    break;
  }
  EXPECT_TRUE(remote_->uploads().ControlUpload(id, Control::kCancel, {}));
}

TEST_F(EmbeddedTest, ANewChannelOfTheSameDeviceEndsTheOld) {
  auto first = remote_->uploads().OpenChannel("d", {}).value();
  auto second = remote_->uploads().OpenChannel("d", {}).value();
  Result<ChannelEvent> end = first->Next();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, EPIPE);
  EXPECT_NE(end.error().text.find("channel replaced"), std::string::npos) << end.error().text;
}

TEST_F(EmbeddedTest, AfterARestartOfTheServerTheSameConnectionWorksAgain) {
  ASSERT_TRUE(names_.List("/", false, {}));
  auto channel = remote_->uploads().OpenChannel("d", {}).value();
  server_.Restart();
  EXPECT_EQ(channel->Next().error().code, EPIPE);
  Result<DirContent> entries = names_.List("/", false, {});
  EXPECT_TRUE(entries) << entries.error().text;
  EXPECT_TRUE(remote_->uploads().OpenChannel("d", {}));
}

TEST_F(EmbeddedTest, ChangesMadeElsewhereAreHeardOf) {
  test::FakeClock clock;  // stands still: only the push can make a listing stale
  DirCache cache(names_, clock, std::chrono::hours(1));
  Mutex mu;
  CondVar changed;
  std::vector<std::string> heard;
  PushReader reader(names_, cache, [&](const FsChange* change) {
    MutexLock lock(mu);
    heard.push_back(change == nullptr ? "everything" : change->path);
    changed.NotifyAll();
  });
  const auto await = [&](const std::string& what) {
    const auto deadline = CondVar::Clock::now() + std::chrono::seconds(10);
    MutexLock lock(mu);
    while (std::find(heard.begin(), heard.end(), what) == heard.end()) {
      if (!changed.WaitUntil(mu, {}, deadline)) return false;
    }
    return true;
  };
  ASSERT_TRUE(await("everything"));
  ASSERT_TRUE(cache.Get("/", {}));
  auto elsewhere = Remote::Connect(options_).value();
  ASSERT_TRUE(elsewhere->names().MakeDir("/", "theirs", {}));
  ASSERT_TRUE(await("/theirs"));
  EXPECT_EQ(cache.Peek("/"), nullptr);
  EXPECT_NE(cache.Get("/", {}).value()->Find("theirs"), nullptr);
}

}  // namespace
}  // namespace outboxfs::remote
