#include "cli/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "cli/exit_codes.h"
#include "cli/nearest.h"

namespace outboxfs::cli {
namespace {

constexpr const char* kVersion = "outboxfs " OUTBOXFS_VERSION;

// One sub-command with the CLI11 objects that collect its values.
struct Parser {
  const CommandInfo* info = nullptr;
  CLI::App* app = nullptr;
  std::map<const OptionSpec*, CLI::Option*> options;
  std::vector<CLI::Option*> operands;
  CLI::Option* config = nullptr;
};

constexpr const char* kOtherPlaces =
    "Every option can also stand in the environment (--log-level info: OUTBOXFS_LOG_LEVEL=info; "
    "several\nvalues are separated by blanks) or in the configuration file (log-level = \"info\"). "
    "OUTBOXFS_TOKEN\nand OUTBOXFS_PASSWORD have no flag: it would show in the list of processes.";

// Operands that must be there are shown without brackets; that they are is checked by us.
class HelpFormatter final : public CLI::Formatter {
 public:
  explicit HelpFormatter(std::set<const CLI::Option*> required) : required_(std::move(required)) {}
  std::string make_option_usage(const CLI::Option* option) const override {
    if (!required_.contains(option)) return CLI::Formatter::make_option_usage(option);
    return make_option_name(option, true);
  }

 private:
  const std::set<const CLI::Option*> required_;
};

std::string HelpOf(const OptionSpec& option) {
  std::string text = option.help;
  if (!option.fallback.empty()) text += fmt::format(" (default: {})", option.fallback);
  return text;
}

CLI::Option* AddOption(CLI::App& app, const OptionSpec& option) {
  const std::string names =
      "--" + option.name + (option.spelling.empty() ? "" : "," + option.spelling);
  const std::string help = HelpOf(option);
  if (option.kind == OptionKind::kSwitch || option.kind == OptionKind::kCount) {
    return app.add_flag(names, help)->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  }
  // One value per mention, however often it is mentioned; Collect takes the last or all.
  return app.add_option(names, help)
      ->type_name(option.value)
      ->type_size(1)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false);
}

Parser MakeParser(CLI::App& root, const CommandInfo& info) {
  Parser parser;
  parser.info = &info;
  parser.app = root.add_subcommand(info.name, info.summary);
  parser.app->allow_extras();
  std::set<const CLI::Option*> required;
  for (const Operand& operand : info.operands) {
    CLI::Option* option = parser.app->add_option(operand.name, operand.help);
    option->type_name("");
    if (operand.many) {
      option->expected(1, CLI::detail::expected_max_vector_size)->allow_extra_args();
    }
    parser.operands.push_back(option);
    if (operand.required) required.insert(option);
  }
  for (const OptionSpec& option : Options()) {
    if ((option.commands & info.bit) == 0 || option.secret) continue;
    parser.options[&option] = AddOption(*parser.app, option);
  }
  const std::string help = "configuration file (default: $XDG_CONFIG_HOME/outboxfs/config.toml)";
  parser.config = parser.app->add_option("--config", help)->type_name("FILE");
  parser.app->footer(fmt::format("{}\n\nExamples:\n{}", kOtherPlaces, info.examples));
  parser.app->formatter(std::make_shared<HelpFormatter>(std::move(required)));
  return parser;
}

Message Wrong(const std::string& text) { return {kExitUsage, fmt::format("outboxfs: {}\n", text)}; }

// The flags that this sub-command knows, for "did you mean".
std::vector<std::string> FlagNames(const Parser& parser) {
  std::vector<std::string> names = {"help", "config"};
  for (const auto& [option, unused] : parser.options) names.push_back(option->name);
  return names;
}

Message UnknownArgument(const Parser& parser, const std::string& argument) {
  if (!argument.starts_with("-")) {
    return Wrong(fmt::format("{}: too many arguments: '{}'", parser.info->name, argument));
  }
  const std::string flag = argument.substr(0, argument.find('='));
  const std::string bare = flag.substr(std::min(flag.find_first_not_of('-'), flag.size()));
  const OptionSpec* known = FindOption(bare);
  if (known != nullptr && known->secret) {
    return Wrong(fmt::format("{} would show in the list of processes: use --{}-file or {}", flag,
                             known->name, EnvironmentName(*known)));
  }
  return Wrong(fmt::format("{}: unknown flag {}{}", parser.info->name, flag,
                           DidYouMean(bare, FlagNames(parser), "--")));
}

Settings Collect(const Parser& parser) {
  Settings settings;
  for (const auto& [option, parsed] : parser.options) {
    if (parsed->count() == 0) continue;
    Values& values = settings[option->name];
    if (option->kind == OptionKind::kCount) {
      values = {std::to_string(parsed->count())};
    } else {
      values = parsed->results();
    }
  }
  return settings;
}

std::variant<Invocation, Message> Understand(const Parser& parser) {
  for (const std::string& extra : parser.app->remaining()) {
    if (extra != "--") return UnknownArgument(parser, extra);  // CLI11 leaves the mark itself here
  }
  Invocation invocation;
  invocation.command = parser.info->bit;
  for (size_t i = 0; i < parser.operands.size(); ++i) {
    const Operand& operand = parser.info->operands.at(i);
    if (operand.required && parser.operands[i]->count() == 0) {
      return Wrong(fmt::format("{}: {} is missing (see outboxfs {} --help)", parser.info->name,
                               operand.name, parser.info->name));
    }
    for (const std::string& value : parser.operands[i]->results()) {
      invocation.operands.push_back(value);
    }
  }
  invocation.flags = Collect(parser);
  if (parser.config->count() > 0) invocation.config_file = parser.config->results().back();
  return invocation;
}

std::string OneLine(std::string text) {
  for (char& c : text) {
    if (c == '\n') c = ' ';
  }
  return text;
}

}  // namespace

std::variant<Invocation, Message> ParseCommandLine(const std::vector<CommandInfo>& commands,
                                                   const std::vector<std::string>& arguments) {
  CLI::App root(
      "A file system that takes your files at disk speed and uploads them to CloudDrive2.",
      "outboxfs");
  root.allow_extras();
  root.set_version_flag("--version,-V", kVersion);
  std::vector<Parser> parsers;
  std::vector<std::string> names;
  for (const CommandInfo& info : commands) {
    parsers.push_back(MakeParser(root, info));
    names.push_back(info.name);
  }
  try {
    root.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // its way round
  } catch (const CLI::CallForVersion&) {
    return Message{kExitOk, fmt::format("{}\n", kVersion)};
  } catch (const CLI::CallForHelp&) {
    return Message{kExitOk, root.help()};
  } catch (const CLI::ParseError& error) {
    return Wrong(OneLine(error.what()));
  }
  for (const Parser& parser : parsers) {
    if (parser.app->parsed()) return Understand(parser);
  }
  if (const auto extras = root.remaining(); !extras.empty()) {
    const bool flag = extras.front().starts_with("-");
    return Wrong(fmt::format("unknown {} {}{}", flag ? "flag" : "command", extras.front(),
                             flag ? "" : DidYouMean(extras.front(), names)));
  }
  return Message{kExitUsage, root.help()};
}

}  // namespace outboxfs::cli
