// The client against every switch of the reference server that stands for something unknown about
// the real one (docs/PROTOCOL.md): whatever is switched, the remote bytes are ours in the end.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "remote/remote.h"
#include "support/test_server.h"
#include "support/upload_room.h"

namespace outboxfs::test {
namespace {

using namespace std::chrono_literals;
using cache::State;
using server::Knobs;
using Strings = std::vector<std::string>;

std::unique_ptr<remote::Remote> ConnectTo(TestServer& server) {
  const auto spec = remote::ParseRemote(server->endpoint());
  EXPECT_TRUE(spec);
  remote::ConnectOptions options;
  options.endpoint = spec->endpoint;
  options.credentials.token = server->token();
  auto remote = remote::Remote::Connect(options);
  EXPECT_TRUE(remote);
  return std::move(*remote);
}

class Switches : public ::testing::Test {
 protected:
  UploadRoom& room() {
    if (!room_) {
      room_ = std::make_unique<UploadRoom>(remote_->uploads(), remote_->names(), options_);
      EXPECT_TRUE(room_->AwaitStatus([](const auto& status) { return status.channel_up; }));
    }
    return *room_;
  }
  void Switch(const std::string& text) {
    const auto knobs = server::KnobsFromText(text);
    ASSERT_TRUE(knobs) << knobs.error().text;
    server_->SetKnobs(*knobs);
  }
  bool HasContent(const std::string& path, const std::string& content) {
    return ReadWholeFile(server_.Local(path)) == content;
  }
  Strings Names() {
    Strings names;
    for (const auto& entry : std::filesystem::directory_iterator(server_.dir())) {
      const std::string name = entry.path().filename().string();
      if (name != ".outboxfs-server") names.push_back(name);
    }
    std::sort(names.begin(), names.end());
    return names;
  }
  bool AwaitTrue(const std::function<bool()>& done) {
    return room().AwaitStatus([&done](const auto& /*status*/) { return done(); });
  }
  // A few files of different sizes, uploaded, and proven by their bytes.
  void UploadSome() {
    const std::string big = Pattern((2 << 20) + 17, 1);
    const std::string small = Pattern(1000, 2);
    const auto first = room().Write("/big", big);
    const auto second = room().Write("/small", small);
    const auto third = room().Write("/empty", "");
    for (const auto id : {first, second, third}) ASSERT_TRUE(room().AwaitGone(id));
    EXPECT_TRUE(HasContent("/big", big));
    EXPECT_TRUE(HasContent("/small", small));
    EXPECT_TRUE(HasContent("/empty", ""));
    EXPECT_EQ(Names(), (Strings{"big", "empty", "small"}));
  }

  TestServer server_;
  std::unique_ptr<remote::Remote> remote_ = ConnectTo(server_);
  upload::UploadOptions options_ = QuickOptions();
  std::unique_ptr<UploadRoom> room_;
};

struct SwitchCase {
  std::string name;
  std::string knobs;
};
std::ostream& operator<<(std::ostream& out, const SwitchCase& what) { return out << what.knobs; }

class EverySwitch : public Switches, public ::testing::WithParamInterface<SwitchCase> {};

TEST_P(EverySwitch, TheRemoteBytesAreOurs) {
  Switch(GetParam().knobs);
  UploadSome();
}

INSTANTIATE_TEST_SUITE_P(
    Server, EverySwitch,
    ::testing::Values(SwitchCase{"HeadersLate", "headers_at_once=off"},
                      SwitchCase{"ReplayOff", "replay=off drop_channel_every=1000"},
                      SwitchCase{"BindingBroadcast", "binding=broadcast"},
                      SwitchCase{"BindingStrict", "binding=strict"},
                      SwitchCase{"EventsAfterStart", "events_before_start=off"},
                      SwitchCase{"SlowStart", "start_delay=300 hashes=sha1"},
                      SwitchCase{"SlowStartEventsAfter", "start_delay=200 events_before_start=off"},
                      SwitchCase{"TerminalReplayed", "replay_terminal=on drop_channel_every=6"},
                      SwitchCase{"HashRepeat",
                                 "hashes=md5+sha1+md5:65536 hash_repeat=20 reply_delay=30"},
                      SwitchCase{"SmallMessages", "receive_limit=1100000"},
                      SwitchCase{"HashesLate", "hash_lag=500"},
                      SwitchCase{"ListingsLate", "listing_lag=400 hash_lag=800"},
                      SwitchCase{"PendingEntries", "pending_entries=on"},
                      SwitchCase{"PendingEntriesNoHash", "pending_entries=on list_hashes=off"},
                      SwitchCase{"OneAtATime", "max_running=1 pause_midway=400"},
                      SwitchCase{"UnknownStatus", "unknown_status=on"},
                      SwitchCase{"NoWaiterAsStatus", "no_waiter_as_status=on read_order=duplicate"},
                      SwitchCase{"NothingFinishedListed", "finished_listed=0 list_hashes=off"}),
    [](const auto& param) { return param.param.name; });

// ---- Endings that are no success ----------------------------------------------------------------

class EveryRefusal : public Switches, public ::testing::WithParamInterface<std::string> {};

TEST_P(EveryRefusal, ParksTheFileAndARetryBringsItThere) {
  Switch("outcome=" + GetParam());
  const auto id = room().Write("/f", "content");
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id), "");
  Switch("");
  ASSERT_TRUE(room().store().Retry(id));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", "content"));
}
INSTANTIATE_TEST_SUITE_P(Server, EveryRefusal, ::testing::Values("ignored", "cancelled", "fatal"));

