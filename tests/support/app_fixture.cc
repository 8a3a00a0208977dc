#include "support/app_fixture.h"

#include <fnmatch.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

namespace outboxfs::test {
namespace {

namespace fs = std::filesystem;

// What most scripts copy: modes, old times, names and sizes as trees have them, and something that
// compresses and something that does not.
constexpr const char* kMakeInput = R"(
mkdir -p tree/deep/er/'and deeper' tree/empty.d tree/'空の 目录'
printf small >tree/small
: >tree/empty
printf '#!/bin/sh\necho hello\n' >tree/run.sh
for i in $(seq 2000); do echo "line $i of a text"; done >tree/deep/text.txt
mv "$WORK/noise" tree/deep/er/noise
head -c 1048593 tree/deep/er/noise >tree/deep/'odd size'
echo text >tree/'空の 目录'/'中文 名字 (1).txt'
echo secret >tree/deep/er/'and deeper'/secret
chmod 755 tree/run.sh
chmod 600 tree/deep/er/'and deeper'/secret
chmod 444 tree/deep/text.txt
chmod 750 tree/empty.d
find tree -exec touch -d '2003-04-05 06:07:08.123456789' {} +
touch -d 1971-01-02 tree/small
touch -d 2037-12-31 tree/deep/'odd size'
)";

TreeEntry ReadEntry(const fs::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return {.type = '?'};
  TreeEntry entry;
  entry.type = S_ISDIR(info.st_mode) ? 'd' : S_ISREG(info.st_mode) ? 'f' : '?';
  entry.mode = info.st_mode & 07777;
  entry.mtime_ns = info.st_mtim.tv_sec * 1'000'000'000LL + info.st_mtim.tv_nsec;
  if (entry.type == 'f') entry.content = ReadWholeFile(path);
  if (entry.type == 'f' && entry.content.size() != static_cast<uint64_t>(info.st_size)) {
    entry.type = '?';  // its size is not that of its content
  }
  return entry;
}

bool IsBelow(const std::string& path, const std::string& top) {
  return top == "." || path == top || path.starts_with(top + "/");
}

void CompareEntry(const std::string& path, const TreeEntry& actual, const TreeEntry& expected,
                  bool with_modes, bool with_times, std::ostream& out) {
  if (actual.type != expected.type) {
    out << path << ": is a " << actual.type << " instead of a " << expected.type << "\n";
  }
  if (const auto same = SameBytes(actual.content, expected.content); !same) {
    out << path << ": " << same.message() << "\n";
  }
  if (with_modes && actual.mode != expected.mode) {
    out << path << ": mode " << std::oct << actual.mode << " instead of " << expected.mode
        << std::dec << "\n";
  }
  if (with_times && actual.mtime_ns != expected.mtime_ns) {
    out << path << ": mtime " << actual.mtime_ns << " instead of " << expected.mtime_ns << "\n";
  }
}

// Takes `varying` files of `expected` from `actual`.
void Adopt(const Tree& actual, const std::vector<std::string>& varying, Tree& expected) {
  for (const auto& [path, entry] : actual) {
    const bool varies = std::ranges::any_of(varying, [&path = path](const std::string& glob) {
      return ::fnmatch(glob.c_str(), path.c_str(), 0) == 0;
    });
    if (varies && expected.contains(path)) expected[path].content = entry.content;
  }
}

}  // namespace

std::unique_ptr<TempDir> Apps::input_;

std::ostream& operator<<(std::ostream& out, const AppCase& app) { return out << app.name; }

Tree ReadTree(const std::string& root) {
  Tree tree;
  for (const auto& entry : fs::recursive_directory_iterator(root)) {
    tree[entry.path().lexically_relative(root)] = ReadEntry(entry.path());
  }
  return tree;
}

std::string Differences(const Tree& actual, const Tree& expected, bool with_modes,
                        const std::string& times_below) {
  std::ostringstream out;
  for (const auto& [path, entry] : expected) {
    const auto found = actual.find(path);
    if (found == actual.end()) {
      out << path << ": is missing\n";
      continue;
    }
    CompareEntry(path, found->second, entry, with_modes, IsBelow(path, times_below), out);
  }
  for (const auto& [path, entry] : actual) {
    if (!expected.contains(path)) out << path << ": should not be there\n";
  }
  return out.str();
}

