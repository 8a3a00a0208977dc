// How the downloader makes an address of a link; for its tests.
#pragma once

#include <string>

#include "remote/remote.h"

namespace outboxfs::remote {

// Puts scheme, host and "no preview" into the server's template; an address stays as it is.
std::string CompleteUrl(std::string url, const Endpoint& endpoint);
// Whether `url` leads to the server's own host, under any port.
bool IsOwnHost(const std::string& url, const Endpoint& endpoint);

}  // namespace outboxfs::remote
