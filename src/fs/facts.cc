#include "fs/facts.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <unordered_map>

#include "cache/paths.h"
#include "fs/names.h"

namespace outboxfs::fs {
namespace {

constexpr int64_t kNsPerSecond = 1'000'000'000;
constexpr blksize_t kPreferredIo = 1 << 20;
constexpr uint64_t kStatBlock = 512;

timespec ToTimespec(int64_t ns) {
  int64_t seconds = ns / kNsPerSecond;
  int64_t rest = ns % kNsPerSecond;
  if (rest < 0) {
    rest += kNsPerSecond;
    --seconds;
  }
  return {.tv_sec = seconds, .tv_nsec = rest};
}

cache::ItemKind KindOf(const remote::Entry& entry) {
  return entry.is_dir ? cache::ItemKind::kDir : cache::ItemKind::kFile;
}

Facts RemoteFacts(const Defaults& defaults, const remote::Entry& entry,
                  const cache::Memory* memory) {
  Facts facts;
  facts.kind = KindOf(entry);
  facts.size = entry.is_dir ? 0 : entry.size;
  facts.attr = {.mode = entry.is_dir ? defaults.dir_mode : defaults.file_mode,
                .uid = defaults.uid,
                .gid = defaults.gid,
                .atime_ns = entry.mtime_ns,
                .mtime_ns = entry.mtime_ns,
                .ctime_ns = entry.mtime_ns};
  if (memory == nullptr || memory->kind != facts.kind) return facts;
  facts.ino = memory->ino;
  if (entry.is_dir || cache::SameVersion(IdentityOf(entry), memory->identity)) {
    facts.attr = memory->attr;
    facts.remembered = true;
  }
  return facts;
}

}  // namespace

cache::Identity IdentityOf(const remote::Entry& entry) {
  cache::Identity identity;
  identity.size = entry.size;
  identity.mtime_ns = entry.mtime_ns;
  identity.id = entry.id;
  for (const auto& [type, hash] : entry.hashes) {
    identity.digests[static_cast<uint32_t>(type)] = hash;
  }
  return identity;
}

std::optional<Facts> FactsOf(const Defaults& defaults, const cache::Overlay& overlay,
                             const remote::Entry* entry, const cache::Memory* memory) {
  switch (overlay.kind) {
    case cache::Overlay::Kind::kGone:
      return std::nullopt;
    case cache::Overlay::Kind::kItem: {
      const cache::Item& item = overlay.item;
      return Facts{.kind = item.kind,
                   .ino = item.ino,
                   .attr = item.attr,
                   .size = item.size,
                   .remembered = true};
    }
    case cache::Overlay::Kind::kUploaded: {
      const cache::Memory& uploaded = overlay.memory;
      return Facts{.kind = uploaded.kind,
                   .ino = uploaded.ino,
                   .attr = uploaded.attr,
                   .size = uploaded.identity.size,
                   .remembered = true};
    }
    case cache::Overlay::Kind::kNone:
      break;
  }
  if (entry == nullptr) return std::nullopt;
  return RemoteFacts(defaults, *entry, memory);
}

std::vector<NamedFacts> MergeDirectory(const Defaults& defaults, const remote::Listing* listing,
                                       const std::vector<cache::OverlayEntry>& overlays,
                                       const std::vector<cache::Memory>& memories) {
  std::map<std::string_view, const cache::Overlay*> staged;
  for (const cache::OverlayEntry& overlay : overlays) {
    staged.emplace(overlay.name, &overlay.overlay);
  }
  std::unordered_map<std::string_view, const cache::Memory*> remembered;
  for (const cache::Memory& memory : memories) {
    remembered.emplace(cache::NameOf(memory.path), &memory);
  }
  std::vector<NamedFacts> merged;
  const cache::Overlay none;
  const auto add = [&](std::string_view name, const cache::Overlay& overlay,
                       const remote::Entry* entry) {
    const auto memory = remembered.find(name);
    auto facts =
        FactsOf(defaults, overlay, entry, memory == remembered.end() ? nullptr : memory->second);
    if (!facts) return;
    merged.push_back({std::string(name), *facts, std::nullopt});
    if (entry != nullptr && overlay.kind == cache::Overlay::Kind::kNone) {
      merged.back().entry = *entry;
    }
  };
  // Both sides are sorted by name.
  auto overlay = staged.begin();
  std::string_view last;
  const std::vector<remote::EntryPtr> no_entries;
  for (const remote::EntryPtr& listed : listing == nullptr ? no_entries : listing->entries) {
    const remote::Entry& entry = *listed;
    if (entry.name == last || IsTempName(entry.name)) continue;
    last = entry.name;
    for (; overlay != staged.end() && overlay->first < last; ++overlay) {
      add(overlay->first, *overlay->second, nullptr);
    }
    const bool covered = overlay != staged.end() && overlay->first == last;
    add(last, covered ? *overlay->second : none, &entry);
    if (covered) ++overlay;
  }
  for (; overlay != staged.end(); ++overlay) add(overlay->first, *overlay->second, nullptr);
  return merged;
}

struct stat ToStat(const Facts& facts) {
  struct stat st = {};
  st.st_ino = facts.ino;
  st.st_mode = facts.attr.mode | (facts.is_dir() ? S_IFDIR : S_IFREG);
  if (facts.is_link) st.st_mode = S_IFLNK | ACCESSPERMS;
  st.st_nlink = 1;  // of a directory: "unknown", so that nobody counts subdirectories by it
  st.st_uid = facts.attr.uid;
  st.st_gid = facts.attr.gid;
  st.st_size = static_cast<off_t>(facts.size);
  st.st_blksize = kPreferredIo;
  st.st_blocks = static_cast<blkcnt_t>((facts.size + kStatBlock - 1) / kStatBlock);
  st.st_atim = ToTimespec(facts.attr.atime_ns);
  st.st_mtim = ToTimespec(facts.attr.mtime_ns);
  st.st_ctim = ToTimespec(facts.attr.ctime_ns);
  return st;
}

}  // namespace outboxfs::fs
