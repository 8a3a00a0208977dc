// Real programs on a mount, compared with the same programs on a plain directory.
//
// A case is a name and shell scripts. Each runs once with a directory of the mount as its working
// directory and once with a plain one, which is the reference. After each script the two must be
// equal: as seen through the mount, after the upload, on the server's disk, and after the eviction;
// after the last one also after a remount. What the scripts print must be equal too.
//
// Scripts see $INPUT (files to begin with, the same for both, not to be changed) and $WORK (an
// empty directory outside of the mount, one for each side, kept from script to script).
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "support/program.h"
#include "support/temp_dir.h"

namespace outboxfs::test {

struct AppCase {
  std::string name;
  std::vector<std::string> scripts;  // of bash, with -euo pipefail; the next one after the eviction
  std::string times_below;  // the programs set all mtimes from here down: "." is everything
  // Files with something of the machine or of the moment in them (inode numbers, the order of
  // writers): compared with what the script left in the mount instead of with the reference.
  std::vector<std::string> varying;
  std::vector<std::string> flags;  // of the mount
};
std::ostream& operator<<(std::ostream& out, const AppCase& app);

struct TreeEntry {
  char type = 'f';  // or d, or ? for what a mount cannot have
  uint32_t mode = 0;
  int64_t mtime_ns = 0;
  std::string content;
};
using Tree = std::map<std::string, TreeEntry>;  // by path below the root, without the root

Tree ReadTree(const std::string& root);
// What is different, a line each; "" when nothing is. Content and type always.
std::string Differences(const Tree& actual, const Tree& expected, bool with_modes,
                        const std::string& times_below = "");

// Runs a script in a directory. `work` is its $WORK and HOME.
Finished RunScript(const std::string& script, const std::string& directory,
                   const std::string& input, const std::string& work);

// A directory of the mount, its reference, and the place where the server keeps it.
class Apps : public ::testing::TestWithParam<AppCase> {
 protected:
  static void SetUpTestSuite();  // makes $INPUT
  static void TearDownTestSuite();

  // Mounts; to be called once.
  void Start(const std::vector<std::string>& flags = {});
  // Runs the case of this test to its end.
  void RunCase();
  // Runs it on both sides; both must succeed and print the same.
  void RunOnBoth(const std::string& script);
  // Uploads and evicts everything.
  void UploadAll();
  void Remount();
  void ExpectMountEquals(const Tree& expected, const std::string& when,
                         const std::string& times_below = "");

  std::string here() const { return *mount_ / "here"; }
  std::string reference() const { return dir_ / "reference"; }
  std::string on_server() const { return mount_->cloud() + "/here"; }
  std::string input() const { return input_->path(); }
  ProgramMount& mount() { return *mount_; }
  const TempDir& dir() const { return dir_; }

 private:
  static std::unique_ptr<TempDir> input_;
  TempDir dir_;
  std::unique_ptr<ProgramMount> mount_;
};

// The name of a case as the name of its test.
inline std::string NameOfCase(const ::testing::TestParamInfo<AppCase>& info) {
  return info.param.name;
}

}  // namespace outboxfs::test
