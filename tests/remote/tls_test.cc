// The four ways of TLS against a server with a certificate of its own making.
#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <fstream>
#include <memory>

#include "remote/remote.h"
#include "scripted_server.h"

namespace outboxfs::remote {
namespace {

struct KeyPair {
  std::string key;   // PEM
  std::string cert;  // PEM
};

std::string Drain(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<size_t>(size));
  BIO_free(bio);
  return text;
}

// Self-signed for 127.0.0.1.
KeyPair MakeKeyPair() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* cert = X509_new();
  X509_set_version(cert, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
  X509_gmtime_adj(X509_getm_notBefore(cert), -60);
  X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
  X509_NAME* name = X509_get_subject_name(cert);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>("test"), -1, -1, 0);
  X509_set_issuer_name(cert, name);
  X509_set_pubkey(cert, key);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1");
  X509_add_ext(cert, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(cert, key, EVP_sha256());
  BIO* key_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  BIO* cert_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(cert_bio, cert);
  EVP_PKEY_free(key);
  X509_free(cert);
  return {Drain(key_bio), Drain(cert_bio)};
}

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