Finished RunScript(const std::string& script, const std::string& directory,
                   const std::string& input, const std::string& work) {
  const Variables variables = {
      {"INPUT", input},
      {"WORK", work},
      {"HOME", work},
      {"LC_ALL", "C.UTF-8"},
      {"TZ", "UTC"},
      {"GIT_CONFIG_NOSYSTEM", "1"},
      {"GIT_TEMPLATE_DIR", ""},  // a dozen examples in each repository
      {"GIT_AUTHOR_NAME", "A. Uthor"},
      {"GIT_AUTHOR_EMAIL", "author@example.org"},
      {"GIT_AUTHOR_DATE", "2020-01-02T03:04:05Z"},
      {"GIT_COMMITTER_NAME", "C. Ommitter"},
      {"GIT_COMMITTER_EMAIL", "committer@example.org"},
      {"GIT_COMMITTER_DATE", "2020-01-02T03:04:05Z"},
  };
  return RunProgram(
      {"bash", "-euo", "pipefail", "-c", "umask 022; cd \"$0\"\n" + script, directory}, variables);
}

void Apps::SetUpTestSuite() {
  input_ = std::make_unique<TempDir>();
  const TempDir work;
  WriteFile(work / "noise", Pattern(3 << 20));
  const Finished made = RunScript(kMakeInput, input_->path(), input_->path(), work.path());
  ASSERT_EQ(made.exit_code, 0) << made.err;
}

void Apps::TearDownTestSuite() { input_.reset(); }

void Apps::Start(const std::vector<std::string>& flags) {
  mount_ = std::make_unique<ProgramMount>(MountSpec{.remote = "", .token = "", .flags = flags});
  ASSERT_TRUE(mount_->ok()) << mount_->error();
  for (const std::string& name : {here(), reference(), dir_ / "work", dir_ / "reference-work"}) {
    ASSERT_TRUE(fs::create_directory(name));
  }
}

void Apps::RunOnBoth(const std::string& script) {
  const Finished expected = RunScript(script, reference(), input(), dir_ / "reference-work");
  ASSERT_EQ(expected.exit_code, 0) << "on the reference: " << expected.out << expected.err;
  const Finished actual = RunScript(script, here(), input(), dir_ / "work");
  ASSERT_EQ(actual.exit_code, 0) << actual.out << actual.err;
  EXPECT_EQ(actual.out, expected.out);
}

void Apps::UploadAll() {
  const Finished waited = mount_->WaitUploaded("60s");
  ASSERT_EQ(waited.exit_code, 0) << waited.err << mount_->Outboxfs({"status"}).out;
}

void Apps::Remount() {
  ASSERT_EQ(mount_->Unmount().exit_code, 0);
  ASSERT_TRUE(mount_->Mount()) << mount_->error();
}

void Apps::ExpectMountEquals(const Tree& expected, const std::string& when,
                             const std::string& times_below) {
  EXPECT_EQ(Differences(ReadTree(here()), expected, true, times_below), "") << when;
}

void Apps::RunCase() {
  const AppCase& app = GetParam();
  ASSERT_NO_FATAL_FAILURE(Start(app.flags));
  Tree expected;
  for (size_t step = 0; step < app.scripts.size(); ++step) {
    SCOPED_TRACE("script " + std::to_string(step + 1));
    ASSERT_NO_FATAL_FAILURE(RunOnBoth(app.scripts[step]));
    expected = ReadTree(reference());
    if (!app.varying.empty()) Adopt(ReadTree(here()), app.varying, expected);
    ExpectMountEquals(expected, "in the mount", app.times_below);
    ASSERT_NO_FATAL_FAILURE(UploadAll());
    ExpectMountEquals(expected, "after the upload", app.times_below);
    EXPECT_EQ(Differences(ReadTree(on_server()), expected, false), "") << "on the server's disk";
    ASSERT_TRUE(Eventually([this] { return mount_->StagedFiles() == 0; }));
    ExpectMountEquals(expected, "after the eviction", app.times_below);
    if (HasFailure()) return;
  }
  ASSERT_NO_FATAL_FAILURE(Remount());
  ExpectMountEquals(expected, "after a remount", app.times_below);
  EXPECT_EQ(mount_->Status(".uploads.files_pending"), "0") << "reading uploads nothing";
}

}  // namespace outboxfs::test
