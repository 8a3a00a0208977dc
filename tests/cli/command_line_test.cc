#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/exit_codes.h"

namespace outboxfs::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const std::vector<CommandInfo>& Commands() {
  static const auto* commands = new std::vector<CommandInfo>{
      {"mount", kMount, "Mount", {{"REMOTE", "what"}, {"MOUNTPOINT", "where"}}, "  mount it"},
      {"wait", kWait, "Wait", {{"PATH", "which", false, true}}, "  wait for it"},
      {"status", kStatus, "Status", {{"MOUNTPOINT", "which", false}}, "  show it"},
  };
  return *commands;
}

Invocation Parse(const std::vector<std::string>& arguments) {
  auto parsed = ParseCommandLine(Commands(), arguments);
  if (const auto* message = std::get_if<Message>(&parsed)) {
    ADD_FAILURE() << message->text;
    return {};
  }
  return std::get<Invocation>(parsed);
}

Message Refuse(const std::vector<std::string>& arguments) {
  auto parsed = ParseCommandLine(Commands(), arguments);
  if (auto* message = std::get_if<Message>(&parsed)) return *message;
  ADD_FAILURE() << "was accepted";
  return {};
}

TEST(CommandLine, OperandsAndFlagsMayBeMixed) {
  const Invocation mount =
      Parse({"mount", "--transfers", "2", "nas:1/x", "-vv", "/mnt", "--bwlimit=1M", "--read-only"});
  EXPECT_EQ(mount.command, kMount);
  EXPECT_THAT(mount.operands, ElementsAre("nas:1/x", "/mnt"));
  EXPECT_THAT(mount.flags.at("transfers"), ElementsAre("2"));
  EXPECT_THAT(mount.flags.at("bwlimit"), ElementsAre("1M"));
  EXPECT_THAT(mount.flags.at("read-only"), ElementsAre("true"));
  EXPECT_THAT(mount.flags.at("verbose"), ElementsAre("2"));
}

TEST(CommandLine, RcloneSpellingsAreTheSameFlag) {
  EXPECT_THAT(Parse({"mount", "a", "b", "--vfs-write-back", "5s"}).flags.at("write-back"),
              ElementsAre("5s"));
}

TEST(CommandLine, ListsCollect) {
  EXPECT_THAT(Parse({"mount", "a", "b", "--hold-pattern", "*.x", "--hold-pattern", "*.y", "-o",
                     "ro,noatime"})
                  .flags.at("hold-pattern"),
              ElementsAre("*.x", "*.y"));
}

TEST(CommandLine, APathListTakesAnyNumber) {
  EXPECT_TRUE(Parse({"wait"}).operands.empty());
  EXPECT_THAT(Parse({"wait", "a", "b", "c"}).operands, ElementsAre("a", "b", "c"));
  EXPECT_THAT(Parse({"wait", "--", "-odd-name"}).operands, ElementsAre("-odd-name"));
}

TEST(CommandLine, AnUnknownFlagNamesTheNearest) {
  const Message message = Refuse({"mount", "a", "b", "--transfer", "3"});
  EXPECT_EQ(message.exit_code, kExitUsage);
  EXPECT_EQ(message.text, "outboxfs: mount: unknown flag --transfer (did you mean --transfers?)\n");
  EXPECT_THAT(Refuse({"mount", "a", "b", "--zzzzzzzz=1"}).text,
              HasSubstr("unknown flag --zzzzzzzz\n"));
}

TEST(CommandLine, AFlagOfAnotherCommandIsUnknown) {
  EXPECT_THAT(Refuse({"wait", "--transfers", "3"}).text, HasSubstr("unknown flag --transfers"));
}

TEST(CommandLine, ATokenIsRefusedOnTheCommandLine) {
  const Message message = Refuse({"mount", "a", "b", "--token", "geheim"});
  EXPECT_EQ(message.exit_code, kExitUsage);
  EXPECT_THAT(message.text, HasSubstr("--token-file"));
  EXPECT_THAT(message.text, Not(HasSubstr("geheim")));
  EXPECT_THAT(Refuse({"mount", "a", "b", "--token=geheim"}).text, Not(HasSubstr("geheim")));
}

TEST(CommandLine, AnUnknownCommandNamesTheNearest) {
  const Message message = Refuse({"mout", "a", "b"});
  EXPECT_EQ(message.exit_code, kExitUsage);
  EXPECT_EQ(message.text, "outboxfs: unknown command mout (did you mean mount?)\n");
}

TEST(CommandLine, MissingAndSuperfluousOperandsAreUsageErrors) {
  EXPECT_THAT(Refuse({"mount", "a"}).text, HasSubstr("MOUNTPOINT is missing"));
  EXPECT_THAT(Refuse({"mount", "a", "b", "c"}).text, HasSubstr("too many arguments: 'c'"));
  EXPECT_EQ(Refuse({"mount", "a", "b", "--transfers"}).exit_code, kExitUsage);
  EXPECT_EQ(Refuse({}).exit_code, kExitUsage);
}

TEST(CommandLine, HelpShowsEveryFlagOfItsCommandWithItsDefault) {
  const Message help = Refuse({"mount", "--help"});
  EXPECT_EQ(help.exit_code, kExitOk);
  for (const OptionSpec& option : Options()) {
    if (option.secret) {
      EXPECT_THAT(help.text, Not(HasSubstr("--" + option.name + " "))) << "never on argv";
    } else if ((option.commands & kMount) != 0) {
      EXPECT_THAT(help.text, HasSubstr("--" + option.name));
      EXPECT_THAT(help.text, HasSubstr(option.fallback));
    }
  }
  EXPECT_THAT(help.text, HasSubstr("Examples:\n  mount it"));
  EXPECT_THAT(help.text, HasSubstr("REMOTE MOUNTPOINT\n")) << "no brackets: they must be there";
}

TEST(CommandLine, VersionIsAnswered) {
  const Message version = Refuse({"--version"});
  EXPECT_EQ(version.exit_code, kExitOk);
  EXPECT_THAT(version.text, HasSubstr("outboxfs 0."));
}

}  // namespace
}  // namespace outboxfs::cli
