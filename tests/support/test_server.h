// A reference server over a directory of its own, for tests of any room. Needs server_dep.
//
//   TestServer server;                       // default knobs
//   TestServer slow({.reply_delay = 100ms}); // some knobs
//   server->SetKnobs(...); server->endpoint(); server->token(); server.dir() / "file"
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "server/reference_server.h"
#include "support/temp_dir.h"

namespace outboxfs::test {

class TestServer {
 public:
  static constexpr const char* kUser = "tester@example.org";
  static constexpr const char* kPassword = "secret";

  explicit TestServer(server::Knobs knobs = {}) {
    options_.directory = dir_.path() + "/cloud";
    options_.user = kUser;
    options_.password = kPassword;
    options_.knobs = std::move(knobs);
    StartIt();
  }
  explicit TestServer(server::ServerOptions options) : options_(std::move(options)) {
    if (options_.directory.empty()) options_.directory = dir_.path() + "/cloud";
    StartIt();
  }

  server::ReferenceServer* operator->() { return server_.get(); }
  server::ReferenceServer& operator*() { return *server_; }
  // The directory that is the cloud.
  const std::string& dir() const { return options_.directory; }
  std::string Local(const std::string& remote_path) const { return dir() + remote_path; }
  // Changes some knobs: `Change([](Knobs& k) { k.hold = Phase::kNone; })`.
  void Change(const std::function<void(server::Knobs&)>& change) {
    server::Knobs knobs = server_->knobs();
    change(knobs);
    server_->SetKnobs(knobs);
  }

  void Stop() {
    options_.knobs = server_->knobs();
    server_.reset();
  }
  // Starts again on the same port, with the same token, directory and knobs.
  void StartAgain() { StartIt(); }
  void Restart() {
    Stop();
    StartAgain();
  }

 private:
  void StartIt() {
    auto started = server::ReferenceServer::Start(options_);
    if (!started) {
      ADD_FAILURE() << started.error().text;
      std::abort();
    }
    server_ = std::move(*started);
    options_.listen = server_->endpoint();
    options_.token = server_->token();
  }

  TempDir dir_;
  server::ServerOptions options_;
  std::unique_ptr<server::ReferenceServer> server_;
};

}  // namespace outboxfs::test
