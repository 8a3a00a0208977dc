#include "cli/toml_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <toml++/toml.h>

#include <optional>

#include "cli/nearest.h"
#include "common/disk.h"

namespace outboxfs::cli {
namespace {

constexpr size_t kMaxFile = 1 << 20;

Result<std::string> ReadAll(const std::string& path) {
  const Result<FileDescriptor> file = disk::Open(path, O_RDONLY);
  if (!file) return Fail(file.error());
  std::string text(kMaxFile + 1, '\0');
  const Result<size_t> size = disk::ReadAt(file->get(), std::as_writable_bytes(std::span(text)), 0);
  if (!size) return Fail(Error(size.error()).Prepend(path));
  if (*size > kMaxFile) return Fail(EINVAL, fmt::format("{} is too long", path));
  text.resize(*size);
  return text;
}

// A single value as one would write it behind the flag.
std::optional<std::string> AsText(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return fmt::format("{}", number->get());
  if (const auto* on = node.as_boolean()) return on->get() ? "true" : "false";
  return std::nullopt;
}

std::optional<Values> AsValues(const toml::node& node, bool list) {
  Values values;
  if (const auto* array = node.as_array()) {
    if (!list) return std::nullopt;
    for (const toml::node& element : *array) {
      std::optional<std::string> text = AsText(element);
      if (!text) return std::nullopt;
      values.push_back(std::move(*text));
    }
    return values;
  }
  std::optional<std::string> text = AsText(node);
  if (!text) return std::nullopt;
  values.push_back(std::move(*text));
  return values;
}

}  // namespace

Result<Settings> ReadTomlFile(const std::string& path) {
  const Result<std::string> text = ReadAll(path);
  if (!text) return Fail(text.error());
  toml::table table;
  try {
    table = toml::parse(*text, path);
  } catch (const toml::parse_error& error) {
    return Fail(EINVAL,
                fmt::format("{}:{}: {}", path, error.source().begin.line, error.description()));
  }
  Settings settings;
  for (const auto& [key, node] : table) {
    const std::string name(key.str());
    const std::string where = fmt::format("{}:{}", path, key.source().begin.line);
    const OptionSpec* option = FindOption(name);
    if (option == nullptr) {
      return Fail(EINVAL, fmt::format("{}: unknown key '{}'{}", where, name,
                                      DidYouMean(name, OptionNames())));
    }
    std::optional<Values> values = AsValues(node, option->kind == OptionKind::kList);
    if (!values) {
      return Fail(EINVAL, fmt::format("{}: '{}' has a value of a wrong type", where, name));
    }
    settings[option->name] = std::move(*values);
  }
  return settings;
}

}  // namespace outboxfs::cli
