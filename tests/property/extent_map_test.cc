// The extent map against a naive model: one optional kind per byte. Operations come from a seed
// that is printed when something differs.
#include "cache/extent_map.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <random>
#include <vector>

namespace outboxfs::cache {
namespace {

constexpr uint64_t kBytes = 200;

class Model {
 public:
  void Set(const ByteRange& range, ExtentKind kind) {
    for (uint64_t i = range.begin; i < range.end; ++i) bytes_[i] = kind;
  }
  void Fill(const ByteRange& range, ExtentKind kind) {
    for (uint64_t i = range.begin; i < range.end; ++i) {
      if (!bytes_[i]) bytes_[i] = kind;
    }
  }
  void Erase(const ByteRange& range) {
    for (uint64_t i = range.begin; i < range.end; ++i) bytes_[i].reset();
  }
  std::vector<Extent> Present(const ByteRange& range) const {
    std::vector<Extent> found;
    for (uint64_t i = range.begin; i < range.end; ++i) {
      if (!bytes_[i]) continue;
      if (!found.empty() && found.back().range.end == i && found.back().kind == *bytes_[i]) {
        ++found.back().range.end;
      } else {
        found.push_back({{i, i + 1}, *bytes_[i]});
      }
    }
    return found;
  }
  std::vector<ByteRange> Missing(const ByteRange& range) const {
    std::vector<ByteRange> gaps;
    for (uint64_t i = range.begin; i < range.end; ++i) {
      if (bytes_[i]) continue;
      if (!gaps.empty() && gaps.back().end == i) {
        ++gaps.back().end;
      } else {
        gaps.push_back({i, i + 1});
      }
    }
    return gaps;
  }
  uint64_t Bytes(ExtentKind kind) const {
    uint64_t count = 0;
    for (const auto& byte : bytes_) count += byte == kind ? 1 : 0;
    return count;
  }

 private:
  std::array<std::optional<ExtentKind>, kBytes> bytes_;
};

class Operations {
 public:
  explicit Operations(uint32_t seed) : random_(seed) {}

  uint64_t Below(uint64_t limit) {
    return std::uniform_int_distribution<uint64_t>(0, limit - 1)(random_);
  }
  ByteRange Range() {
    const uint64_t a = Below(kBytes + 1);
    // Mostly short, so that many extents live at once.
    const uint64_t b = Below(4) == 0 ? Below(kBytes + 1) : std::min(kBytes, a + Below(20));
    return {std::min(a, b), std::max(a, b)};
  }
  ExtentKind Kind() { return static_cast<ExtentKind>(Below(3)); }

  void Step(ExtentMap& map, Model& model) {
    const ByteRange range = Range();
    const ExtentKind kind = Kind();
    switch (Below(4)) {
      case 0:
        map.Erase(range);
        model.Erase(range);
        break;
      case 1:
        map.Fill(range, kind);
        model.Fill(range, kind);
        break;
      default:
        map.Set(range, kind);
        model.Set(range, kind);
    }
  }

 private:
  std::mt19937 random_;
};

void Compare(const ExtentMap& map, const Model& model, const ByteRange& range) {
  ASSERT_TRUE(map.CheckInvariants());
  ASSERT_EQ(model.Present({0, kBytes}), map.All());
  ASSERT_EQ(model.Present(range), map.Present(range));
  ASSERT_EQ(model.Missing(range), map.Missing(range));
  ASSERT_EQ(model.Missing(range).empty(), map.Covers(range));
  for (const ExtentKind kind : {ExtentKind::kDirty, ExtentKind::kClean, ExtentKind::kZero}) {
    ASSERT_EQ(model.Bytes(kind), map.Bytes(kind));
  }
}

TEST(ExtentMapPropertyTest, BehavesAsTheNaiveModel) {
  for (uint32_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Operations operations(seed);
    ExtentMap map;
    Model model;
    for (int step = 0; step < 200; ++step) {
      operations.Step(map, model);
      Compare(map, model, operations.Range());
      if (::testing::Test::HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace outboxfs::cache
