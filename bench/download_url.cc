// Prints the download address of a remote file, so that another program can fetch the same bytes.
//
//   download_url HOST:PORT TOKEN_FILE PATH
#include <cstdio>
#include <fstream>
#include <string>

#include "remote/downloader.h"
#include "remote/remote.h"

int main(int argc, char** argv) {
  using namespace outboxfs::remote;
  if (argc != 4) return 2;
  const std::string address = argv[1];
  const size_t colon = address.rfind(':');
  ConnectOptions options;
  options.endpoint = {address.substr(0, colon), std::stoi(address.substr(colon + 1)), false};
  std::ifstream(argv[2]) >> options.credentials.token;
  const auto remote = Remote::Connect(options);
  if (!remote) return 1;
  const auto link = (*remote)->names().GetDownloadLink(argv[3], {});
  if (!link) {
    std::fprintf(stderr, "%s\n", link.error().text.c_str());
    return 1;
  }
  std::puts(CompleteUrl(link->url, options.endpoint).c_str());
}
