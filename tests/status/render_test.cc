#include "status/render.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "status/collect.h"
#include "status/show.h"

namespace outboxfs::status {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int64_t kSecond = 1'000'000'000;

Snapshot Example() {
  Snapshot snapshot;
  snapshot.about = {.version = "1.2.3",
                    .remote = "nas:19798/a",
                    .mountpoint = "/mnt/\"x\"",
                    .cache_dir = "/cache",
                    .pid = 42,
                    .started_ns = 0};
  snapshot.now_ns = 90 * kSecond;
  snapshot.mount.passthrough = true;
  snapshot.uploads.channel_up = true;
  snapshot.totals = {.files_pending = 2, .bytes_pending = 3 << 20, .files_parked = 1};
  snapshot.lines = {
      {.path = "/big", .state = "serving", .size = 200, .bytes_done = 100},
      {.path = "/bad\nname", .state = "parked", .size = 5, .attempts = 3, .note = "no room"},
      {.path = "/dir", .is_dir = true, .state = "backoff", .next_try_ns = 100 * kSecond},
  };
  snapshot.lines_left_out = 7;
  return snapshot;
}

TEST(StatusText, ShowsTheMountAndEachFileOnALineOfItsOwn) {
  const std::string text = RenderText(Example());
  EXPECT_THAT(text, HasSubstr("nas:19798/a at /mnt/\"x\" (pid 42, up 1m30s)\n"));
  EXPECT_THAT(text, HasSubstr("server   connected\n"));
  EXPECT_THAT(text, HasSubstr("2 pending (3.0 MiB), 1 parked"));
  EXPECT_THAT(text, HasSubstr("serving        50%      200 B  /big\n"));
  EXPECT_THAT(text, HasSubstr("/bad\\nname  (no room)\n")) << "a name is one line";
  EXPECT_THAT(text, HasSubstr("/dir/  (next try in 10s)\n"));
  EXPECT_THAT(text, HasSubstr("7 more"));
}

TEST(StatusText, SaysWhyNothingMoves) {
  Snapshot snapshot = Example();
  snapshot.uploads.paused_reason = "quota exceeded";
  snapshot.uploads.paused_until_ns = 150 * kSecond;
  EXPECT_THAT(RenderText(snapshot), HasSubstr("uploads pause for 1m00s: quota exceeded"));
  snapshot.uploads.channel_up = false;
  snapshot.uploads.channel_error = "connection refused";
  EXPECT_THAT(RenderText(snapshot), HasSubstr("server   not connected: connection refused"));
}

TEST(StatusText, AQuietMountHasNoTable) {
  Snapshot snapshot = Example();
  snapshot.lines.clear();
  snapshot.lines_left_out = 0;
  EXPECT_THAT(RenderText(snapshot), Not(HasSubstr("STATE")));
}

TEST(StatusJson, IsValidWhateverTheNamesAre) {
  Snapshot snapshot = Example();
  snapshot.lines[0].path = "/\xff\"quote";
  const auto json = nlohmann::json::parse(RenderJson(snapshot));
  EXPECT_EQ(json["pid"], 42);
  EXPECT_EQ(json["uploads"]["files_pending"], 2);
  EXPECT_EQ(json["uploads"]["connected"], true);
  ASSERT_EQ(json["items"].size(), 3U);
  EXPECT_EQ(json["items"][1]["path"], "/bad\nname");
  EXPECT_EQ(json["items"][2]["type"], "directory");
  EXPECT_EQ(json["items_left_out"], 7);
}

TEST(StatusMetrics, HaveTypeHelpAndAnEscapedLabel) {
  const std::string text = RenderMetrics(Example());
  EXPECT_THAT(text, HasSubstr("# TYPE outboxfs_pending_files gauge\n"
                              "outboxfs_pending_files{mountpoint=\"/mnt/\\\"x\\\"\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("outboxfs_connected{mountpoint=\"/mnt/\\\"x\\\"\"} 1\n"));
}

TEST(Metrics, OfSeveralMountsStandTogether) {
  const std::string one = "# HELP a x\n# TYPE a gauge\na{m=\"1\"} 1\n# HELP b y\nb{m=\"1\"} 2\n";
  const std::string two = "# HELP a x\n# TYPE a gauge\na{m=\"2\"} 3\n# HELP b y\nb{m=\"2\"} 4\n";
  EXPECT_EQ(MergeMetrics({one}), one);
  EXPECT_EQ(MergeMetrics({one, two}),
            "# HELP a x\n# TYPE a gauge\na{m=\"1\"} 1\na{m=\"2\"} 3\n"
            "# HELP b y\nb{m=\"1\"} 2\nb{m=\"2\"} 4\n");
}

TEST(Show, SizesAndDurationsAreShort) {
  EXPECT_EQ(ShowSize(0), "0 B");
  EXPECT_EQ(ShowSize(1023), "1023 B");
  EXPECT_EQ(ShowSize(1536), "1.5 KiB");
  EXPECT_EQ(ShowSize(uint64_t{5} << 40), "5.0 TiB");
  EXPECT_EQ(ShowDuration(milliseconds(-5)), "0ms");
  EXPECT_EQ(ShowDuration(milliseconds(250)), "250ms");
  EXPECT_EQ(ShowDuration(seconds(59)), "59s");
  EXPECT_EQ(ShowDuration(minutes(90)), "1h30m");
  EXPECT_EQ(ShowDuration(hours(50)), "2d02h");
}

TEST(Show, NamesCannotControlTheTerminal) {
  EXPECT_EQ(ShowPath("/a\x1b[2J\x7f\n中"), "/a\\x1b[2J\\x7f\\n中");
}

TEST(Paths, AreBelowADirectoryByWholeNames) {
  EXPECT_TRUE(IsAtOrBelow("/a", "/a"));
  EXPECT_TRUE(IsAtOrBelow("/a/b", "/a"));
  EXPECT_FALSE(IsAtOrBelow("/ab", "/a"));
  EXPECT_TRUE(IsAtOrBelow("/a", "/"));
}

}  // namespace
}  // namespace outboxfs::status
