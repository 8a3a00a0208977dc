// `outboxfs serve` as a process of its own, over a directory of its own.
//
//   ServedDir served({"--knob", "read_size=65536"});
//   ASSERT_TRUE(served.ok()) << served.output();
//   ProgramMount mount({.remote = served.address(), .flags = {"--token-file",
//   served.token_file()}});
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "support/program.h"

namespace outboxfs::test {

class ServedDir {
 public:
  explicit ServedDir(std::vector<std::string> flags = {}) : flags_(std::move(flags)) {
    Start("127.0.0.1:0");
  }

  bool ok() const { return !address_.empty(); }
  // As the ready file says: HOST:PORT, with https:// when it serves TLS.
  const std::string& address() const { return address_; }
  std::string host_and_port() const { return address_.substr(address_.rfind('/') + 1); }
  std::string token_file() const { return dir_ / "token"; }
  std::string Local(const std::string& path) const { return dir_ / "cloud" + path; }
  std::string output() const { return process_->output(); }
  int pid() const { return process_->pid(); }
  // Its exit code.
  int Stop() { return process_->Stop(); }
  // Again on the same port; the flags and the token file may be others by now.
  void StartAgain() { Start(host_and_port()); }
  std::vector<std::string>& flags() { return flags_; }

 private:
  void Start(const std::string& listen) {
    const std::string ready = dir_ / "ready";
    std::filesystem::remove(ready);
    std::vector<std::string> words = {OUTBOXFS_PROGRAM, "serve",        dir_ / "cloud",
                                      "--listen",       listen,         "--token-file",
                                      token_file(),     "--ready-file", ready};
    words.insert(words.end(), flags_.begin(), flags_.end());
    process_ = std::make_unique<BackgroundProgram>(words, dir_ / "serve.log");
    Eventually([&] { return std::filesystem::exists(ready) || !process_->running(); });
    address_ = ReadWholeFile(ready);
    while (address_.ends_with('\n')) address_.pop_back();
  }

  TempDir dir_;
  std::vector<std::string> flags_;
  std::string address_;
  std::unique_ptr<BackgroundProgram> process_;
};

}  // namespace outboxfs::test
