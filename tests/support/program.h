// The program as a user runs it: `outboxfs` in processes of its own, with a home of its own.
//
//   RunProgram({"rsync", "-a", from, to})               any program, to its end
//   ProgramMount mount({.remote = "embedded:" + dir});
//   ASSERT_TRUE(mount.ok()) << mount.error();
//   mount.Outboxfs({"wait"})
//
// OUTBOXFS_PROGRAM is defined by tests/integration/meson.build.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/temp_dir.h"

namespace outboxfs::test {

struct Finished {
  int exit_code = -1;  // -signal when one ended it
  std::string out;
  std::string err;
};
using Variables = std::map<std::string, std::string>;

// Runs `words` (the first is looked up in PATH) with `variables` added to this process's
// environment. Ends it after ten minutes.
Finished RunProgram(const std::vector<std::string>& words, const Variables& variables = {});

// Looks again until `condition` holds; false when it still does not after `longest`.
bool Eventually(const std::function<bool()>& condition,
                std::chrono::milliseconds longest = std::chrono::seconds(20));

// SIGSTOP, and waits until every thread of `pid` stands still. SIGCONT lets them go on.
bool Freeze(int pid);

// A program that runs until it is stopped or gone out of scope. What it says goes into a file.
class BackgroundProgram {
 public:
  BackgroundProgram(const std::vector<std::string>& words, std::string output_file,
                    const Variables& variables = {});
  ~BackgroundProgram();
  BackgroundProgram(const BackgroundProgram&) = delete;
  BackgroundProgram& operator=(const BackgroundProgram&) = delete;

  int pid() const { return pid_; }
  bool running() const;
  std::string output() const { return ReadWholeFile(output_file_); }
  // Asks it to end and waits: its exit code, or -signal.
  int Stop(int signal = SIGTERM);
  // Waits for an end of its own accord.
  int Join();

 private:
  std::string output_file_;
  int pid_ = -1;
};

struct MountSpec {
  std::string remote;              // empty: embedded:CLOUD with the mount's own directory
  std::string token;               // into the environment
  std::vector<std::string> flags;  // further ones
  Variables variables;             // into the environment of the daemon
};

// A mount made by `outboxfs mount` in the background, and its directories. Whatever happens, it is
// gone with this object.
class ProgramMount {
 public:
  explicit ProgramMount(MountSpec spec = {});
  ~ProgramMount();
  ProgramMount(const ProgramMount&) = delete;
  ProgramMount& operator=(const ProgramMount&) = delete;

  bool ok() const { return mounted_.exit_code == 0; }
  const std::string& error() const { return mounted_.err; }
  const Finished& mounted() const { return mounted_; }
  std::string path() const { return dir_ / "mnt"; }
  std::string cloud() const { return dir_ / "cloud"; }
  std::string cache() const { return dir_ / "cache"; }
  std::string operator/(const std::string& name) const { return path() + "/" + name; }
  const TempDir& dir() const { return dir_; }

  // `outboxfs WORDS` with this mount's home.
  Finished Outboxfs(const std::vector<std::string>& words) const;
  Variables Home() const;
  // Changes what the next Mount is told.
  MountSpec& spec() { return spec_; }
  // Mounts (again) with the same directories; false with error() when it cannot.
  bool Mount();
  // Exit code of `outboxfs unmount FLAGS mnt`.
  Finished Unmount(const std::vector<std::string>& flags = {});
  // `outboxfs wait` for everything.
  Finished WaitUploaded(const std::string& timeout = "90s") const;
  // "" when there is no such mount; else a member of status --json, by jq's syntax.
  std::string Status(const std::string& query) const;
  // kill -9 of the daemon; the mount stays behind dead. Asks for its pid by a program, which
  // inherits this process's files and closes them: name it where that close must not be.
  void Kill(std::string pid = "");
  std::string Pid() const { return Status(".pid"); }
  // Files in the staging directory that have bytes (empty ones are kept ready for use).
  size_t StagedFiles() const;
  std::string Log() const;

 private:
  MountSpec spec_;
  TempDir dir_;
  Finished mounted_;
};

}  // namespace outboxfs::test
