// What we ask of the kernel in INIT.
#pragma once

#include <string>

struct fuse_conn_info;

namespace outboxfs::fs {

// Fills in our side of the negotiation. Returns why there will be no passthrough; empty: there may
// be.
std::string Negotiate(struct fuse_conn_info& conn);

}  // namespace outboxfs::fs
