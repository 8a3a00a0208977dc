#include "upload/uploader.h"

#include <utility>

#include "upload/paths.h"
#include "upload/rooms.h"
#include "upload/scheduler.h"

namespace outboxfs::upload {
namespace {

class UploaderImpl final : public Uploader {
 public:
  UploaderImpl(cache::Store& store, remote::UploadApi& uploads, remote::NamespaceApi& names,
               remote::DirCache& dirs, const Clock& clock, UploadOptions options)
      : options_(std::move(options)),
        queue_(uploads, clock),
        rooms_{store, uploads,  names,
               dirs,  queue_,   cases_,
               clock, options_, DeviceTag(store.device_id())},
        scheduler_(rooms_) {}

  UploaderStatus Snapshot() const override { return scheduler_.Snapshot(); }

  size_t Drain(SteadyTime deadline, const std::stop_token& stop) override {
    scheduler_.SkipQuietTimes();
    return scheduler_.AwaitIdle(deadline, stop);
  }

  void Hurry(cache::ItemId id) override { scheduler_.Hurry(id); }
  void EndPause() override { scheduler_.EndPause(); }

 private:
  const UploadOptions options_;
  ServerQueue queue_;
  NameCases cases_;
  const Rooms rooms_;
  Scheduler scheduler_;
};

}  // namespace

std::unique_ptr<Uploader> Uploader::Start(cache::Store& store, remote::UploadApi& uploads,
                                          remote::NamespaceApi& names, remote::DirCache& dirs,
                                          const Clock& clock, const UploadOptions& options) {
  return std::make_unique<UploaderImpl>(store, uploads, names, dirs, clock, options);
}

}  // namespace outboxfs::upload
