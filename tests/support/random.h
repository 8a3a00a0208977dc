// Random numbers that are the same everywhere for the same seed: the standard's distributions are
// not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <utility>
#include <vector>

namespace outboxfs::test {

// A number in the environment: seeds, and how long to go on.
inline uint64_t Variable(const char* name, uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  // [0, end); 0 when end is 0. Slightly uneven, which does not matter here.
  uint64_t Below(uint64_t end) { return end == 0 ? 0 : engine_() % end; }
  // Both ends included.
  uint64_t Between(uint64_t least, uint64_t most) { return least + Below(most - least + 1); }
  bool Percent(uint64_t chance) { return Below(100) < chance; }
  template <typename T>
  const T& Of(const std::vector<T>& choices) {
    return choices[Below(choices.size())];
  }
  // One of the choices, each as likely as its weight.
  template <typename T>
  const T& Weighed(const std::vector<std::pair<uint64_t, T>>& choices) {
    uint64_t all = 0;
    for (const auto& [weight, choice] : choices) all += weight;
    uint64_t at = Below(all);
    for (const auto& [weight, choice] : choices) {
      if (at < weight) return choice;
      at -= weight;
    }
    return choices.back().second;
  }

 private:
  std::mt19937_64 engine_;
};

}  // namespace outboxfs::test
