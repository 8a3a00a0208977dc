#include <gtest/gtest.h>

#include <cerrno>

#include "remote/remote.h"
#include "remote/utf8.h"

namespace outboxfs::remote {
namespace {

struct Good {
  std::string text;
  std::string host;
  int port;
  bool tls;
  std::string folder;
};

TEST(ParseRemote, UnderstandsEveryDocumentedForm) {
  const Good cases[] = {
      {"nas", "nas", 19798, false, "/"},
      {"nas:1234", "nas", 1234, false, "/"},
      {"nas/", "nas", 19798, false, "/"},
      {"nas:1234/115open/备份", "nas", 1234, false, "/115open/备份"},
      {"http://10.0.0.7:19798", "10.0.0.7", 19798, false, "/"},
      {"https://cloud.example.org", "cloud.example.org", 19798, true, "/"},
      {"https://cloud.example.org:443/a//b///c/", "cloud.example.org", 443, true, "/a/b/c"},
      {"[::1]", "::1", 19798, false, "/"},
      {"http://[fe80::1:2]:80/x", "fe80::1:2", 80, false, "/x"},
      {"nas/with space/100%/a:b?c#d@e", "nas", 19798, false, "/with space/100%/a:b?c#d@e"},
      {"nas/folder://x", "nas", 19798, false, "/folder:/x"},
      {"nas/...", "nas", 19798, false, "/..."},
  };
  for (const Good& good : cases) {
    Result<RemoteSpec> spec = ParseRemote(good.text);
    ASSERT_TRUE(spec) << good.text << ": " << spec.error().text;
    EXPECT_EQ(spec->endpoint.host, good.host) << good.text;
    EXPECT_EQ(spec->endpoint.port, good.port) << good.text;
    EXPECT_EQ(spec->endpoint.tls, good.tls) << good.text;
    EXPECT_EQ(spec->folder, good.folder) << good.text;
  }
}

TEST(ParseRemote, RefusesWhatItCannotMean) {
  const std::string cases[] = {"",
                               "/",
                               "/folder",
                               ":19798",
                               "http://",
                               "http:///x",
                               "ftp://nas",
                               "nas:",
                               "nas:0",
                               "nas:65536",
                               "nas:99999999999",
                               "nas:-1",
                               "nas:12x",
                               "nas: 12",
                               "nas:+5",
                               "::1",
                               "[::1",
                               "[::1]x",
                               "[]",
                               "[nas]",
                               "na s",
                               "nas\\x",
                               "nas/a/../b",
                               "nas/.",
                               "nas/./b",
                               "user@nas",
                               "nas?x",
                               std::string("nas/a\0b", 7),
                               "nas/\xff",
                               "nas/\xc0\xaf",
                               "n\xc3\xa4s",
                               "nas/" + std::string(256, 'x')};
  for (const std::string& text : cases) {
    Result<RemoteSpec> spec = ParseRemote(text);
    ASSERT_FALSE(spec) << text;
    EXPECT_EQ(spec.error().code, EINVAL) << text;
    EXPECT_FALSE(spec.error().text.empty());
  }
}

TEST(ParseRemote, NeverRepeatsAPassword) {
  Result<RemoteSpec> spec = ParseRemote("http://me:topsecret@nas/x");
  ASSERT_FALSE(spec);
  EXPECT_EQ(spec.error().text.find("topsecret"), std::string::npos);
}

TEST(IsUtf8, KnowsTheFormsThatAreForbidden) {
  EXPECT_TRUE(IsUtf8(""));
  EXPECT_TRUE(IsUtf8("aä中😀"));
  EXPECT_FALSE(IsUtf8("\x80"));
  EXPECT_FALSE(IsUtf8("\xe4\xb8"));              // cut off
  EXPECT_FALSE(IsUtf8("\xc1\xbf"));              // overlong
  EXPECT_FALSE(IsUtf8("\xe0\x80\x80"));          // overlong
  EXPECT_FALSE(IsUtf8("\xed\xa0\x80"));          // surrogate
  EXPECT_FALSE(IsUtf8("\xf4\x90\x80\x80"));      // above U+10FFFF
  EXPECT_FALSE(IsUtf8("\xf8\x88\x80\x80\x80"));  // five bytes
}

}  // namespace
}  // namespace outboxfs::remote
