#include <gtest/gtest.h>

#include "remote/downloader.h"
#include "remote/http_client.h"

namespace outboxfs::remote {
namespace {

TEST(CompleteUrl, FillsTheTemplateIn) {
  const Endpoint plain{"nas", 19798, false};
  EXPECT_EQ(CompleteUrl("/static/{SCHEME}/{HOST}/{PREVIEW}/a%20b?token=x", plain),
            "http://nas:19798/static/http/nas:19798/false/a%20b?token=x");
  EXPECT_EQ(CompleteUrl("static/x", plain), "http://nas:19798/static/x");
  EXPECT_EQ(CompleteUrl("{SCHEME}://{HOST}/x", {"::1", 443, true}), "https://[::1]:443/x");
  EXPECT_EQ(CompleteUrl("https://cdn.example/x?y", plain), "https://cdn.example/x?y");
}

TEST(IsOwnHost, IsTrueForTheServerOnly) {
  const Endpoint nas{"nas", 19798, false};
  EXPECT_TRUE(IsOwnHost("http://nas:19798/x", nas));
  EXPECT_TRUE(IsOwnHost("https://nas/x", nas));
  EXPECT_TRUE(IsOwnHost("http://nas", nas));
  EXPECT_FALSE(IsOwnHost("http://nas.example/x", nas));
  EXPECT_FALSE(IsOwnHost("http://nas@evil/x", nas));
  EXPECT_FALSE(IsOwnHost("http://cdn/x", nas));
  EXPECT_TRUE(IsOwnHost("http://[::1]:5/x", {"::1", 5, false}));
}

TEST(ParseContentRange, TakesNothingButARange) {
  uint64_t begin = 0;
  uint64_t end = 0;
  EXPECT_TRUE(ParseContentRange(" bytes 5-9/100\r\n", begin, end));
  EXPECT_EQ(begin, 5U);
  EXPECT_EQ(end, 10U);
  EXPECT_TRUE(ParseContentRange("bytes 0-0/*", begin, end));
  for (const char* text : {"", "bytes */100", "bytes 9-5/100", "items 0-1/2", "bytes 0-1",
                           "bytes 0-18446744073709551615/1", "bytes -1/2", "bytes a-b/c"}) {
    EXPECT_FALSE(ParseContentRange(text, begin, end)) << text;
  }
}

}  // namespace
}  // namespace outboxfs::remote
