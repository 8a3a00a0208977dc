// RemoteReadDataUpload written by hand: this message carries every uploaded byte, and protobuf
// would copy them once more into a string.
#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "remote/upload_api.h"

namespace outboxfs::remote {

// The same bytes that protobuf's serialisation gives. Copies the data once, into memory that gRPC
// owns: a cancelled call returns while the transport may still be sending, so the caller's own
// buffer cannot be lent to it.
grpc::ByteBuffer EncodeReadAnswer(const ReadAnswer& answer);

}  // namespace outboxfs::remote
