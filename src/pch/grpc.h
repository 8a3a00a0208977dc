// Precompiled for the rooms that speak gRPC.
#ifndef OUTBOXFS_PCH_GRPC_H
#define OUTBOXFS_PCH_GRPC_H

#include <grpcpp/grpcpp.h>

#include "pch/std.h"
#endif
