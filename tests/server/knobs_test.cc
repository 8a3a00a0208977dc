#include "server/knobs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace outboxfs::server {
namespace {

TEST(Knobs, EmptyTextGivesTheDefaults) {
  const Result<Knobs> knobs = KnobsFromText(" \n");
  ASSERT_TRUE(knobs);
  EXPECT_EQ(knobs->read_size, 1U << 20);
  EXPECT_EQ(knobs->binding, Binding::kNewest);
  EXPECT_EQ(knobs->hash_repeat, Millis(60'000));
}

TEST(Knobs, EveryKindOfValueIsRead) {
  const Result<Knobs> knobs = KnobsFromText(
      "replay=off read_size=4096\nbinding=strict hash_repeat=50 hashes=sha1+md5+md5:1048576+pikpak"
      "\toutcome_for=/a/b unknown_id_code=3");
  ASSERT_TRUE(knobs) << knobs.error().text;
  EXPECT_FALSE(knobs->replay);
  EXPECT_EQ(knobs->read_size, 4096U);
  EXPECT_EQ(knobs->binding, Binding::kStrict);
  EXPECT_EQ(knobs->hash_repeat, Millis(50));
  EXPECT_EQ(knobs->outcome_for, "/a/b");
  EXPECT_EQ(knobs->unknown_id_code, 3);
  const std::vector<HashAsk> hashes = {{2, 0}, {1, 0}, {1, 1 << 20}, {3, 0}};
  EXPECT_EQ(knobs->hashes, hashes);
}

TEST(Knobs, ABadAssignmentIsRefusedWithItsReasonAndChangesNothing) {
  for (const char* text : {"nonsense", "nonsense=1", "replay=yes", "read_size=-1", "read_size=0",
                           "read_size=1x", "hashes=sha256", "hashes=sha1:4096", "hashes=md5:0",
                           "max_running=4294967296", "binding=", "list_batch=0"}) {
    Knobs knobs;
    knobs.read_size = 7;
    const Status set = SetKnob(text, &knobs);
    ASSERT_FALSE(set) << text;
    EXPECT_EQ(set.error().code, EINVAL);
    EXPECT_THAT(set.error().text, testing::HasSubstr(std::string(text).substr(0, 5))) << text;
    EXPECT_EQ(knobs.read_size, 7U);
    EXPECT_TRUE(knobs.replay);
    EXPECT_TRUE(knobs.hashes.empty());
  }
}

TEST(Knobs, EveryKeyHasAHelpTextAndTakesItsOwnDefault) {
  std::set<std::string> keys;
  for (const KnobHelp& knob : KnobKeys()) {
    EXPECT_TRUE(keys.insert(knob.key).second) << knob.key;
    EXPECT_FALSE(knob.help.empty()) << knob.key;
    EXPECT_FALSE(knob.values.empty()) << knob.key;
    Knobs knobs;
    EXPECT_TRUE(SetKnob(knob.key + "=" + knob.value, &knobs)) << knob.key << "=" << knob.value;
  }
  EXPECT_GT(keys.size(), 50U);
}

TEST(Knobs, EveryNamedValueIsTaken) {
  for (const KnobHelp& knob : KnobKeys()) {
    if (knob.values.find('|') == std::string::npos || knob.key == "hashes") continue;
    std::string rest = knob.values + "|";
    while (!rest.empty()) {
      const size_t bar = rest.find('|');
      Knobs knobs;
      EXPECT_TRUE(SetKnob(knob.key + "=" + rest.substr(0, bar), &knobs)) << knob.key;
      rest.erase(0, bar + 1);
    }
  }
}

}  // namespace
}  // namespace outboxfs::server
