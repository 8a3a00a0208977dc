#include "server/session_file.h"

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace outboxfs::server {
namespace {

constexpr const char* kFile = "sessions";

// Any bytes as one word.
std::string Word(const std::string& text) {
  return "x" + Hex({reinterpret_cast<const unsigned char*>(text.data()), text.size()});
}

std::string Unword(const std::string& word) {
  std::string text;
  for (size_t i = 1; i + 1 < word.size(); i += 2) {
    text += static_cast<char>(std::stoi(word.substr(i, 2), nullptr, 16));
  }
  return text;
}

// ID PATH SIZE CLIENT_HASHES DEVICE [h TYPE HEX]... [r BEGIN END]...
std::string ToLine(const UploadOrder& order) {
  std::ostringstream line;
  line << order.id << ' ' << Word(order.path) << ' ' << order.size << ' ' << order.client_hashes
       << ' ' << Word(order.device);
  for (const auto& [type, hex] : order.known_hashes) line << " h " << type << ' ' << hex;
  for (const ByteRange& range : order.present) line << " r " << range.begin << ' ' << range.end;
  return line.str();
}

UploadOrder FromLine(const std::string& text) {
  std::istringstream line(text);
  UploadOrder order;
  std::string path;
  std::string device;
  std::string kind;
  line >> order.id >> path >> order.size >> order.client_hashes >> device;
  order.path = Unword(path);
  order.device = Unword(device);
  while (line >> kind) {
    if (kind == "h") {
      uint32_t type = 0;
      line >> type;
      line >> order.known_hashes[type];
    } else {
      ByteRange range;
      line >> range.begin >> range.end;
      order.present.push_back(range);
    }
  }
  return order;
}

}  // namespace

Status SaveSessions(DirStore* store, const std::vector<UploadOrder>& orders) {
  if (orders.empty()) return {};
  if (Status made = disk::MakeDirs(store->PrivatePath(""), 0755); !made) return made;
  std::ofstream out(store->PrivatePath(kFile));
  for (const UploadOrder& order : orders) out << ToLine(order) << '\n';
  out.close();
  if (!out) return Fail(EIO, "cannot save the sessions");
  return {};
}

std::vector<UploadOrder> LoadSessions(DirStore* store) {
  std::vector<UploadOrder> orders;
  std::set<std::string> names;
  {
    std::ifstream in(store->PrivatePath(kFile));
    std::string line;
    while (std::getline(in, line)) {
      orders.push_back(FromLine(line));
      UploadOrder& order = orders.back();
      names.insert(order.id);
      // Ranges without their bytes would end as a file of zeros.
      if (!std::filesystem::exists(store->PrivatePath(order.id))) order.present.clear();
    }
  }
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(store->PrivatePath(""), ignored)) {
    if (!names.contains(file.path().filename())) std::filesystem::remove(file.path(), ignored);
  }
  return orders;
}

}  // namespace outboxfs::server