// ---- Channels -----------------------------------------------------------------------------------

class EveryReplacedEnd : public Switches, public ::testing::WithParamInterface<std::string> {};

TEST_P(EveryReplacedEnd, IsSurvived) {
  Switch("replaced_end=" + GetParam());
  room();
  const uint64_t before = server_->counters().channels_opened;
  {
    const auto other = remote_->uploads().OpenChannel(room().store().device_id(), {});
    ASSERT_TRUE(other);
    ASSERT_TRUE(AwaitTrue([&] { return !room().uploader().Snapshot().channel_up; }));
    (*other)->Cancel();
  }
  UploadSome();
  EXPECT_GE(server_->counters().channels_opened, before + 2);
}
INSTANTIATE_TEST_SUITE_P(Server, EveryReplacedEnd, ::testing::Values("aborted", "cancelled", "ok"));

TEST_F(Switches, RequestsThatWereLostWithoutReplayAreAskedForInANewUpload) {
  Switch("replay=off hold=transferring");
  const std::string content = Pattern(3 << 20);
  const auto id = room().Write("/f", content);
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return item && !item->upload_id.empty(); }));
  server_->faults().Delay("RemoteUploadChannel", server::Millis(500));
  server_->DropChannels();
  Switch("replay=off");
  ASSERT_TRUE(AwaitTrue([&] { return !room().uploader().Snapshot().channel_up; }));
  server_->faults().Clear();
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", content));
  EXPECT_EQ(Names(), Strings{"f"});
}

TEST_F(Switches, AnotherClientsChannelMayHearOfOurUploadsAsWell) {
  Switch("binding=broadcast");
  room();
  const auto other = ConnectTo(server_);
  const auto channel = other->uploads().OpenChannel("another device", {});
  ASSERT_TRUE(channel);
  UploadSome();
  (*channel)->Cancel();
}

TEST_F(Switches, AnotherClientsChannelThatGetsOurMessagesIsNoticed) {
  options_.silence = 60ms;
  Switch("binding=newest");
  room();
  const auto other = ConnectTo(server_);
  auto channel = other->uploads().OpenChannel("another device", {});
  ASSERT_TRUE(channel);
  const auto id = room().Write("/f", "content");
  const auto is_said = [&] {
    const auto item = room().store().Get(id);
    return item && item->reason.find("another client") != std::string::npos;
  };
  // Each try to have the channel opened again takes the messages back: keep taking them away.
  const SteadyTime until = RealClock().Now() + kPatience;
  while (!is_said() && room().store().Get(id) && RealClock().Now() < until) {
    (*channel)->Cancel();
    channel = other->uploads().OpenChannel("another device", {});
    ASSERT_TRUE(channel);
  }
  (*channel)->Cancel();
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", "content"));
}

