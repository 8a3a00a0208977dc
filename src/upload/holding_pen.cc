#include "upload/holding_pen.h"

#include <utility>

namespace outboxfs::upload {
namespace {

constexpr size_t kRemembered = 1024;

}  // namespace

void HoldingPen::Hold(remote::ChannelEvent event, SteadyTime now) {
  if (held_.size() >= capacity_) DropFirst();
  held_.push_back(Held{std::move(event), now});
}

std::vector<remote::ChannelEvent> HoldingPen::Take(const std::string& upload_id) {
  std::vector<remote::ChannelEvent> taken;
  std::deque<Held> rest;
  for (Held& held : held_) {
    if (held.event.upload_id == upload_id) {
      taken.push_back(std::move(held.event));
    } else {
      rest.push_back(std::move(held));
    }
  }
  held_ = std::move(rest);
  return taken;
}

void HoldingPen::DropExpired(SteadyTime now) {
  while (!held_.empty() && now - held_.front().since >= patience_) DropFirst();
}

void HoldingPen::DropFirst() {
  if (lost_.size() >= kRemembered) lost_.clear();
  lost_.insert(std::move(held_.front().event.upload_id));
  held_.pop_front();
  ++dropped_;
}

}  // namespace outboxfs::upload
