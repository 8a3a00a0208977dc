#include "cli/load_config.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <initializer_list>

#include "cli/paths.h"
#include "cli/secret_file.h"
#include "cli/toml_file.h"

namespace outboxfs::cli {
namespace {

// One place that values came from, and how to call an option there in an error.
struct Source {
  Settings settings;
  std::function<std::string(const OptionSpec&)> name_of;
};

Source FromEnvironment(const Environment& environment) {
  Source source{{}, EnvironmentName};
  for (const OptionSpec& option : Options()) {
    const auto found = environment.find(EnvironmentName(option));
    if (found == environment.end()) continue;
    Values& values = source.settings[option.name];
    if (option.kind != OptionKind::kList) {
      values.push_back(found->second);
      continue;
    }
    // Lists are separated by blanks: neither patterns nor knobs hold any.
    for (size_t begin = found->second.find_first_not_of(' '); begin < found->second.size();) {
      const size_t end = std::min(found->second.find(' ', begin), found->second.size());
      values.push_back(found->second.substr(begin, end - begin));
      begin = found->second.find_first_not_of(' ', end);
    }
  }
  return source;
}

Result<Source> FromFile(const ConfigSources& sources) {
  std::string path = sources.config_file;
  if (path.empty()) path = Lookup(sources.environment, "OUTBOXFS_CONFIG");
  const bool named = !path.empty();
  if (!named) path = DefaultConfigFile(sources.environment);
  Source source{{}, [path](const OptionSpec& option) { return path + ": " + option.name; }};
  if (path.empty() || (!named && ::access(path.c_str(), F_OK) != 0)) return source;

  Result<Settings> settings = ReadTomlFile(path);
  if (!settings) return Fail(settings.error());
  for (const OptionSpec& option : Options()) {
    if (!option.secret || !settings->contains(option.name)) continue;
    if (const Status privacy = CheckPrivate(path); !privacy) return Fail(privacy.error());
  }
  source.settings = std::move(*settings);
  return source;
}

void Erase(Settings& settings, std::initializer_list<const char*> names) {
  for (const char* name : names) settings.erase(name);
}

// A token of a stronger source also overrules an account of a weaker one, and the other way round;
// --token-file overrules a weaker token.
void DropOverruledCredentials(Settings& weaker, const Settings& stronger) {
  const bool token = stronger.contains("token") || stronger.contains("token-file");
  const bool password = stronger.contains("password") || stronger.contains("password-file");
  if (token) Erase(weaker, {"token", "token-file", "user", "password", "password-file"});
  if (stronger.contains("user")) Erase(weaker, {"token", "token-file"});
  if (password) Erase(weaker, {"password", "password-file"});
}

Status ApplySource(const Source& source, Config& config) {
  for (const auto& [name, values] : source.settings) {
    const OptionSpec* option = FindOption(name);
    if (option == nullptr || values.empty()) continue;
    if (Status applied = option->apply(config, values); !applied) {
      return Fail(applied.error().Prepend(source.name_of(*option)));
    }
  }
  return {};
}

Config Defaults() {
  Config config;
  for (const OptionSpec& option : Options()) {
    if (option.fallback.empty()) continue;
    const Status applied = option.apply(config, {option.fallback});
    (void)applied;  // a test applies every default
  }
  const mode_t mask = ::umask(0);
  ::umask(mask);
  config.umask = mask;
  return config;
}

// What depends on several options.
Status Finish(Config& config) {
  config.mount.dir_mode &= ~config.umask;
  config.mount.file_mode &= ~config.umask;
  if (config.verbose == 1) config.log.level = std::min(config.log.level, LogLevel::kInfo);
  if (config.verbose >= 2) config.log.level = LogLevel::kDebug;
  if (config.serve.tls_cert.empty() != config.serve.tls_key.empty()) {
    return Fail(EINVAL, "--tls-cert and --tls-key belong together");
  }
  if (config.json && config.metrics) return Fail(EINVAL, "--json and --metrics exclude each other");
  return {};
}

}  // namespace

Result<Config> LoadConfig(const ConfigSources& sources) {
  Result<Source> file = FromFile(sources);
  if (!file) return Fail(file.error());
  Source environment = FromEnvironment(sources.environment);
  Source flags{sources.flags, [](const OptionSpec& option) { return "--" + option.name; }};
  DropOverruledCredentials(file->settings, environment.settings);
  DropOverruledCredentials(file->settings, flags.settings);
  DropOverruledCredentials(environment.settings, flags.settings);

  Config config = Defaults();
  for (const Source* source : {&file.value(), &environment, &flags}) {
    if (Status applied = ApplySource(*source, config); !applied) return Fail(applied.error());
  }
  if (Status finished = Finish(config); !finished) return Fail(finished.error());
  return config;
}

Status LoadCredentials(Config& config) {
  remote::Credentials credentials{
      .token = config.token, .user = config.user, .password = config.password};
  if (!config.token_file.empty()) {
    Result<std::string> token = ReadSecretFile(config.token_file);
    if (!token) return Fail(token.error().Prepend("token file"));
    credentials.token = *token;
    credentials.reread_token = [file = config.token_file] { return ReadSecretFile(file); };
  }
  if (!config.password_file.empty()) {
    Result<std::string> password = ReadSecretFile(config.password_file);
    if (!password) return Fail(password.error().Prepend("password file"));
    credentials.password = *password;
  }
  if (credentials.token.empty() && credentials.user.empty()) {
    return Fail(ENOKEY,
                "no token: give --token-file FILE, or OUTBOXFS_TOKEN in the environment, or --user "
                "with --password-file");
  }
  if (credentials.token.empty() && credentials.password.empty()) {
    return Fail(ENOKEY, "--user needs --password-file or OUTBOXFS_PASSWORD");
  }
  RegisterSecret(credentials.token);
  RegisterSecret(credentials.password);
  config.connect.credentials = std::move(credentials);
  return {};
}

}  // namespace outboxfs::cli
