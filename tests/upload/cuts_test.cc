// A crash between any two steps: the connection is cut after each number of calls in turn, with the
// last one carried out and without, the uploader ends, and another one starts with what the journal
// says. It always ends with one file of the right bytes, and nothing hidden beside it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "remote/remote.h"
#include "support/test_server.h"
#include "support/upload_room.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using server::FailWhen;
using server::Knobs;
using upload::Overwrite;

struct Scenario {
  const char* name;
  Overwrite overwrite = Overwrite::kSafe;
  bool in_flight = false;  // the upload does not end before the change is made
  // Names on the server before, with the content "old".
  std::vector<std::string> there;
  // Changes the mount; the file is the item that was written last.
  std::function<void(UploadRoom&, const server::Faults&)> change;
  // Every name on the server in the end. Those with a new content are "new".
  std::vector<std::pair<std::string, std::string>> expected;
};

class Cuts : public ::testing::TestWithParam<Scenario> {
 protected:
  // One run, cut after `calls`; false when it ended without being cut.
  void RunOnce(int calls, FailWhen when, bool& cut) {
    TestServer server(Knobs{.start_delay = server::Millis(0)});
    if (GetParam().in_flight) {
      server.Change([](Knobs& knobs) { knobs.hold = server::Phase::kFinishing; });
    }
    for (const std::string& path : GetParam().there) {
      std::filesystem::create_directories(std::filesystem::path(server.Local(path)).parent_path());
      WriteFile(server.Local(path), "old");
    }
    auto remote = Connect(server);
    upload::UploadOptions options = QuickOptions();
    options.overwrite = GetParam().overwrite;
    UploadRoom room(remote->uploads(), remote->names(), options);
    ASSERT_TRUE(room.AwaitStatus([](const auto& status) { return status.channel_up; }));
    server->faults().CutAfter(calls, when);
    GetParam().change(room, server->faults());
    server.Change([](Knobs& knobs) { knobs.hold = server::Phase::kNone; });
    ASSERT_TRUE(room.AwaitStatus([&](const auto& /*status*/) {
      cut = server->faults().is_cut();
      return cut || IsDone(room);
    }));
    room.Close();
    server->faults().Clear();
    room.Open();
    ASSERT_TRUE(room.AwaitStatus([&](const auto& /*status*/) { return IsDone(room); }))
        << Reasons(room);
    ExpectContent(server);
  }

 private:
  static std::unique_ptr<remote::Remote> Connect(TestServer& server) {
    const auto spec = remote::ParseRemote(server->endpoint());
    remote::ConnectOptions options;
    options.endpoint = spec->endpoint;
    options.credentials.token = server->token();
    return std::move(*remote::Remote::Connect(options));
  }
  static bool IsDone(UploadRoom& room) { return room.store().All().empty(); }
  static std::string Reasons(UploadRoom& room) {
    std::string text;
    for (const cache::Item& item : room.store().All()) {
      text += item.path + ": " + std::string(ToString(item.state)) + " " + item.reason + "\n";
    }
    return text;
  }
  void ExpectContent(TestServer& server) {
    std::vector<std::pair<std::string, std::string>> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(server.dir())) {
      const std::string path = entry.path().string().substr(server.dir().size());
      if (path.starts_with("/.outboxfs-server") || entry.is_directory()) continue;
      found.emplace_back(path, ReadWholeFile(entry.path()));
    }
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, GetParam().expected);
  }
};

TEST_P(Cuts, AnywhereEndWithOneFile) {
  constexpr int kMostCalls = 60;
  for (const FailWhen when : {FailWhen::kInstead, FailWhen::kAfter}) {
    bool cut = true;
    for (int calls = 0; cut && calls < kMostCalls; ++calls) {
      SCOPED_TRACE("cut after " + std::to_string(calls) +
                   (when == FailWhen::kAfter ? " calls, the next one carried out" : " calls"));
      RunOnce(calls, when, cut);
      if (HasFailure()) return;
    }
    EXPECT_FALSE(cut) << "more calls than expected";
  }
}

void WriteNew(UploadRoom& room, const std::string& path) { room.Write(path, "new"); }

// Until the upload has begun, or cannot any more.
void AwaitBegun(UploadRoom& room, const server::Faults& faults, cache::ItemId id) {
  room.Await(id, [&faults](const auto& item) {
    return !item || item->upload_generation != 0 || faults.is_cut();
  });
}

const Scenario kScenarios[] = {
    {.name = "NewFile",
     .change = [](UploadRoom& room, const server::Faults& /*faults*/) { WriteNew(room, "/f"); },
     .expected = {{"/f", "new"}}},
    {.name = "NewFileInNewDirectories",
     .change =
         [](UploadRoom& room, const server::Faults& /*faults*/) {
           room.MakeDir("/a");
           room.MakeDir("/a/b");
           WriteNew(room, "/a/b/f");
         },
     .expected = {{"/a/b/f", "new"}}},
    {.name = "SafeOverwrite",
     .there = {"/f"},
     .change = [](UploadRoom& room, const server::Faults& /*faults*/) { WriteNew(room, "/f"); },
     .expected = {{"/f", "new"}}},
    {.name = "DirectOverwrite",
     .overwrite = Overwrite::kDirect,
     .there = {"/f"},
     .change = [](UploadRoom& room, const server::Faults& /*faults*/) { WriteNew(room, "/f"); },
     .expected = {{"/f", "new"}}},
    {.name = "RenamedInFlight",
     .in_flight = true,
     .there = {"/a/other", "/b/other"},
     .change =
         [](UploadRoom& room, const server::Faults& faults) {
           const auto id = room.Write("/a/f", "new");
           AwaitBegun(room, faults, id);
           EXPECT_TRUE(room.store().Rename("/a/f", "/b/g", true));
         },
     .expected = {{"/a/other", "old"}, {"/b/g", "new"}, {"/b/other", "old"}}},
    {.name = "RenamedInFlightOntoAnOldFile",
     .in_flight = true,
     .there = {"/a/other", "/b/g"},
     .change =
         [](UploadRoom& room, const server::Faults& faults) {
           const auto id = room.Write("/a/f", "new");
           AwaitBegun(room, faults, id);
           EXPECT_TRUE(room.store().Rename("/a/f", "/b/g", true));
         },
     .expected = {{"/a/other", "old"}, {"/b/g", "new"}}},
    {.name = "DeletedInFlight",
     .in_flight = true,
     .there = {"/other"},
     .change =
         [](UploadRoom& room, const server::Faults& faults) {
           const auto id = room.Write("/f", "new");
           AwaitBegun(room, faults, id);
           const Status removed = room.store().Remove("/f", true);
           EXPECT_TRUE(removed || removed.error().code == ENOENT);
         },
     .expected = {{"/other", "old"}}},
    {.name = "WrittenAgainInFlight",
     .in_flight = true,
     .there = {"/f"},
     .change =
         [](UploadRoom& room, const server::Faults& faults) {
           const auto id = room.Write("/f", "first");
           AwaitBegun(room, faults, id);
           room.Rewrite(id, "new");
         },
     .expected = {{"/f", "new"}}},
};

INSTANTIATE_TEST_SUITE_P(Upload, Cuts, ::testing::ValuesIn(kScenarios),
                         [](const auto& scenario) { return std::string(scenario.param.name); });

}  // namespace
}  // namespace outboxfs::test
