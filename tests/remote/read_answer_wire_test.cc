#include "remote/read_answer_wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "clouddrive.pb.h"

namespace outboxfs::remote {
namespace {

std::string Flat(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string flat;
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return flat;
}

TEST(EncodeReadAnswer, GivesTheBytesThatProtobufGives) {
  for (const std::string id : {"", "u", "0f8fad5b-d9cb-469f-a165-70867728950e"}) {
    for (const size_t size : {0UL, 1UL, 127UL, 128UL, 70'000UL, 1UL << 20}) {
      for (const uint64_t offset : {0ULL, 1ULL, 300ULL, 1ULL << 40, ~0ULL}) {
        for (const bool flag : {false, true}) {
          const std::string data(size, '\x5a');
          ReadAnswer answer;
          answer.upload_id = id;
          answer.offset = offset;
          answer.lazy_read = flag;
          answer.is_last_chunk = !flag;
          answer.data = std::as_bytes(std::span(data));
          clouddrive::RemoteReadDataUpload wire;
          wire.set_upload_id(id);
          wire.set_offset(offset);
          wire.set_length(size);
          wire.set_lazy_read(flag);
          wire.set_data(data);
          wire.set_is_last_chunk(!flag);
          ASSERT_EQ(Flat(EncodeReadAnswer(answer)), wire.SerializeAsString())
              << id << " " << size << " " << offset << " " << flag;
        }
      }
    }
  }
}

}  // namespace
}  // namespace outboxfs::remote
