#include "cli/options.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <limits>
#include <type_traits>

#include "cli/units.h"

namespace outboxfs::cli {
namespace {

using Apply = std::function<Status(Config&, const Values&)>;

// Each of these makes an `apply` that reads the last value and puts it where `field` points.
template <typename Parse, typename Field>
Apply Parsed(Parse parse, Field field) {
  return [parse, field](Config& config, const Values& values) -> Status {
    auto parsed = parse(values.back());
    if (!parsed) return tl::unexpected<Error>(parsed.error());
    field(config) = static_cast<std::decay_t<decltype(field(config))>>(*parsed);
    return {};
  };
}

template <typename Field>
Apply Size(Field field) {
  return Parsed(ParseSize, field);
}
template <typename Field>
Apply Duration(Field field) {
  return Parsed(ParseDuration, field);
}
template <typename Field>
Apply Permissions(Field field) {
  return Parsed(ParseMode, field);
}
template <typename Field>
Apply Switch(Field field) {
  return Parsed(ParseSwitch, field);
}
template <typename Field>
Apply Number(Field field, int64_t least, int64_t most) {
  return Parsed([=](const std::string& text) { return ParseNumber(text, least, most); }, field);
}
template <typename Field>
Apply Text(Field field) {
  return Parsed([](const std::string& text) { return Result<std::string>(text); }, field);
}
template <typename Field>
Apply List(Field field) {
  return [field](Config& config, const Values& values) -> Status {
    field(config) = values;
    return {};
  };
}

// One of a few words.
template <typename T, typename Field>
Apply Word(std::vector<std::pair<std::string, T>> words, Field field) {
  return [words = std::move(words), field](Config& config, const Values& values) -> Status {
    std::string known;
    for (const auto& [word, meaning] : words) {
      if (word == values.back()) {
        field(config) = meaning;
        return {};
      }
      known += (known.empty() ? "" : ", ") + word;
    }
    return Fail(EINVAL, fmt::format("'{}' is none of {}", values.back(), known));
  };
}

// "-o a,b": words with a flag of their own set that flag, the others are libfuse's.
Status ApplyFuseWords(Config& config, const Values& values) {
  config.mount.fuse_options.clear();
  for (const std::string& value : values) {
    for (size_t begin = 0; begin <= value.size();) {
      const size_t end = std::min(value.find(',', begin), value.size());
      const std::string word = value.substr(begin, end - begin);
      if (word == "allow_other") {
        config.mount.allow_other = true;
      } else if (word == "ro") {
        config.mount.read_only = true;
      } else if (!word.empty() && word != "rw") {
        config.mount.fuse_options.push_back(word);
      }
      begin = end + 1;
    }
  }
  return {};
}

Status CountVerbose(Config& config, const Values& values) {
  const Result<int64_t> count = ParseNumber(values.back(), 0, 9);
  if (!count) return tl::unexpected<Error>(count.error());
  config.verbose = static_cast<int>(*count);
  return {};
}

constexpr int64_t kMaxId = std::numeric_limits<uid_t>::max() - 1;  // -1 means "nobody" to chown

// clang-format off
std::vector<OptionSpec> Connection() {
  return {
    {"token", "", kMount | kServe, OptionKind::kValue, "TOKEN", "", "API token or JWT of the server",
     Text([](Config& c) -> auto& { return c.token; }), true},
    {"token-file", "", kMount | kServe, OptionKind::kValue, "FILE", "",
     "file with the token, readable by its owner only; serve makes it when missing",
     Text([](Config& c) -> auto& { return c.token_file; })},
    {"user", "", kMount | kServe, OptionKind::kValue, "NAME", "",
     "log in with this account instead of a token; serve: the account that may log in",
     Text([](Config& c) -> auto& { return c.user; })},
    {"password", "", kMount | kServe, OptionKind::kValue, "TEXT", "", "password of --user",
     Text([](Config& c) -> auto& { return c.password; }), true},
    {"password-file", "", kMount | kServe, OptionKind::kValue, "FILE", "",
     "file with the password of --user, readable by its owner only",
     Text([](Config& c) -> auto& { return c.password_file; })},
    {"ca-file", "", kMount, OptionKind::kValue, "FILE", "",
     "certificates to trust instead of the system's (PEM)",
     Text([](Config& c) -> auto& { return c.connect.ca_file; })},
    {"no-check-certificate", "", kMount, OptionKind::kSwitch, "", "",
     "accept any TLS certificate",
     [](Config& c, const Values& values) -> Status {
       const Result<bool> on = ParseSwitch(values.back());
       if (!on) return tl::unexpected<Error>(on.error());
       c.connect.tls_verify = !*on;
       return {};
     }},
  };
}

std::vector<OptionSpec> Uploading() {
  return {
    {"cache-dir", "", kMount, OptionKind::kValue, "DIR", "",
     "where files wait for their upload (default: below $XDG_CACHE_HOME/outboxfs)",
     Text([](Config& c) -> auto& { return c.cache_dir; })},
    {"cache-max-size", "--vfs-cache-max-size", kMount, OptionKind::kValue, "SIZE", "10G",
     "keep at most SIZE of what was read from the server; what waits for its upload does not count",
     Size([](Config& c) -> auto& { return c.cache_max_size; })},
    {"cache-keep", "", kMount, OptionKind::kValue, "DURATION", "0",
     "keep the bytes of uploaded files for so long, within --cache-max-size",
     Duration([](Config& c) -> auto& { return c.cache_keep; })},
    {"transfers", "", kMount, OptionKind::kValue, "N", "4", "uploads at once; of several places one is kept for files up to 64M",
     Number([](Config& c) -> auto& { return c.upload.transfers; }, 1, 64)},
    {"bwlimit", "", kMount, OptionKind::kValue, "SIZE", "off", "upload at most SIZE per second",
     Size([](Config& c) -> auto& { return c.upload.bwlimit; })},
    {"write-back", "--vfs-write-back", kMount, OptionKind::kValue, "DURATION", "1s",
     "quiet time after the last close before the upload starts",
     Duration([](Config& c) -> auto& { return c.upload.write_back; })},
    {"temp-hold", "", kMount, OptionKind::kValue, "DURATION", "10m",
     "longest wait of a file with a temporary name",
     Duration([](Config& c) -> auto& { return c.upload.temp_hold; })},
    {"hold-pattern", "", kMount, OptionKind::kList, "GLOB", "",
     "names that wait until they are renamed; replaces the built-in list (*.part, *.tmp, …)",
     List([](Config& c) -> auto& { return c.upload.hold_patterns; })},
    {"overwrite", "", kMount, OptionKind::kValue, "safe|direct", "safe",
     "replace a remote file by way of a temporary name, or straight",
     Word<upload::Overwrite>({{"safe", upload::Overwrite::kSafe},
                              {"direct", upload::Overwrite::kDirect}},
                             [](Config& c) -> auto& { return c.upload.overwrite; })},
    {"on-interrupted", "", kMount, OptionKind::kValue, "keep|upload", "keep",
     "files that were being written when a daemon died: keep them for `retry`, or upload them as they are",
     Word<bool>({{"keep", false}, {"upload", true}},
                [](Config& c) -> auto& { return c.upload.upload_interrupted; })},
    {"verify-rate", "", kMount, OptionKind::kValue, "N", "0",
     "list directories at most N times per minute to check uploads; 0: no limit",
     Number([](Config& c) -> auto& { return c.upload.verify_rate; }, 0, 60'000)},
    {"read-window", "", kMount, OptionKind::kValue, "SIZE", "16M",
     "memory for the answers to the server, over all uploads",
     [](Config& c, const Values& values) -> Status {
       const Result<uint64_t> size = ParseSize(values.back());
       if (!size) return tl::unexpected<Error>(size.error());
       if (*size < (1 << 20)) return Fail(EINVAL, "the window is at least 1M");
       c.upload.read_window = *size;
       return {};
     }},
  };
}

std::vector<OptionSpec> Owning() {
  return {
    {"uid", "", kMount, OptionKind::kValue, "ID", std::to_string(::getuid()),
     "owner of files that came from elsewhere",
     Number([](Config& c) -> auto& { return c.mount.uid; }, 0, kMaxId)},
    {"gid", "", kMount, OptionKind::kValue, "ID", std::to_string(::getgid()), "their group",
     Number([](Config& c) -> auto& { return c.mount.gid; }, 0, kMaxId)},
    {"umask", "", kMount, OptionKind::kValue, "OCTAL", "", "taken off their permissions (default: the process's)",
     Permissions([](Config& c) -> auto& { return c.umask; })},
    {"dir-perms", "", kMount, OptionKind::kValue, "OCTAL", "0777", "permissions of directories",
     Permissions([](Config& c) -> auto& { return c.mount.dir_mode; })},
    {"file-perms", "", kMount, OptionKind::kValue, "OCTAL", "0666", "permissions of files",
     Permissions([](Config& c) -> auto& { return c.mount.file_mode; })},
  };
}

std::vector<OptionSpec> Mounting() {
  return {
    {"dir-cache-time", "", kMount, OptionKind::kValue, "DURATION", "5m",
     "how long a listing of a remote directory is believed",
     Duration([](Config& c) -> auto& { return c.mount.dir_cache_time; })},
    {"attr-memory", "", kMount, OptionKind::kValue, "N", "1000000",
     "remember modes, owners, times and xattrs of at most N uploaded files and directories",
     Number([](Config& c) -> auto& { return c.attr_memory; }, 1000, 100'000'000)},
    {"attr-timeout", "", kMount, OptionKind::kValue, "DURATION", "1s",
     "how long the kernel keeps attributes of files that are being written",
     Duration([](Config& c) -> auto& { return c.mount.attr_timeout; })},
    {"allow-other", "", kMount, OptionKind::kSwitch, "", "", "let other users in",
     Switch([](Config& c) -> auto& { return c.mount.allow_other; })},
    {"links", "-l", kMount, OptionKind::kSwitch, "", "",
     "keep symbolic links, as small files NAME.rclonelink on the server",
     Switch([](Config& c) -> auto& { return c.mount.links; })},
    {"sync-metadata", "", kMount, OptionKind::kSwitch, "", "",
     "mkdir waits until the directory is on the server, and fails when it cannot be made",
     Switch([](Config& c) -> auto& { return c.mount.sync_metadata; })},
    {"read-only", "", kMount, OptionKind::kSwitch, "", "", "allow no changes",
     Switch([](Config& c) -> auto& { return c.mount.read_only; })},
    {"no-passthrough", "", kMount, OptionKind::kSwitch, "", "",
     "serve every byte through the daemon",
     [](Config& c, const Values& values) -> Status {
       const Result<bool> on = ParseSwitch(values.back());
       if (!on) return tl::unexpected<Error>(on.error());
       c.mount.passthrough = !*on;
       return {};
     }},
    {"option", "-o", kMount, OptionKind::kList, "WORDS", "",
     "further words for libfuse, as in mount -o", ApplyFuseWords},
    {"drain-timeout", "", kMount | kUnmount, OptionKind::kValue, "DURATION", "",
     "longest wait for unfinished uploads at the end (default: 30s; of unmount, what mount was told)",
     Duration([](Config& c) -> auto& { return c.drain_timeout; })},
    {"foreground", "-f", kMount, OptionKind::kSwitch, "", "", "stay in the foreground",
     Switch([](Config& c) -> auto& { return c.foreground; })},
    {"daemon", "", kMount, OptionKind::kSwitch, "", "",
     "go to the background once the mount answers (this is the default)",
     [](Config& c, const Values& values) -> Status {
       const Result<bool> on = ParseSwitch(values.back());
       if (!on) return tl::unexpected<Error>(on.error());
       c.foreground = !*on;
       return {};
     }},
  };
}

std::vector<OptionSpec> Asking() {
  return {
    {"json", "", kStatus, OptionKind::kSwitch, "", "", "print JSON",
     Switch([](Config& c) -> auto& { return c.json; })},
    {"metrics", "", kStatus, OptionKind::kSwitch, "", "", "print metrics for Prometheus",
     Switch([](Config& c) -> auto& { return c.metrics; })},
    {"limit", "", kStatus, OptionKind::kValue, "N", "50", "list at most N files; 0 lists all",
     Number([](Config& c) -> auto& { return c.limit; }, 0, 1'000'000)},
    {"timeout", "", kWait, OptionKind::kValue, "DURATION", "", "give up after this time (exit code 4)",
     Duration([](Config& c) -> auto& { return c.timeout; })},
    {"accept", "", kRetry, OptionKind::kSwitch, "", "",
     "take what the server shows for the file, where all that was missing is the proof",
     Switch([](Config& c) -> auto& { return c.accept; })},
    {"no-drain", "--force", kUnmount, OptionKind::kSwitch, "", "",
     "unmount at once; what is not uploaded waits for the next mount",
     Switch([](Config& c) -> auto& { return c.no_drain; })},
  };
}

std::vector<OptionSpec> Serving() {
  return {
    {"listen", "", kServe, OptionKind::kValue, "HOST:PORT", "127.0.0.1:19798",
     "address to serve at; port 0 takes a free one",
     Text([](Config& c) -> auto& { return c.serve.listen; })},
    {"knob", "", kServe, OptionKind::kList, "KEY=VALUE", "",
     "change one behaviour of the server; --knob help lists them",
     List([](Config& c) -> auto& { return c.serve.knobs; })},
    {"tls-cert", "", kServe, OptionKind::kValue, "FILE", "", "serve TLS with this certificate (PEM)",
     Text([](Config& c) -> auto& { return c.serve.tls_cert; })},
    {"tls-key", "", kServe, OptionKind::kValue, "FILE", "", "key of --tls-cert (PEM)",
     Text([](Config& c) -> auto& { return c.serve.tls_key; })},
    {"ready-file", "", kServe, OptionKind::kValue, "FILE", "",
     "write the address here once the server answers",
     Text([](Config& c) -> auto& { return c.serve.ready_file; })},
  };
}

std::vector<OptionSpec> Logging() {
  return {
    {"log-level", "", kMount | kServe, OptionKind::kValue, "LEVEL", "notice",
     "debug, info, notice, warning or error",
     Word<LogLevel>({{"debug", LogLevel::kDebug}, {"info", LogLevel::kInfo},
                     {"notice", LogLevel::kNotice}, {"warning", LogLevel::kWarning},
                     {"error", LogLevel::kError}},
                    [](Config& c) -> auto& { return c.log.level; })},
    {"log-file", "", kMount | kServe, OptionKind::kValue, "FILE", "",
     "log here (default: standard error; of a mount in the background, a file in its cache directory)",
     Text([](Config& c) -> auto& { return c.log.file; })},
    {"verbose", "-v", kMount | kServe, OptionKind::kCount, "", "",
     "log more: -v like --log-level info, -vv like debug", CountVerbose},
  };
}
// clang-format on

std::vector<OptionSpec> MakeTable() {
  std::vector<OptionSpec> table;
  for (const auto& part :
       {Connection(), Uploading(), Mounting(), Owning(), Asking(), Serving(), Logging()}) {
    table.insert(table.end(), part.begin(), part.end());
  }
  return table;
}

}  // namespace

const std::vector<OptionSpec>& Options() {
  static const auto* table = new std::vector<OptionSpec>(MakeTable());
  return *table;
}

const OptionSpec* FindOption(const std::string& name) {
  std::string wanted = name;
  std::replace(wanted.begin(), wanted.end(), '_', '-');
  for (const OptionSpec& option : Options()) {
    if (option.name == wanted || option.spelling == "--" + wanted) return &option;
  }
  return nullptr;
}

std::vector<std::string> OptionNames() {
  std::vector<std::string> names;
  for (const OptionSpec& option : Options()) names.push_back(option.name);
  return names;
}

std::string EnvironmentName(const OptionSpec& option) {
  std::string name = "OUTBOXFS_";
  for (const char c : option.name) {
    name += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

}  // namespace outboxfs::cli