// Another mount with the same token opened its channel after ours.
TEST_F(Switches, MessagesThatGoToAnotherClientAreTakenBackSoon) {
  options_.silence = 10min;
  options_.first_word = 50ms;
  Switch("binding=newest");
  room();
  ASSERT_TRUE(room().AwaitGone(room().Write("/first", "ours is the newest channel")));
  const auto other = ConnectTo(server_);
  const auto channel = other->uploads().OpenChannel("another device", {});
  ASSERT_TRUE(channel);
  ASSERT_TRUE(room().AwaitGone(room().Write("/f", "content")));
  EXPECT_TRUE(HasContent("/f", "content"));
}

// ---- Late cancels -------------------------------------------------------------------------------

class EveryUnknownId : public Switches, public ::testing::WithParamInterface<std::string> {};

TEST_P(EveryUnknownId, AFileThatIsDeletedWhileItFinishedIsDeletedThere) {
  Switch("listing_lag=600 unknown_id=" + GetParam());
  const auto id = room().Write("/f", Pattern(100'000));
  ASSERT_TRUE(room().AwaitState(id, State::kVerifying));
  ASSERT_TRUE(room().store().Remove("/f", false));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_EQ(Names(), Strings{});
}
// The server says Error, and goes on by itself: our cancel may come too late, and what it leaves
// is one file all the same.
TEST_P(EveryUnknownId, AnErrorThatBecomesAFinishLeavesOneFile) {
  Switch("outcome=error_then_finish unknown_id=" + GetParam());
  const auto id = room().Write("/f", Pattern(100'000));
  ASSERT_TRUE(room().Await(id, [](const auto& item) { return !item || item->attempts >= 2; }));
  Switch("unknown_id=" + GetParam());
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f", Pattern(100'000)));
  EXPECT_EQ(Names(), Strings{"f"});
}

INSTANTIATE_TEST_SUITE_P(Server, EveryUnknownId, ::testing::Values("error", "success_false", "ok"));

// ---- Overwriting straight to the name -----------------------------------------------------------

class DirectOverwrite : public Switches {
 protected:
  cache::ItemId OverwriteWith(const std::string& existing) {
    options_.overwrite = upload::Overwrite::kDirect;
    options_.verify_patience = 200ms;
    WriteFile(server_.Local("/f.txt"), "old");
    Switch("existing=" + existing);
    return room().Write("/f.txt", "new content");
  }
};

TEST_F(DirectOverwrite, Replaces) {
  ASSERT_TRUE(room_ == nullptr);
  const auto id = OverwriteWith("replace");
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
}

TEST_F(DirectOverwrite, UnderANewNameIsParkedBeforeTheCloudIsFullOfCopies) {
  const auto id = OverwriteWith("newname");
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("another name"), std::string::npos) << room().ReasonOf(id);
  EXPECT_TRUE(HasContent("/f.txt", "old"));
  EXPECT_LE(Names().size(), 4U);
}

TEST_F(DirectOverwrite, SkippedIsParkedAndTheOldFileStays) {
  const auto id = OverwriteWith("skip");
  ASSERT_TRUE(room().AwaitParked(id));
  EXPECT_NE(room().ReasonOf(id).find("skipped"), std::string::npos) << room().ReasonOf(id);
  EXPECT_TRUE(HasContent("/f.txt", "old"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
}

TEST_F(DirectOverwrite, RefusedIsTriedAgainAndTheOldFileStays) {
  const auto id = OverwriteWith("error");
  ASSERT_TRUE(room().Await(id, [](const auto& item) {
    return item && (item->attempts >= 3 || item->state == State::kParked);
  }));
  EXPECT_NE(room().ReasonOf(id), "");
  EXPECT_TRUE(HasContent("/f.txt", "old"));
  EXPECT_EQ(Names(), Strings{"f.txt"});
  Switch("existing=replace");
  ASSERT_TRUE(room().store().Retry(id));
  ASSERT_TRUE(room().AwaitGone(id));
  EXPECT_TRUE(HasContent("/f.txt", "new content"));
}

}  // namespace
}  // namespace outboxfs::test
