#include "remote/read_answer_wire.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpc/slice.h>
#include <grpcpp/support/slice.h>

#include <cstring>

#include "clouddrive.pb.h"

namespace outboxfs::remote {
namespace {

using Message = clouddrive::RemoteReadDataUpload;
using Out = google::protobuf::io::CodedOutputStream;
using Wire = google::protobuf::internal::WireFormatLite;

// Every tag of this message is one byte: all numbers are below 16.
constexpr size_t kTagSize = 1;

size_t LengthSize(size_t length) { return Out::VarintSize64(length); }

// As proto3 has it: a field that is zero or empty is not on the wire.
size_t EncodedSize(const ReadAnswer& answer) {
  size_t size = 0;
  if (!answer.upload_id.empty()) {
    size += kTagSize + LengthSize(answer.upload_id.size()) + answer.upload_id.size();
  }
  if (answer.offset != 0) size += kTagSize + Out::VarintSize64(answer.offset);
  if (!answer.data.empty()) {
    size += kTagSize + Out::VarintSize64(answer.data.size());                // length
    size += kTagSize + LengthSize(answer.data.size()) + answer.data.size();  // data
  }
  if (answer.lazy_read) size += kTagSize + 1;
  if (answer.is_last_chunk) size += kTagSize + 1;
  return size;
}

uint8_t* PutNumber(int field, uint64_t value, uint8_t* at) {
  if (value == 0) return at;
  at = Wire::WriteTagToArray(field, Wire::WIRETYPE_VARINT, at);
  return Out::WriteVarint64ToArray(value, at);
}

uint8_t* PutBytes(int field, const void* data, size_t size, uint8_t* at) {
  if (size == 0) return at;
  at = Wire::WriteTagToArray(field, Wire::WIRETYPE_LENGTH_DELIMITED, at);
  at = Out::WriteVarint64ToArray(size, at);
  std::memcpy(at, data, size);
  return at + size;
}

}  // namespace

grpc::ByteBuffer EncodeReadAnswer(const ReadAnswer& answer) {
  grpc_slice memory = grpc_slice_malloc(EncodedSize(answer));
  uint8_t* at = GRPC_SLICE_START_PTR(memory);
  at =
      PutBytes(Message::kUploadIdFieldNumber, answer.upload_id.data(), answer.upload_id.size(), at);
  at = PutNumber(Message::kOffsetFieldNumber, answer.offset, at);
  at = PutNumber(Message::kLengthFieldNumber, answer.data.size(), at);
  at = PutNumber(Message::kLazyReadFieldNumber, answer.lazy_read ? 1 : 0, at);
  at = PutBytes(Message::kDataFieldNumber, answer.data.data(), answer.data.size(), at);
  PutNumber(Message::kIsLastChunkFieldNumber, answer.is_last_chunk ? 1 : 0, at);
  const grpc::Slice slice(memory, grpc::Slice::STEAL_REF);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace outboxfs::remote
