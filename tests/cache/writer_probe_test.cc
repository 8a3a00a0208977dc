#include "cache/writer_probe.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/disk.h"
#include "store_fixture.h"

namespace outboxfs::cache {
namespace {

class WriterProbeTest : public ::testing::Test {
 protected:
  WriterProbeTest() : path_(directory_.path() + "/file") {
    EXPECT_OK(disk::Open(path_, O_WRONLY | O_CREAT));
    reader_ = std::move(*disk::Open(path_, O_RDONLY));
  }

  bool Probe() {
    auto writer = HasForeignWriter(reader_.get());
    EXPECT_OK(writer);
    return writer && *writer;
  }

  TempDir directory_;
  std::string path_;
  FileDescriptor reader_;
};

TEST_F(WriterProbeTest, FindsAnOpenWriterAndNoReader) {
  EXPECT_FALSE(Probe());
  const auto other_reader = disk::Open(path_, O_RDONLY);
  EXPECT_FALSE(Probe());
  {
    const auto writer = disk::Open(path_, O_RDWR);
    EXPECT_TRUE(Probe());
  }
  EXPECT_FALSE(Probe());
}

TEST_F(WriterProbeTest, FindsALivingSharedMappingWhoseDescriptorIsClosed) {
  void* mapping = nullptr;
  {
    const auto writer = disk::Open(path_, O_RDWR);
    ASSERT_OK(disk::Truncate(writer->get(), 4096));
    mapping = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, writer->get(), 0);
    ASSERT_NE(MAP_FAILED, mapping);
  }
  EXPECT_TRUE(Probe());
  ::munmap(mapping, 4096);
  EXPECT_FALSE(Probe());
}

TEST_F(WriterProbeTest, WritersComeAndGoWhileItIsProbed) {
  // A lease that is broken sends a signal; it must not hurt.
  std::jthread opener([&](const std::stop_token& stop) {
    while (!stop.stop_requested()) EXPECT_OK(disk::Open(path_, O_RDWR));
  });
  for (int i = 0; i < 2000; ++i) ASSERT_OK(HasForeignWriter(reader_.get()));
}

TEST_F(WriterProbeTest, IsOpenElsewhereFindsReadersToo) {
  EXPECT_FALSE(IsOpenElsewhere(reader_.get()));
  const auto other = disk::Open(path_, O_RDONLY);
  EXPECT_TRUE(IsOpenElsewhere(reader_.get()));
}

}  // namespace
}  // namespace outboxfs::cache
