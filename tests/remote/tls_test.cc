// The four ways of TLS against a server with a certificate of its own making.
#include <gtest/gtest.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include "remote/remote.h"
#include "scripted_server.h"
#include "support/key_pair.h"

namespace outboxfs::remote {
namespace {

using test::KeyPair;
using test::MakeKeyPair;

std::shared_ptr<grpc::ServerCredentials> ServerCredentials(const KeyPair& pair) {
  grpc::SslServerCredentialsOptions options;
  options.pem_key_cert_pairs.push_back({pair.key, pair.cert});
  return grpc::SslServerCredentials(options);
}

class TlsTest : public testing::Test {
 protected:
  ConnectOptions Options() const {
    ConnectOptions options = server_.Options();
    options.endpoint.tls = true;
    return options;
  }
  static Result<Entry> Find(const ConnectOptions& options) {
    auto remote = Remote::Connect(options);
    if (!remote) return Fail(remote.error());
    return (*remote)->names().Find("/x", {});
  }
  std::string WriteFile(const std::string& name, const std::string& text) {
    const std::string path = testing::TempDir() + name + std::to_string(getpid());
    std::ofstream(path) << text;
    return path;
  }

  const KeyPair pair_ = MakeKeyPair();
  ScriptedServer server_{ServerCredentials(pair_)};
};

TEST_F(TlsTest, TheSystemsRootsDoNotKnowTheServer) { EXPECT_EQ(Find(Options()).error().code, EIO); }

TEST_F(TlsTest, ACaFileMakesItKnown) {
  ConnectOptions options = Options();
  options.ca_file = WriteFile("ca", pair_.cert);
  Result<Entry> entry = Find(options);
  EXPECT_TRUE(entry) << entry.error().text;
  remove(options.ca_file.c_str());
}

TEST_F(TlsTest, AnotherCaFileDoesNot) {
  ConnectOptions options = Options();
  options.ca_file = WriteFile("other", MakeKeyPair().cert);
  EXPECT_EQ(Find(options).error().code, EIO);
  remove(options.ca_file.c_str());
}

TEST_F(TlsTest, VerificationCanBeSwitchedOff) {
  ConnectOptions options = Options();
  options.tls_verify = false;
  Result<Entry> entry = Find(options);
  EXPECT_TRUE(entry) << entry.error().text;
}

TEST_F(TlsTest, PlaintextToATlsPortIsAnError) {
  ConnectOptions options = Options();
  options.endpoint.tls = false;
  EXPECT_EQ(Find(options).error().code, EIO);
}

}  // namespace
}  // namespace outboxfs::remote
