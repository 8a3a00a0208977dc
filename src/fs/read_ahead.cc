#include "fs/read_ahead.h"

#include "common/thread.h"

namespace outboxfs::fs {

ReadAhead::ReadAhead(int threads) {
  for (int i = 0; i < threads; ++i) {
    threads_.push_back(StartThread("read-ahead", [this](const std::stop_token& stop) {
      while (auto job = jobs_.Pop(stop)) (*job)(stop);
    }));
  }
}

void ReadAhead::Stop() {
  jobs_.Close();
  for (std::jthread& thread : threads_) thread.request_stop();
}

}  // namespace outboxfs::fs
